"""Studies of Python objects: from a module and arrays to a front, and going on with them."""

from __future__ import annotations

import asyncio
import copy
import functools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hqsearch
from hqsearch.cli import cli
from hqsearch.errors import (
    BudgetError,
    DataError,
    DefinitionError,
    InputError,
    PluginError,
    StorageError,
    StudyMismatch,
    StudyMissing,
    UnknownName,
)

from .conftest import SHORT, Tiny, frames, split

Edge = Callable[..., hqsearch.Study]
SCRIPT = """
import sys
import numpy as np
import torch
from torch import nn
import hqsearch as hq
from hqsearch.models.neurons import LIF

print("the script is run")

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(2, 4, 3, padding=1), LIF()
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        y = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.lif(y).mean((3, 4))).mean(0)

def split(n, seed):
    labels = np.arange(n) % 3
    mean = 0.3 + labels[:, None, None, None, None]
    return np.random.default_rng(seed).poisson(mean, (n, 2, 2, 8, 8)).astype(np.uint8), labels

torch.manual_seed(0)
study = hq.Study("edge", model=Net(3), data=hq.Frames(split(24, 0), split(18, 1)),
                 choices=["2u", "fp32"], studies_dir=sys.argv[1],
                 settings={"evaluation.epochs": 1, "evaluation.parent_epochs": 1})
print(study.run("random", evaluations=4, workers=int(sys.argv[2])))
for trial in study.trials():
    print(trial.choices, trial.values)
"""


def test_ten_lines_from_a_module_and_arrays_to_a_front(tmp_path: Path, module: nn.Module) -> None:
    study = hqsearch.Study(
        "edge",
        model=module,
        data=hqsearch.Frames(split(24, 0), split(18, 1), split(18, 2)),
        choices=["2u", "fp32"],
        settings=SHORT,
        studies_dir=tmp_path,
    )
    assert study.check().candidates == 4
    assert list(tmp_path.iterdir()) == []
    study.run("nsga2", evaluations=4, workers=1)
    front = study.front()
    assert 1 <= len(front) <= 4
    assert study.choose().trial in front
    confirmed = study.confirm(seeds=1, workers=1)
    # Of noise, so the parent is at chance, and that is what is to be said.
    assert confirmed.verdict.startswith("Verdict: none, for the fp32 parent is not above chance")


def test_a_script_without_a_main_guard_gives_the_same_on_two_ray_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    shown = []
    for workers in ("1", "2"):
        command = [sys.executable, str(script), str(tmp_path / workers), workers]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        told = ("note", "about to", "expected")  # they say how many workers there are
        shown.append([line for line in done.stdout.splitlines() if not line.startswith(told)])
    assert shown[0] == shown[1]
    assert sum("the script is run" in line for line in shown[1]) == 1
    assert "4 of 4 evaluations" in shown[1][1]


def test_a_modules_weights_are_where_its_training_starts_and_stay_its_own(
    edge: Edge, module: nn.Module, tmp_path: Path
) -> None:
    before = copy.deepcopy(module.state_dict())
    study = edge(module, settings={**SHORT, "evaluation.parent_learning_rate": 1e-30})
    study.run("random", evaluations=4, workers=1)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    from safetensors.torch import load_file

    (parent,) = (tmp_path / "studies" / "edge" / "parents").glob("*/parent.safetensors")
    assert torch.allclose(load_file(parent)["conv.weight"], before["conv.weight"])


def test_a_callable_starts_from_the_studys_seed(edge: Edge) -> None:
    def build(classes: int, in_channels: int, width: int = 4) -> nn.Module:
        return Tiny(in_channels, classes, width)

    torch.manual_seed(0)
    first = edge(build)._request(None, "auto", None, "auto", None).definition
    torch.manual_seed(1)
    again = edge(build)._request(None, "auto", None, "auto", None).definition
    other = edge(build, settings={"evaluation.seed": 5})
    assert first == again
    seeded = other._request(None, "auto", None, "auto", None).definition
    assert first is not None
    assert seeded is not None
    assert first.model.object["weights"] != seeded.model.object["weights"]
    assert first.model.object["layers"] == {"conv": [4, 2, 3, 3], "head": [3, 4]}


