"""A scheme from outside the package is costed, searched, shipped and told apart like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsearch.definition import load_space, load_study
from hqsearch.errors import PluginError, UnknownName
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.executors.shipping import NodeCache, Packer
from hqsearch.hardware import CostModel, Operation, Workload, load_profile
from hqsearch.schemes import Scheme, load_scheme
from hqsearch.surrogate.design import nominal_error
from hqsearch.testing import SchemeContract

PLUGIN = Path(__file__).with_name("ternary.py")
pytestmark = pytest.mark.usefixtures("registered")


class TestTernary(SchemeContract):
    def make(self) -> Scheme:
        return load_scheme(f"{PLUGIN}:Ternary", Path())


@pytest.fixture
def study(tmp_path: Path, study_file: Callable[..., Path]) -> Path:
    """A toy study whose space brings a scheme along."""
    (tmp_path / "ternary.py").write_text(PLUGIN.read_text())
    (tmp_path / "space.toml").write_text(
        'choices = ["1b", "2t", "4u", "fp32"]\nschemes = ["ternary.py:Ternary"]\n'
    )
    return study_file(space="space.toml")


def evaluator_of(study: Path, **overrides: Any) -> Evaluator:
    return make_evaluator(Setup(load_study(study, overrides), study.parent / "state"))


@pytest.mark.parametrize("strategy", ["nsga2", "random"])
def test_it_is_searched(study: Path, launched: Any, tmp_path: Path, strategy: str) -> None:
    launched.run(tmp_path / "studies", str(study), strategy=strategy, evaluations=30)
    rows = launched.table(tmp_path / "studies", "mine")
    assert len(rows) == 30
    assert {state for _, state, *_ in rows} == {"COMPLETE"}
    proposed = [key for _, _, key, *_ in rows[4:]]
    assert any("=2t" in key and "=1b" in key for key in proposed)


def test_another_process_goes_on_and_shows_it(study: Path, tmp_path: Path) -> None:
    """Nothing is left of the process that started: the definition alone names the scheme."""
    words = ["--studies-dir", str(tmp_path / "studies"), "--study", str(study)]
    search = ["--strategy", "nsga2", "--set", "strategy.nsga2.population=6"]
    for count in ("8", "14"):
        call("run", *words, *search, "--evaluations", count)
    rows = json.loads(call("trials", *words[:2], "--study", "mine", "--json"))
    assert len(rows) == 14
    assert {value for row in rows for value in row["choices"].values()} == {
        "1b", "2t", "4u", "fp32",
    }  # fmt: skip


def call(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hqsearch", *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_space_has_its_baselines(study: Path) -> None:
    space = evaluator_of(study).space
    assert list(space.baselines()) == ["1b", "2t", "4u", "fp32"]
    assert nominal_error("1b") > nominal_error("2t") == nominal_error("2u")


def test_its_contents_are_in_the_fingerprint(study: Path) -> None:
    (identity,) = evaluator_of(study).fingerprint()["schemes"]
    assert identity.startswith("ternary.py:Ternary sha256 ")
    assert "schemes" not in evaluator_of(study, space="toy").fingerprint()


def test_a_file_that_is_missing_is_named(study: Path) -> None:
    (study.parent / "ternary.py").unlink()
    with pytest.raises(PluginError, match="there is no file"):
        load_space("space.toml", load_study(study))


def test_where_a_worker_has_it_is_no_key(study_file: Callable[..., Path]) -> None:
    with pytest.raises(UnknownName, match="unknown key 'scheme_files'"):
        load_study(study_file(scheme_files=["a.py:A"]))


def test_it_is_shipped_to_machines_without_the_study(study: Path, tmp_path: Path) -> None:
    packer = Packer(Setup(load_study(study), tmp_path / "state"))
    cache, shipment = NodeCache(tmp_path / "node"), packer.pack(tasks=False)
    for digest in cache.lacking(shipment.items or ()):
        cache.add(digest, packer.chunks(digest))
    text = shipment.setup_in(cache.folder(shipment))
    (reference,) = json.loads(text)["definition"]["scheme_files"]
    assert Path(reference.removesuffix(":Ternary")).is_relative_to(tmp_path / "node")
    for name in ("ternary.py", "space.toml", "mine.toml"):
        (study.parent / name).unlink()
    code = (
        "import sys; from hqsearch.executors.task import evaluator_for\n"
        "e = evaluator_for(sys.stdin.read()); c = e.space.baselines()['2t']\n"
        "print(e.evaluate(c, 0).values['storage'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True
    )
    weights = sum(layer.weights for layer in load_toy_layers())
    assert float(done.stdout) == pytest.approx(weights * 2 / 8192)


def load_toy_layers() -> Any:
    from hqsearch.evaluators.toy import LAYERS

    return LAYERS


def test_it_is_costed_and_stored() -> None:
    load_scheme(f"{PLUGIN}:Ternary", Path())
    op = Operation(
        kind="weight", path="head", input_shape=(64,), output_shape=(32,), timesteps=4,
        macs_per_step=2048, inputs=64, outputs=32, input_kind="binary", input_bits=1,
        input_levels=1, input_source="spikes", rate=0.25, activity=0.25, rate_path="head",
        weights=2048, channels=32, positions=1,
    )  # fmt: skip
    workload = Workload((op,), timesteps=4)
    choices = ("1b", "2t", "2u", "fp32")
    model = CostModel(workload, load_profile("sop-45nm"), {"head": choices})
    energy = {c: model.energy({"head": c}).total for c in choices}
    assert energy["2t"] == energy["2u"] < energy["fp32"]
    stored = {c: model.storage({"head": c}).bits for c in choices}
    assert stored["2t"] == stored["2u"] == 2048 * 2 + 32 * 32
    assert stored["1b"] == 2048 + 32 * 32
