"""A program as an evaluator: what it is told, what is made of its answer, and its failures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hqsearch.command.answer import binomial_error
from hqsearch.definition import load_study
from hqsearch.errors import DefinitionError, InputError, TrialFailed, UnknownName
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.candidate import Candidate
from hqsearch.testing import EvaluatorContract

SCRIPT = """
import json, sys
task = json.load(open(sys.argv[1]))
options = dict(word.split("=", 1) for word in sys.argv[2:])
loss = sum(2.0 ** -row["bits"] for row in task["layers"])
print("epoch 1: loss", loss)
print(json.dumps({"accuracy": 0.95 - 0.1 * loss, "samples": 400, "told": task, **options}))
"""
COMMAND = ["{python}", "train.py", "{assignment}", "seed={seed}", "budget={budget}"]
LAYERS = {"conv1": 1728, "blocks": {"0": {"q": 4096}}, "head": 1280}


def made(
    folder: Path, script: str = SCRIPT, state: Path | None = None, **changes: Any
) -> Evaluator:
    """The evaluator of a study whose training script is ``script``."""
    (folder / "train.py").write_text(script)
    objectives = changes.pop("objectives", ("accuracy", "storage"))
    model = changes.pop("model", "")
    evaluation = {"command": COMMAND, "layers": LAYERS, **changes}
    lines = ['space = { choices = ["2u", "4u", "fp32"] }', 'evaluator = "command"', model]
    lines += [f'[[objective]]\nname = "{name}"' for name in objectives]
    lines += ["[evaluation]", *(f"{k} = {_toml(v)}" for k, v in evaluation.items() if v)]
    (folder / "mine.toml").write_text("\n".join(lines))
    return make_evaluator(Setup(load_study(folder / "mine.toml"), state or folder / "state"))


def uniform(evaluator: Evaluator, choice: str) -> Candidate:
    return evaluator.space.candidate(dict.fromkeys(evaluator.space.names, choice))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{k}" = {_toml(v)}' for k, v in value.items()) + "}"
    return json.dumps(value)


class TestContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        return made(folder.parent, state=folder, command=[*COMMAND, "split={split}"])


def test_the_command_is_told_everything(tmp_path: Path) -> None:
    evaluator = made(tmp_path)
    candidate = evaluator.space.candidate({"conv1": "2u", "blocks.0.q": "4u", "head": "fp32"})
    done = evaluator.evaluate(candidate, seed=7)
    told = done.details["told"]  # type: ignore[index]
    assert told["choices"] == {"conv1": "2u", "blocks.0.q": "4u", "head": "fp32"}
    assert told["layers"][0] == {
        "layer": "conv1", "choice": "2u", "scheme": "uniform", "bits": 2, "weights": 1728,
    }  # fmt: skip
    assert (told["seed"], told["split"]) == (7, "validation")
    assert done.details["seed"] == "7"  # type: ignore[index]


def test_values_and_their_error(tmp_path: Path) -> None:
    evaluator = made(tmp_path)
    done = evaluator.evaluate(uniform(evaluator, "4u"), seed=0)
    accuracy = 0.95 - 0.1 * 3 / 16
    bits = 4 * (1728 + 4096 + 1280)
    assert done.values == pytest.approx({"accuracy": accuracy, "storage": bits / 8192})
    details = dict(done.details)  # type: ignore[arg-type]
    assert details["accuracy_se"] == pytest.approx((accuracy * (1 - accuracy) / 400) ** 0.5)
    assert details["validation_samples"] == 400
    assert details["average_bits"] == 4.0


def test_the_result_may_be_a_file(tmp_path: Path) -> None:
    script = 'import sys; print("noise"); open(sys.argv[2], "w").write(\'{"accuracy": 0.5}\')'
    evaluator = made(tmp_path, script, command=["{python}", "train.py", "{assignment}", "{result}"])
    assert evaluator.evaluate(uniform(evaluator, "4u"), 0).values["accuracy"] == 0.5


def test_rungs_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    script = """
import json, pathlib, sys
_, task, budget, left, resume = sys.argv
done = int(pathlib.Path(resume, "epoch").read_text()) if resume else 0
pathlib.Path(left, "epoch").write_text(budget)
print(json.dumps({"accuracy": int(budget) / 10, "went_on_from": done}))
"""
    words = ["{python}", "train.py", "{assignment}", "{budget}", "{checkpoint}", "{resume}"]
    evaluator = made(tmp_path, script, command=words, epochs=8)
    assert evaluator.full_budget == 8
    candidate = uniform(evaluator, "4u")
    first = evaluator.evaluate(candidate, 0, 2, tmp_path / "none", tmp_path / "rung")
    second = evaluator.evaluate(candidate, 0, 8, tmp_path / "rung", tmp_path / "rung")
    assert first.details["went_on_from"] == 0  # type: ignore[index]
    assert second.details["went_on_from"] == 2  # type: ignore[index]
    assert (first.values["accuracy"], second.values["accuracy"]) == (0.2, 0.8)


def test_confirm_asks_for_the_test_split(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"the command has no \{split\}"):
        made(tmp_path).require_confirmable()
    evaluator = made(tmp_path, command=[*COMMAND, "split={split}"])
    evaluator.require_confirmable()
    done = evaluator.confirm(uniform(evaluator, "4u"), 3, epochs=9)
    assert done.details["split"] == "test"  # type: ignore[index]
    assert done.details["budget"] == "9"  # type: ignore[index]
    assert done.details["test_samples"] == 400  # type: ignore[index]


def test_measures_of_the_command(tmp_path: Path) -> None:
    script = 'print(\'{"latency": 3.5, "perplexity": 12.0}\')'
    evaluator = made(
        tmp_path, script, objectives=("perplexity", "latency", "storage"),
        measures={
            "perplexity": {"direction": "min"}, "latency": {"unit": "ms", "direction": "min"},
        },
    )  # fmt: skip
    done = evaluator.evaluate(uniform(evaluator, "2u"), 0)
    assert set(done.values) == {"perplexity", "latency", "storage"}
    assert done.values["latency"] == 3.5


def test_energy_from_the_command_where_there_is_no_network(tmp_path: Path) -> None:
    script = 'print(\'{"accuracy": 0.5, "energy": 2.5}\')'
    evaluator = made(tmp_path, script, objectives=("accuracy", "energy", "storage"))
    assert evaluator.metrics == ("storage", "average_bits")
    assert evaluator.evaluate(uniform(evaluator, "2u"), 0).values["energy"] == 2.5


NETWORK = """
[model]
name = "spikformer"
embed_dim = 16
depth = 1
heads = 2
pooled_stages = 2
timesteps = 2
"""


def test_energy_by_the_cost_model_where_there_is_one(tmp_path: Path) -> None:
    script = 'print(\'{"accuracy": 0.5, "rates": {"tokenizer.conv2": 0.5}}\')'
    evaluator = made(
        tmp_path, script, objectives=("accuracy", "energy"), model=NETWORK, layers=None,
        input=[2, 16, 16], input_bits=4, classes=5,
    )  # fmt: skip
    candidate = uniform(evaluator, "2u")
    energy, storage, bits = evaluator.cheap([candidate])[0].tolist()
    done = evaluator.evaluate(candidate, 0)
    assert done.values["storage"] == storage
    assert bits == 2.0
    assert done.values["energy"] > energy  # it fires more than the 0.2 that was assumed
    assert done.details["energy_estimate"] == energy  # type: ignore[index]
    quiet = made(
        tmp_path, 'print(\'{"accuracy": 0.5}\')', objectives=("accuracy", "energy"),
        model=NETWORK, layers=None, input=[2, 16, 16], input_bits=4, classes=5,
    )  # fmt: skip
    assert quiet.evaluate(candidate, 0).values["energy"] == energy


FAILURES = {
    "print('CUDA out of memory', file=sys.stderr); sys.exit(3)": (
        "exit code 3", "CUDA out of memory",
    ),
    "raise ValueError('no such file')": ("exit code 1", "ValueError: no such file"),
    "import os; os.kill(os.getpid(), 9)": ("killed by SIGKILL (out of memory?)",),
    "pass": ("printed nothing", "JSON object"),
    "print('accuracy: 0.9')": ("is no JSON object", "'accuracy: 0.9'"),
    "print('[0.9]')": ("is no JSON object",),
    "print('{}')": ("has no 'accuracy', but no key at all",),
    """print('{"acuracy": 0.9}')""": ("has no 'accuracy'", "did you mean 'acuracy'?"),
    """print('{"accuracy": 91.3}')""": ("a fraction lies within 0 and 1 (not in percent)",),
    """print('{"accuracy": "good"}')""": ("accuracy: expected a number",),
    """print('{"accuracy": true}')""": ("accuracy: expected a number",),
    "print('[' * 100000)": ("is no JSON object",),
}  # fmt: skip


@pytest.mark.parametrize("script", FAILURES)
def test_a_failure_says_what_happened(tmp_path: Path, script: str) -> None:
    evaluator = made(tmp_path, f"import sys\n{script}")
    with pytest.raises(TrialFailed) as caught:
        evaluator.evaluate(uniform(evaluator, "4u"), 0)
    for text in FAILURES[script]:
        assert text in str(caught.value)
    assert len(str(caught.value)) < 3000


def test_nan_is_left_to_the_search(tmp_path: Path) -> None:
    evaluator = made(tmp_path, """print('{"accuracy": NaN}')""")
    value = evaluator.evaluate(uniform(evaluator, "4u"), 0).values["accuracy"]
    assert value != value


def test_a_flood_is_cut_and_its_last_line_read(tmp_path: Path) -> None:
    script = """