def test_options_go_to_the_callable(edge: Edge) -> None:
    found = edge(lambda classes, width: Tiny(2, classes, width), options={"width": 6}).check()
    assert [(layer.path, layer.weights) for layer in found.layers] == [("conv", 108), ("head", 18)]
    told = edge(lambda classes: Tiny(2, classes), options={"width": 6}).check().problems
    assert "cannot be called with the keywords classes, width" in told[0]


def test_a_function_in_a_file_travels_by_file_and_hash(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SCRIPT.split("def split")[0].replace('print("the script is run")', "")
    file = tmp_path / "my_network.py"
    file.write_text(source + "\ndef build(classes):\n    return Net(classes)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import my_network

    study = edge(my_network.build)
    definition = study._request(None, "auto", None, "auto", None).definition
    assert definition is not None
    assert definition.model is not None
    assert (definition.model.path, definition.model.object) == (f"{file}:build", None)
    study.run("random", evaluations=3, workers=1)
    # Nothing but its name is needed: the file and the frames are there.
    named = hqsearch.Study("edge", studies_dir=tmp_path / "studies")
    assert named.run("random", evaluations=4, workers=1).finished == 4
    file.write_text(file.read_text() + "\nCHANGED = True\n")
    with pytest.raises(StudyMismatch, match=r"model\.path"):
        named.run("random", evaluations=5, workers=1)


def test_equal_objects_go_on_and_others_are_refused(edge: Edge, module: nn.Module) -> None:
    edge(module).run("random", evaluations=3, workers=1)
    assert edge(copy.deepcopy(module)).run("random", evaluations=4, workers=1).ordinal == 0
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.conv.weight[0, 0, 0, 0] += 1.0
    wider = Tiny(width=5)
    for model, part in ((other, "model.object.weights"), (wider, "model.object.layers.conv")):
        with pytest.raises(StudyMismatch, match=part):
            edge(model).run("random", evaluations=6, workers=1)
        assert part in edge(model).check().problems[0]


def test_resume_needs_an_equal_object(
    edge: Edge, module: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stop(hqsearch.Listener):
        def changed(self, state: Any) -> None:
            if state.finished == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edge(module).run("random", evaluations=4, workers=1, listener=Stop())
    named = hqsearch.Study("edge", studies_dir=tmp_path / "studies")
    for work in (named.resume, lambda: named.run("random"), named.confirm):
        with pytest.raises(InputError, match=r"made from Python objects.*Study\('edge', model="):
            work()
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.head.bias += 1.0
    with pytest.raises(StudyMismatch, match=r"model\.object\.weights"):
        edge(other).resume(workers=1)
    data = hqsearch.Frames(split(24, 9), split(18, 1), split(18, 2))
    with pytest.raises(StudyMismatch, match=r"data\.contents"):
        edge(module, data=data).resume(workers=1)
    # Reading needs no objects.
    assert len(named.trials()) >= 2
    assert named.status().evaluations_left > 0
    folder = str(tmp_path / "studies")
    for command in ("front", "trials", "status"):
        cli([command, "--study", "edge", "--studies-dir", folder], standalone_mode=False)
    assert "edge" in capsys.readouterr().out
    assert edge(copy.deepcopy(module)).resume(workers=1).finished == 4


def test_nothing_of_the_object_is_stored(edge: Edge, module: nn.Module, tmp_path: Path) -> None:
    edge(module).run("random", evaluations=3, workers=1)
    files = [p.name for p in (tmp_path / "studies").rglob("*") if p.is_file()]
    assert not [name for name in files if name.endswith((".pkl", ".pt", ".pth", ".pickle"))]


def test_frames_are_written_once_and_only_when_a_run_starts(
    edge: Edge, module: nn.Module, tmp_path: Path
) -> None:
    study = edge(module)
    with pytest.raises(UnknownName):
        study.run("nsag2")
    with pytest.raises(UnknownName):
        study.run("random", settings={"evaluation.epoch": 3})
    assert list(tmp_path.iterdir()) == []
    study.run("random", evaluations=3, workers=1)
    (folder,) = (tmp_path / "studies" / "edge" / "data").glob("frames-*[!k]")
    changed = (folder / "train-frames.npy").stat().st_mtime_ns
    study.run("random", evaluations=4, workers=1)
    assert (folder / "train-frames.npy").stat().st_mtime_ns == changed


def test_without_test_data_a_confirmation_is_refused(edge: Edge, module: nn.Module) -> None:
    study = edge(module, data=hqsearch.Frames(split(24, 0), split(18, 1)))
    study.run("random", evaluations=3, workers=1)
    with pytest.raises(InputError, match=r"no test split.*Frames\(train, validation, test\)"):
        study.confirm(seeds=1)


def test_channels_are_those_of_the_frames(edge: Edge) -> None:
    three = hqsearch.Frames(split(12, 0, channels=3), split(9, 1, channels=3))
    study = edge(lambda in_channels, classes: Tiny(in_channels, classes), data=three)
    assert study.check().layers[0].weights == 4 * 3 * 9
    assert study.run("random", evaluations=3, workers=1).finished == 3
    told = edge(Tiny(2), data=three).check().problems
    assert "fails on frames [2, 1, 3, 8, 8]" in told[0]


def test_real_values_are_told_with_their_rounding_error(edge: Edge, module: nn.Module) -> None:
    train, labels = split(24, 0)
    validation, others = split(18, 1)
    data = hqsearch.Frames((train * 0.37 - 1.0, labels), (validation * 0.37 - 1.0, others))
    run = edge(module, data=data).run("random", evaluations=3, workers=1)
    assert any("real-valued" in n and "rounding error of at most" in n for n in run.notes)


def test_inside_a_running_event_loop(edge: Edge, module: nn.Module) -> None:
    async def work() -> int:
        return edge(module).run("random", evaluations=3, workers=1).finished

    assert asyncio.run(work()) == 3


@pytest.mark.parametrize(
    ("keys", "error", "told"),
    [
        ({"data": 3}, DefinitionError, "data must be hqsearch.Frames"),
        ({"data": "nmist"}, UnknownName, "did you mean 'nmnist'"),
        ({"data": None}, InputError, "a network needs data"),
        ({"settings": {"model.timesteps": 4}}, DefinitionError, "decided by the frames"),
        ({"settings": {"evaluation.epoch": 4}}, UnknownName, "did you mean 'epochs'"),
        ({"choices": ["2u", "9x"]}, InputError, "9x"),
        ({"objectives": ["accuracy"]}, DefinitionError, "at least two"),
        ({"objectives": ["accuracy", "enregy"]}, UnknownName, "did you mean 'energy'"),
        ({"space": {"choices": ["2u"], "layer": []}}, UnknownName, "unknown key 'layer'"),
        ({"options": {"width": 3}}, DefinitionError, "options are those of a model"),
    ],
)
def test_bad_input(
    edge: Edge,
    module: nn.Module,
    tmp_path: Path,
    keys: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    given = {"choices": None, **keys} if "space" in keys else keys
    with pytest.raises(error, match=told):
        edge(module, **given).run("random", evaluations=3, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: 3, "returned a int"),
        (lambda width: Tiny(width=width), "cannot be called"),
        (functools.partial(Tiny, classes=3), ""),
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), "fails on frames"),
    ],
)
def test_networks_that_cannot_be_used_are_told(edge: Edge, model: Any, told: str) -> None:
    problems = edge(model).check().problems
    assert (problems == ()) if not told else (told in problems[0])


