"""What a message tells a person to do works: the message is provoked, then its advice is run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hqsearch.cli import cli
from hqsearch.errors import HqsearchError

FAILING = """
from pathlib import Path
from hqsearch.evaluators.toy import Toy

class Failing(Toy):
    def evaluate(self, candidate, *rest, **more):
        if Path(BROKEN).exists():
            raise OSError("the disk with the data is not there")
        return super().evaluate(candidate, *rest, **more)

    def confirm(self, candidate, *rest, **more):
        if Path(BROKEN).exists():
            raise OSError("the disk with the data is not there")
        return super().confirm(candidate, *rest, **more)
"""


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Exit code and message of a command in the test's studies folder."""

    def run(*words: str) -> tuple[int, str]:
        where = () if "--studies-dir" in words else ("--studies-dir", str(tmp_path / "s"))
        try:
            done = CliRunner().invoke(
                cli, [*words, *where], catch_exceptions=False, standalone_mode=False
            )
        except HqsearchError as error:
            return error.exit_code, str(error)
        return 0, done.output

    return run


@pytest.fixture
def failing(tmp_path: Path, study_file: Callable[..., Path]) -> tuple[str, Path]:
    """A study of which every evaluation fails as long as a file is there."""
    broken = tmp_path / "broken"
    broken.touch()
    (tmp_path / "failing.py").write_text(FAILING.replace("BROKEN", repr(str(broken))))
    return str(study_file("failing", evaluator="failing.py:Failing")), broken


def test_a_study_that_was_not_run(said: Any) -> None:
    code, message = said("front", "--study", "toy")
    assert code == 2
    command = re.search(r"hqsearch (run .*)", message)
    assert command is not None
    assert said(*command[1].split(), "--evaluations", "6")[0] == 0
    assert said("front", "--study", "toy")[0] == 0


@pytest.mark.parametrize("advice", ["--fresh", "--studies-dir"])
def test_a_study_of_other_settings(said: Any, tmp_path: Path, advice: str) -> None:
    run = ("run", "--study", "toy", "--strategy", "random", "--evaluations", "6")
    assert said(*run)[0] == 0
    other = (*run, "--set", "evaluation.noise=0.1")
    code, message = said(*other)
    assert code == 2
    assert advice in message
    more = (advice,) if advice == "--fresh" else (advice, str(tmp_path / "other"))
    assert said(*other, *more)[0] == 0


def test_claims_before_the_whole_front_is_confirmed(said: Any) -> None:
    noisy = ("--set", "evaluation.noise=0.008")
    assert (
        said("run", "--study", "toy", "--strategy", "nsga2", "--evaluations", "20", *noisy)[0] == 0
    )
    claims = ("confirm", "--study", "toy", "--claims", "--seeds", "2")
    code, message = said(*claims)
    command = re.search(r"hqsearch (confirm .*)", message)
    assert code == 2
    assert command is not None
    assert said(*command[1].split(), "--seeds", "2")[0] == 0
    code, message = said(*claims)
    assert (code, "give other --epochs, or --parents" in message) == (2, True)
    assert said(*claims, "--epochs", "4")[0] == 0


@pytest.mark.parametrize("advice", ["--fresh", "--seed"])
def test_a_run_whose_every_evaluation_failed(said: Any, failing: Any, advice: str) -> None:
    study, broken = failing
    run = ("run", "--study", study, "--strategy", "random", "--evaluations", "6")
    code, message = said(*run)
    assert code == 1
    assert "all 6 evaluations failed: OSError: the disk with the data is not there" in message
    assert advice in message
    broken.unlink()
    assert said(*run, *((advice,) if advice == "--fresh" else (advice, "7")))[0] == 0


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_run_that_stopped_early_goes_on(said: Any, failing: Any, command: str) -> None:
    study, broken = failing
    run = ("run", "--study", study, "--strategy", "random", "--evaluations", "20")
    code, message = said(*run)
    assert code == 1
    assert "12 of 20 evaluations remain; once that is mended, the same command goes on" in message
    broken.unlink()
    assert said(*(run if command == "run" else ("resume", "--study", "failing")))[0] == 0
    rows = json.loads(said("trials", "--study", "failing", "--json")[1])
    states = [row["state"] for row in rows]
    assert states == 8 * ["FAIL"] + 12 * ["COMPLETE"]
    verdict = "\n".join(json.loads(said("status", "--study", "failing", "--json")[1])["verdict"])
    assert "against uniform 2l: not known, for its evaluation failed (trial 0, exception" in verdict


def test_a_confirmation_whose_every_replicate_failed(said: Any, failing: Any) -> None:
    study, broken = failing
    broken.unlink()
    assert said("run", "--study", study, "--strategy", "random", "--evaluations", "8")[0] == 0
    broken.touch()
    code, message = said("confirm", "--study", "failing", "--seeds", "1")
    assert code == 1
    assert "replicates failed: OSError: the disk with the data is not there" in message
    assert "more --seeds" in message or "the same command goes on" in message
    broken.unlink()
    assert said("confirm", "--study", "failing", "--seeds", "2")[0] == 0


def test_a_comparison_with_early_stopping(said: Any) -> None:
    words = (
        "compare", "--study", "toy", "--strategies", "random", "--seeds", "1", "--evaluations",
        "6", "--set", "evaluation.epochs=8",
    )  # fmt: skip
    code, message = said(*words, "--set", "search.early_stopping=halving")
    assert code == 2
    advice = re.search(r"--set (search\.early_stopping=none)", message)
    assert advice is not None
    assert said(*words, "--set", advice[1])[0] == 0