import sys
for _ in range(64):
    sys.stdout.write("x" * (1 << 20) + "\\n"); sys.stderr.write("y" * (1 << 20))
print('{"accuracy": 0.25}')
"""
    evaluator = made(tmp_path, script)
    assert evaluator.evaluate(uniform(evaluator, "4u"), 0).values["accuracy"] == 0.25


REFUSED: dict[str, tuple[dict[str, Any], type[InputError], str]] = {
    "a shell line": ({"command": "python train.py"}, DefinitionError, "give the words as a list"),
    "no assignment": ({"command": ["train"]}, DefinitionError, "has no {assignment}"),
    "a misspelt word": (
        {"command": ["train", "{asignment}"]}, UnknownName, "did you mean 'assignment'?",
    ),
    "epochs for nobody": (
        {"command": ["train", "{assignment}"], "epochs": 4}, DefinitionError, "neither {budget}",
    ),
    "a layer without weights": ({"layers": {"a": 0}}, DefinitionError, "a has 0 weights"),
    "two sources": ({"workload": "w.json"}, DefinitionError, "layers or workload, not both"),
    "resume alone": (
        {"command": ["t", "{assignment}", "{resume}"]}, DefinitionError, "needs {checkpoint}",
    ),
    "accuracy in another unit": (
        {"measures": {"storage": {"direction": "min"}}}, DefinitionError, "has its unit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_definitions(tmp_path: Path, what: str) -> None:
    changes, kind, text = REFUSED[what]
    with pytest.raises(kind, match=text.replace("{", r"\{").replace("?", r"\?")):
        made(tmp_path, **changes)


def test_no_layers(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="needs one source of layers"):
        made(tmp_path, layers=None).layers()


def test_check_finds_what_is_missing(tmp_path: Path) -> None:
    made(tmp_path).check()
    gone = made(tmp_path, command=["no-such-program", "{assignment}"])
    with pytest.raises(DefinitionError, match="no program 'no-such-program' on PATH"):
        gone.check()
    with pytest.raises(DefinitionError, match=r"no file other\.py"):
        made(tmp_path, command=["{python}", "other.py", "{assignment}"]).check()


def test_another_script_is_another_study(tmp_path: Path) -> None:
    first = made(tmp_path).fingerprint()
    second = made(tmp_path, SCRIPT + "\n# longer\n").fingerprint()
    assert first["command"].keys() == second["command"].keys() == {"train.py"}
    assert first["command"] != second["command"]


def test_binomial_error_needs_samples() -> None:
    assert binomial_error(0.5, None) is None
    assert binomial_error(float("nan"), 10) is None
    assert binomial_error(0.5, True) is None


def test_it_runs_where_the_definition_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'import os, json; print(json.dumps({"accuracy": 0.5, "where": os.getcwd()}))'
    evaluator = made(tmp_path, script)
    monkeypatch.chdir(Path(sys.prefix))
    done = evaluator.evaluate(uniform(evaluator, "4u"), 0)
    assert done.details["where"] == str(tmp_path.resolve())  # type: ignore[index]


def test_epochs_that_the_command_is_not_told_are_refused(tmp_path: Path) -> None:
    words = ["{python}", "train.py", "{assignment}", "split={split}"]
    evaluator = made(tmp_path, command=words)
    candidate = uniform(evaluator, "4u")
    assert evaluator.confirm(candidate, 1).values["accuracy"] > 0
    with pytest.raises(DefinitionError, match=r"neither \{budget\} nor \{epochs\}"):
        evaluator.confirm(candidate, 1, epochs=9)