def test_a_module_whose_state_cannot_be_copied_says_what_to_do(
    edge: Edge, module: nn.Module
) -> None:
    module.lif.membrane = torch.ones(2, requires_grad=True) * 2
    with pytest.raises(PluginError, match="Reset the state"):
        edge(module).run("random", evaluations=3, workers=1)


def test_no_data_no_resume(edge: Edge, module: nn.Module) -> None:
    with pytest.raises(StorageError, match="edge"):
        edge(module).resume()
    with pytest.raises(DataError, match="is missing"):
        hqsearch.Frames(split(3, 0), None)


def test_a_folder_of_recordings(tmp_path: Path, edge: Edge, module: nn.Module) -> None:
    told = edge(module, data=hqsearch.Frames.from_folder(tmp_path / "absent", size=8))
    assert "absent" in told.check().problems[0]


def test_frames_print() -> None:
    assert repr(frames()) == "Frames(train, validation, test)"


def test_storage_that_nobody_meets_is_refused_before_anything_is_made(
    edge: Edge, module: nn.Module, tmp_path: Path
) -> None:
    """It needs no training to be known; what energy needs is known after the parent's."""
    study = edge(module, constraints={"storage": "<= 1 B"})
    (problem,) = study.check().problems
    assert "budget storage <= 1 B cannot be met: the cheapest candidate needs" in problem
    with pytest.raises(BudgetError, match="cannot be met") as refused:
        study.run("random", evaluations=4, workers=1)
    assert refused.value.exit_code == 2
    study = edge(module)
    with pytest.raises(BudgetError, match="target storage <= 1e-05 fp32 cannot be met"):
        study.run("gumbel", options={"target": {"storage": 1e-5}}, evaluations=4, workers=1)
    assert not (tmp_path / "studies").exists()
    found = study.check(settings={"constraints.storage": "<= 1 MiB"})
    assert any("budget storage <= 1 MiB binds nobody" in note for note in found.notes)


