"""Networks of all kinds are checked, searched and costed, or refused by one sentence."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import hqsearch as hq
from hqsearch.cli import cli

# Files of a user's: their folder is where imports start, and neighbours know each other by name.
sys.path.insert(0, str(Path(__file__).parent))
importlib.import_module("library_networks")  # registers its networks
ZOO = importlib.import_module("networks").ZOO

#: Searched in the gate, one of each kind; the others afterwards.
QUICK = (
    "tied weights",
    "hybrid with attention",
    "hand-written, declared",
    "snnTorch, tutorial",
    "SpikingJelly, single-step",
)


SEARCHED = [name for name, entry in ZOO.items() if entry.refused is None]
REFUSED = [name for name, entry in ZOO.items() if entry.refused is not None]


def frames() -> hq.Frames:
    generator = np.random.default_rng(0)

    def split(n: int) -> tuple[Any, Any]:
        labels = np.arange(n) % 3
        values = generator.poisson(0.4 + labels[:, None, None, None, None], (n, 2, 2, 8, 8))
        return values.astype(np.uint8), labels

    return hq.Frames(split(13), split(9), split(9))


def study(name: str, folder: Path) -> hq.Study:
    entry = ZOO[name]
    if entry.library:
        need(entry.library)
    said = {f"model.{key}": value for key, value in entry.model.items() if key != "neurons"}
    return hq.Study(
        "zoo",
        studies_dir=folder,
        model=entry.build,
        neurons=entry.model.get("neurons"),
        data=frames(),
        choices=["4u", "2l", "fp32"],
        settings={
            "evaluation.parent_epochs": 1,
            "evaluation.epochs": 1,
            "evaluation.batch_size": 5,
            **said,
        },
    )


def need(library: str) -> None:
    """Import it, whatever it warns of; libraries of others are not this project's to mend."""
    place = {"norse": "norse.torch", "sinabs": "sinabs.layers"}.get(library, library)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(place)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {library} (pip install --no-deps -r .ci/zoo.txt): {error}")


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.parametrize("name", SEARCHED)
def test_check_finds_no_problem(name: str, tmp_path: Path) -> None:
    found = study(name, tmp_path).check()
    assert found.problems == ()
    assert found.findings.facts["network"]["output"] == [3, 3]
    assert found.layers
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", REFUSED)
def test_check_says_what_to_do(name: str, tmp_path: Path) -> None:
    found = study(name, tmp_path).check()
    (problem,) = found.problems
    assert ZOO[name].refused in problem
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SEARCHED]
)
def test_searched_and_costed(name: str, tmp_path: Path) -> None:
    asked = study(name, tmp_path)
    run = asked.run("random", evaluations=3, executor="in-process")
    assert run.finished == 3
    trials = [trial for trial in asked.trials() if trial.state == "COMPLETE"]
    assert len(trials) == 3
    values = {" ".join(set(trial.choices.values())): trial.values for trial in trials}
    quantized, full = values["4u"], values["fp32"]
    assert 0 < quantized["energy"] < full["energy"]
    assert 0 < quantized["storage"] < full["storage"]
    command = [
        "cost",
        "--study",
        "zoo",
        "--studies-dir",
        str(tmp_path),
        "--uniform",
        "4u",
        "--json",
    ]
    told = CliRunner().invoke(cli, command)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)


def test_the_zoo_is_large_enough() -> None:
    assert len(ZOO) >= 30
    assert len(SEARCHED) >= 22