def test_an_option_that_one_process_cannot_keep(said: Any) -> None:
    words = ("run", "--study", "toy", "--strategy", "random", "--evaluations", "6",
             "--set", "evaluation.time_limit=600")  # fmt: skip
    code, message = said(*words, "--executor", "in-process")
    assert code == 2
    assert "use --executor ray" in message
    assert said(*words, "--executor", "ray")[0] == 0


def test_costs_of_no_assignment(said: Any) -> None:
    words = ("cost", "--study", "gesture", "--rate", "0.15")
    code, message = said(*words)
    assert code == 2
    for advice in ("--uniform 4u", "--sensitivity"):
        assert advice.split()[0] in message
    assert said(*words, "--uniform", "4u")[0] == 0
    code, message = said(*words, "--assign", "head=4u")
    assert (code, "add --uniform CHOICE" in message) == (2, True)
    assert said(*words, "--assign", "head=4u", "--uniform", "4u")[0] == 0


def told_command(message: str) -> list[str]:
    """The words of the command in a message, up to what ends a sentence there."""
    found = re.search(r"hqsearch (\w+ --.*?)(?: lists|\. By hand|;|$)", message)
    assert found is not None, message
    return shlex.split(found[1])


#: A study and a place that a command line must quote.
AWKWARD = "edge 50%"


@pytest.fixture
def awkward(tmp_path: Path, study_file: Callable[..., Path]) -> tuple[str, ...]:
    return ("--studies-dir", str(study_file(AWKWARD).parent))


def test_a_study_that_is_not_run_by_its_awkward_name(said: Any, awkward: Any) -> None:
    code, message = said("front", "--study", AWKWARD, *awkward)
    assert code == 2
    assert said(*told_command(message), "--evaluations", "6")[0] == 0
    assert said("front", "--study", AWKWARD, *awkward)[0] == 0


def test_costs_of_a_study_without_a_network(said: Any, awkward: Any) -> None:
    run = ("run", "--study", AWKWARD, "--strategy", "random", "--evaluations", "6", *awkward)
    assert said(*run)[0] == 0
    code, message = said("cost", "--study", AWKWARD, "--uniform", "4u", *awkward)
    assert code == 2
    words = ["3" if word == "N" else word for word in told_command(message)]
    assert said(*words)[0] == 0


def test_supernets_of_a_strategy_that_trains_none(said: Any, awkward: Any) -> None:
    run = ("run", "--study", AWKWARD, *awkward, "--evaluations", "7")
    assert said(*run, "--strategy", "random")[0] == 0
    shown = ("show", "--study", AWKWARD, *awkward, "--strategy")
    code, message = said(*shown, "random")
    assert (code, "gumbel trains some" in message) == (2, True)
    small = ("--set", "strategy.gumbel.count=1", "--set", "strategy.gumbel.epochs=4")
    assert said(*run, "--strategy", "gumbel", *small)[0] == 0
    code, message = said(*shown, "random")
    assert code == 2
    assert said(*told_command(message))[0] == 0
    code, message = said(*shown, "gumbel", "--plot", "x.svg", "--task", "9")
    known = re.search(r"the finished supernets are (\d+)", message)
    assert code == 2
    assert known is not None
    plot = str(Path(awkward[1]) / "x.svg")
    assert said(*shown, "gumbel", "--plot", plot, "--task", known[1])[0] == 0
    code, message = said(*shown, "gumbel", "--plot", str(Path(awkward[1]) / "x.bmp"))
    endings = re.findall(r"\.\w+", message.partition("must end in")[2])
    assert code == 2
    for ending in endings:
        assert said(*shown, "gumbel", "--plot", plot.replace(".svg", ending))[0] == 0


def test_recordings_that_are_not_there(said: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """tonic's download itself is not for a test: that it is begun is seen."""
    run = ("run", "--study", "nmnist", "--strategy", "random")
    code, message = said(*run, "--data", str(tmp_path / "my recordings"))
    assert code == 2
    begun = []

    def download(*asked: Any) -> None:
        begun.append(asked)
        raise OSError("no route")

    monkeypatch.setattr("hqsearch.data.known._open", lambda *a, **k: download(*a))
    code, message = said(*told_command(message), "--executor", "in-process")
    assert "could not be downloaded: no route" in message
    assert begun


def test_a_profile_that_is_not_the_recorded_one(said: Any) -> None:
    words = ("cost", "--study", "gesture", "--rate", "0.15", "--uniform", "4u")
    code, message = said("cost", "--study", "gesture", "--uniform", "4u")
    assert code == 2
    assert "give --rate R (the share of neurons that fire in a step, such as 0.15)" in message
    assert said(*words)[0] == 0
    assert said(*words, "--profile", "horowitz-45nm-memory")[0] == 0
    code, message = said(*words, "--profile", "horowitz")
    near = re.search(r"did you mean '([\w-]+)'", message)
    assert code == 2
    assert near is not None
    assert said(*words, "--profile", near[1])[0] == 0


@pytest.mark.slow
def test_a_parent_that_learned_nothing(said: Any) -> None:
    small = {
        "data.train": 22, "data.validation": 22, "data.test": 11, "data.size": 16,
        "model.timesteps": 2, "model.embed_dim": 16, "model.depth": 1, "model.heads": 2,
        "evaluation.parent_epochs": 1, "evaluation.batch_size": 11,
        "evaluation.parent_learning_rate": 1e-9,
    }  # fmt: skip
    given = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    run = ["run", "--study", "gesture", "--strategy", "random", "--evaluations", "2",
           "--executor", "in-process", "--device", "cpu", *given]  # fmt: skip
    code, output = said(*run)
    assert code == 0
    advice = re.search(r"--fresh and --set evaluation\.parent_epochs=N", " ".join(output.split()))
    assert advice is not None
    assert said(*run, *advice[0].replace("=N", "=2").replace(" and ", " ").split())[0] == 0