def test_what_was_prepared_before_a_refusal_can_be_removed(
    edge: Edge, module: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = edge(module, constraints={"energy": "<= 0.001 pJ"})
    assert study.check().ok
    with pytest.raises(BudgetError, match="cannot be met") as refused:
        study.run("random", evaluations=4, workers=1)
    assert refused.value.exit_code == 1
    with pytest.raises(StudyMissing, match="has no log"):
        study.status()
    words = ["--study", "edge", "--studies-dir", str(tmp_path / "studies")]
    cli(["clean", *words, "--yes"], standalone_mode=False)
    assert "removed" in capsys.readouterr().out
    assert not list(study.folder.rglob("*.safetensors"))
    assert not (study.folder / "prepared.json").exists()


class Spiking(nn.Module):
    """A neuron that nobody knows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x >= 1.0).float()


class Own(Tiny):
    def __init__(self) -> None:
        super().__init__()
        self.lif = Spiking()


@pytest.mark.parametrize("neurons", [[Spiking], [{"class": Spiking, "reset": "zero"}]])
def test_neurons_are_declared_by_their_classes(edge: Edge, neurons: list[Any]) -> None:
    found = edge(Own(), neurons=neurons).check()
    assert "[model] neurons" in found.findings.facts["neurons"]["lif"]
    asked = [note for note in found.notes if "nothing says what a spike of lif does" in note]
    assert len(asked) == (neurons == [Spiking])
    assert all('Spiking", reset = "zero"}]' in note for note in asked)


class Leaky(Spiking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fired, v = [], torch.zeros_like(x[0])
        for current in x:
            v = v * 0.5 + current
            fired.append((v >= 1.0).float())
            v = v * (1.0 - fired[-1])
        return torch.stack(fired)


def test_products_value_by_value_are_no_attention(edge: Edge) -> None:
    model = Own()
    model.lif = Leaky()
    operations = edge(model).check().findings.facts["operations"]
    assert any(name.startswith("product") for name in operations), operations
    assert not any(name.startswith("attention") for name in operations)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"neurons": [3]}, "neurons: each is a class, its name, or a dictionary.*given: 3"),
        ({"neurons": [("a", "b")]}, "neurons: each is a class"),
        ({"neurons": [{"class": "Spiking", "reset": "zer"}]}, "reset: .*'subtract'.*given: 'zer'"),
        ({"neurons": [{"class": "Spiking", "rest": "zero"}]}, "did you mean 'reset'"),
        ({"weights": "w.safetensors", "rename": [3]}, "rename: each is a pair"),
        ({"weights": "w.safetensors", "rename": [("a",)]}, "rename: each is a pair"),
        ({"settings": {"model.weights": "w", "model.rename": [["a"]]}}, "rename: each is a pair"),
    ],
)
def test_declarations_that_cannot_be_read_are_problems(
    edge: Edge, keys: dict[str, Any], told: str
) -> None:
    (problem,) = edge(Own(), **keys).check().problems
    assert re.search(told, problem), problem


def broken(**_: Any) -> nn.Module:
    raise ValueError("no such layer")


@pytest.mark.parametrize("local", [True, False])
def test_a_function_that_raises_is_a_problem(edge: Edge, local: bool) -> None:
    study = edge((lambda **keys: broken(**keys)) if local else broken)
    assert "fails to build a network: ValueError: no such layer" in study.check().problems[0]
    with pytest.raises(PluginError, match="fails to build a network"):
        study.run("random", evaluations=4)
