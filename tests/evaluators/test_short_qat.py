"""``short-qat`` on very small networks and data: the contract, a user's network, bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hqsearch.evaluators.short_qat import ShortQat

from hqsearch.analysis.paired import accuracy_difference
from hqsearch.definition import embedded, load_study
from hqsearch.errors import DataError, DefinitionError, PluginError, UnknownName
from hqsearch.evaluator import Evaluator, PrepareContext, ScoresTask, Setup, SupernetTask
from hqsearch.evaluator.details import checked
from hqsearch.evaluator.per_sample import unpack_correct
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.qat import short_training
from hqsearch.testing import EvaluatorContract, prepare_here

SMALL = {
    "data.train": 33,
    "data.validation": 22,
    "data.test": 11,
    "data.size": 16,
    "model.timesteps": 2,
    "model.embed_dim": 16,
    "model.depth": 1,
    "model.heads": 2,
    "evaluation.parent_epochs": 2,
    "evaluation.parent_threads": 1,
    "evaluation.batch_size": 11,
}


def make(folder: Path, study: str = "gesture", **overrides: Any) -> ShortQat:
    given = {**SMALL, **{k.replace("__", "."): v for k, v in overrides.items()}}
    given = {k: v for k, v in given.items() if v is not None}
    evaluator = make_evaluator(Setup(load_study(embedded("studies")[study], given), folder))
    assert isinstance(evaluator, ShortQat)
    return evaluator


@pytest.fixture(scope="module")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which data and parent have been prepared once for all tests."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare_here(make(folder))
    return folder


class TestContract(EvaluatorContract):
    @pytest.fixture(autouse=True)
    def _prepared(self, prepared_folder: Path) -> None:
        self.folder = prepared_folder

    def make(self, folder: Path) -> Evaluator:
        absent = folder.name == "absent"
        return make(folder if absent else self.folder)


def test_energy_follows_the_rates_of_the_quantized_network(prepared_folder: Path) -> None:
    """Recorded energy is computed from this candidate's own rates, not from its parent's."""
    evaluator = make(prepared_folder)
    candidate = evaluator.space.baseline("2u")
    done = evaluator.evaluate(candidate, 0)
    assert done.details["energy_estimate"] != done.values["energy"]
    rates = {row["layer"]: row["rate"] for row in done.details["layers"]}
    untrained = make(prepared_folder, evaluation__epochs=0).evaluate(candidate, 0)
    changed = {row["layer"]: row["rate"] for row in untrained.details["layers"]}
    assert rates != changed
    assert done.values["energy"] != untrained.values["energy"]
    assert done.values["storage"] == untrained.values["storage"]


def test_details_support_paired_comparison(prepared_folder: Path) -> None:
    evaluator = make(prepared_folder)
    first = evaluator.evaluate(evaluator.space.baseline("4u"), 0)
    n = first.details["validation_samples"]
    assert n == 22
    correct = unpack_correct(first.details["correct"], n)
    assert correct.mean() == pytest.approx(first.values["accuracy"])
    details = checked(first.details)
    same = accuracy_difference(first.values["accuracy"], details, first.values["accuracy"], details)
    assert same.paired
    assert same.mean == 0.0
    assert not same.better
    assert not same.worse


def test_a_confirmation_is_measured_on_the_test_split(
    prepared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    original = short_training.evaluate

    def spy(model: Any, samples: Any, **options: Any) -> Any:
        measured.append(len(samples))
        return original(model, samples, **options)

    monkeypatch.setattr(short_training, "evaluate", spy)
    evaluator = make(prepared_folder)
    candidate = evaluator.space.baseline("4u")
    first, again = evaluator.confirm(candidate, 7), make(prepared_folder).confirm(candidate, 7)
    assert first.values == again.values
    assert first.details == again.details
    assert measured == [11, 11]  # test samples; there are 22 for validation
    assert "validation_samples" not in first.details
    correct = unpack_correct(first.details["correct"], first.details["test_samples"])
    assert correct.mean() == pytest.approx(first.values["accuracy"])
    assert len(first.details["training_loss"]) == evaluator.options.epochs
    longer = evaluator.confirm(candidate, 7, epochs=3)
    assert len(longer.details["training_loss"]) == 3
    assert evaluator.confirm(candidate, 8).details["test_loss"] != first.details["test_loss"]


def test_quantized_weights_take_few_values(prepared_folder: Path, monkeypatch: Any) -> None:
    """What is evaluated really is the assignment: each layer has as many levels as it may."""
    seen: dict[str, int] = {}
    original = short_training.evaluate_with_rates

    def spy(model: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        for path, module in model.named_modules():
            weight = getattr(module, "weight", None)
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and weight is not None:
                rows = weight.detach().reshape(len(weight), -1)
                seen[path] = max(len(torch.unique(row)) for row in rows)
        return original(model, *args, **kwargs)

    monkeypatch.setattr(short_training, "evaluate_with_rates", spy)
    evaluator = make(prepared_folder)
    choices = {
        name: ("2u", "4u", "2l", "4l", "fp32")[i % 5]
        for i, name in enumerate(evaluator.space.names)
    }
    evaluator.evaluate(evaluator.space.candidate(choices), 0)
    limit = {"2u": 4, "2l": 3, "4u": 16, "4l": 15}
    for path, choice in choices.items():
        if choice != "fp32":
            assert seen[path] <= limit[choice], path
    assert any(seen[p] > 16 for p, c in choices.items() if c == "fp32")


def test_a_damaged_plugin_and_unknown_options_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'depth'"):
        make(tmp_path, model__dpeth=3).check()
    with pytest.raises(UnknownName, match="did you mean 'spikformer'"):
        make(tmp_path, model__name="spikfromer").check()
    with pytest.raises(DefinitionError, match="multiple of"):
        make(tmp_path, model__embed_dim=20).check()
    with pytest.raises(UnknownName, match="hardware profile"):
        make(tmp_path, hardware__profile="sop-54nm").check()
    assert not list(tmp_path.iterdir())


USER_NETWORK = """
import torch
from torch import nn
from hqsearch.models.neurons import LIF

class Net(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.conv = nn.Conv2d(2, width, 3, stride=4, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.fire = LIF()
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        steps, batch = x.shape[:2]
        y = self.norm(self.conv(x.flatten(0, 1)))
        y = self.fire(y.unflatten(0, (steps, batch)))
        return self.head(y.mean((0, 3, 4)))

def build(*, timesteps, size, classes, in_channels, width=8):
    return Net(classes, width)
"""


def user_study(folder: Path, network: str, keys: str = "") -> tuple[Path, dict[str, Any]]:
    """The gesture study with a network of the user's own, and what makes it small."""
    (folder / "net.py").write_text(network)
    study = folder / "own.toml"
    head, _, rest = embedded("studies")["gesture"].read_text().partition("[model]")
    model = f'[model]\npath = "net.py:build"\ntimesteps = 2\n{keys}\n\n[evaluation]'
    study.write_text(head + model + rest.partition("[evaluation]")[2])
    return study, {k: v for k, v in SMALL.items() if not k.startswith("model.")}


def test_weights_that_a_network_loads_by_itself_are_part_of_the_study(tmp_path: Path) -> None:
    loads = USER_NETWORK.replace(
        "    return Net(",
        "    import pathlib\n"
        "    file = pathlib.Path(__file__).with_name('mine.pt')\n"
        "    net = Net(",
    )
    assert loads != USER_NETWORK
    loads += (
        "    if file.exists():\n"
        "        net.head.load_state_dict(torch.load(file, weights_only=True))\n"
        "    return net\n"
    )
    study, small = user_study(tmp_path, loads, "width = 12")

    def identity(**settings: Any) -> dict[str, Any]:
        definition = load_study(study, {**small, **settings})
        return make_evaluator(Setup(definition, tmp_path / "state")).fingerprint()["model"]

    without = identity()
    assert "brings" not in without  # random weights follow from the seed, which is recorded
    head = torch.nn.Linear(12, 11)
    torch.save(head.state_dict(), tmp_path / "mine.pt")
    first = identity()
    assert first == identity()
    assert first["brings"] == identity(**{"evaluation.seed": 9})["brings"]
    with torch.no_grad():
        head.weight[0, 0] += 1e-3
    torch.save(head.state_dict(), tmp_path / "mine.pt")
    assert {k: v for k, v in identity().items() if k != "brings"} == without
    assert identity()["brings"] != first["brings"]


def test_a_users_own_network(tmp_path: Path) -> None:
    study, small = user_study(tmp_path, USER_NETWORK, "width = 12")
    evaluator = make_evaluator(Setup(load_study(study, small), tmp_path / "state"))
    evaluator.check()
    prepare_here(evaluator)
    assert evaluator.space.names == ("conv", "head")
    done = evaluator.evaluate(evaluator.space.baseline("4u"), 0)
    assert done.details["average_bits"] == 4.0
    assert 0 < done.values["energy"] < evaluator.reference()["energy"]
    source = evaluator.fingerprint()["model"]["path"]
    (tmp_path / "net.py").write_text(USER_NETWORK.replace("stride=4", "stride=2"))
    changed = make_evaluator(Setup(load_study(study, small), tmp_path / "state"))
    assert changed.fingerprint()["model"]["path"] != source
    bad = load_study(study, {**small, "model.path": "net.py:biuld"})
    with pytest.raises(PluginError, match="did you mean 'build'"):
        make_evaluator(Setup(bad, tmp_path)).check()


def _events(path: Path, n: int, seed: int, side: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.integers(0, side, (2, n))
    t = np.sort(generator.integers(0, 300_000, n))
    p = generator.integers(0, 2, n)
    packed = np.empty((n, 5), dtype=np.uint8)
    packed[:, 0], packed[:, 1] = x, y
    packed[:, 2] = (p << 7) | (t >> 16)
    packed[:, 3], packed[:, 4] = (t >> 8) & 255, t & 255
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed.tobytes())


def test_a_folder_of_ones_own_recordings(tmp_path: Path) -> None:
    for label in ("left", "right"):
        for index in range(12):
            _events(tmp_path / "events" / label / f"{index}.bin", 500, index, 64)
    evaluator = make(
        tmp_path / "state",
        data__dataset="folder",
        data__path=str(tmp_path / "events"),
        data__sensor=[64, 64],
        data__train=12,
        data__validation=8,
        data__test=4,
    )
    evaluator.check()
    prepare_here(evaluator)
    done = evaluator.evaluate(evaluator.space.baseline("2l"), 0)
    assert done.details["validation_samples"] == 8
    assert json.dumps(done.details)
    (tmp_path / "events" / "left" / "3.bin").write_bytes(b"abc")
    with pytest.raises(DataError, match=r"3\.bin"):
        make(
            tmp_path / "other",
            data__dataset="folder",
            data__path=str(tmp_path / "events"),
            data__sensor=[64, 64],
            data__train=12,
            data__validation=8,
            data__test=4,
        ).check()


def test_a_network_of_the_wrong_shape_is_told_before_training(tmp_path: Path) -> None:
    broken = USER_NETWORK.replace("nn.Linear(width, classes)", "nn.Linear(width + 1, classes)")
    study, small = user_study(tmp_path, broken)
    evaluator = make_evaluator(Setup(load_study(study, small), tmp_path / "state"))
    with pytest.raises(PluginError, match=r"net\.py:build fails on frames"):
        evaluator.check()
    assert not (tmp_path / "state").exists()


def test_the_check_reads_recordings_and_names_all_that_cannot_be_used(tmp_path: Path) -> None:
    for label in ("left", "right"):
        for index in range(12):
            _events(tmp_path / "events" / label / f"{index}.bin", 500, index, 64)
    given = {
        "data__dataset": "folder",
        "data__path": str(tmp_path / "events"),
        "data__sensor": [64, 64],
        "data__train": 14,
        "data__validation": 6,
        "data__test": 4,
    }
    fine = make(tmp_path / "state", **given)
    fine.check()
    told: list[str] = []
    context = PrepareContext(lambda *_: None, told.append, 1, lambda *_: {})
    with pytest.raises(FileNotFoundError):  # nobody trains the parent here
        fine.prepare(context)
    assert told[0].startswith("data: 24 recordings, each (least / median / most): 0.29")
    for name in ("left/3", "right/7"):  # one event each, under a header that says nothing
        path = tmp_path / "events" / f"{name}.bin"
        path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(DataError, match=r"(?s)2 recordings .*left.3\.bin.*right.7\.bin"):
        make(tmp_path / "other", **given).check()
    assert not (tmp_path / "other").exists()


STRUCTURE = {
    "choices": ["2u", "fp32"],
    "structure": [
        {"name": "timesteps", "values": [1, 2]},
        {"name": "neuron", "values": ["lif", "integer"]},
    ],
}
ONE_EPOCH = {"evaluation__parent_epochs": 1, "evaluation__epochs": 1}


@pytest.fixture(scope="module")
def structured(tmp_path_factory: pytest.TempPathFactory) -> ShortQat:
    """A study of two timesteps and two neurons, its four parents prepared; for reading alone."""
    evaluator = make(tmp_path_factory.mktemp("structured"), space=STRUCTURE, **ONE_EPOCH)
    evaluator.check()
    prepare_here(evaluator)
    return evaluator


def test_parents_of_parts_are_trained_at_once(tmp_path: Path, structured: ShortQat) -> None:
    shutil.copytree(structured.setup.folder / "data", tmp_path / "data")
    evaluator = make(tmp_path, space=STRUCTURE, **ONE_EPOCH)
    rounds: list[list[str]] = []

    def run_at_once(payloads: Any, resources: Any, poll: Any) -> list[dict[str, Any]]:
        rounds.append([payload["parent"] for payload in payloads])
        return [evaluator.prepare_task(payload) for payload in reversed(payloads)]

    told: list[tuple[str, int, int]] = []
    context = PrepareContext(
        lambda *step: told.append(step), lambda _: None, 1, pytest.fail, run_at_once
    )
    made = evaluator.prepare(context)
    assert rounds == [list(structured.parts)]  # all of them together
    assert told[-1] == ("training 4 parents", 4, 4)
    assert made == {
        f"{what} {key}": evaluator_made
        for key, part in structured.parts.items()
        for what, evaluator_made in (
            ("data_fingerprint", part.frames.fingerprint),
            ("parent", json.loads((part.parent_folder / "parent.json").read_text())["weights"]),
        )
    }
    assert all(evaluator.preparation_seconds(key) > 0 for key in evaluator.parts)
    evaluator.prepare(context)
    assert len(rounds) == 1  # what is there is not trained again


def structural(evaluator: ShortQat, **settings: Any) -> Any:
    chosen = dict(evaluator.space.baseline("2u").items)
    return evaluator.space.candidate({**chosen, **{k: str(v) for k, v in settings.items()}})


def test_timesteps_and_neuron_are_dimensions_with_a_parent_for_each_part(
    structured: ShortQat,
) -> None:
    parts = [f"timesteps={t};neuron={n}" for t in (1, 2) for n in ("lif", "integer")]
    assert list(structured.parts) == parts
    assert len({part.parent_folder for part in structured.parts.values()}) == 4
    candidates = [structural(structured, timesteps=t, neuron="integer") for t in (1, 2)]
    energy = structured.cheap(candidates)[:, 0]
    assert energy[0] < energy[1]
    one, two = (structured.workload(f"timesteps={t};neuron=integer") for t in (1, 2))
    assert (one.timesteps, two.timesteps) == (1, 2)
    assert structured.workload() == structured.workload(parts[0])
    assert structured.outlook().preparation_seconds == 0


def test_a_structural_candidate_is_the_same_network_as_a_plain_study_to_the_bit(
    structured: ShortQat, tmp_path: Path
) -> None:
    shutil.copytree(structured.setup.folder / "data", tmp_path / "data")  # frames, not parents
    space = {"choices": ["2u", "fp32"]}
    plain = make(tmp_path, space=space, model__timesteps=1, model__neuron="integer", **ONE_EPOCH)
    prepare_here(plain)
    mine = structural(structured, timesteps=1, neuron="integer")
    one, other = structured.evaluate(mine, 0), plain.evaluate(plain.space.baseline("2u"), 0)
    assert one.values == other.values
    assert one.details == other.details
    weights = [p.parent_folder / "parent.safetensors" for p in plain.parts.values()]
    same = structured.parts["timesteps=1;neuron=integer"].parent_folder / "parent.safetensors"
    assert weights[0].read_bytes() == same.read_bytes()


def test_scores_and_supernets_are_those_of_the_part_asked_for(
    structured: ShortQat, tmp_path: Path
) -> None:
    found = [
        structured.strategy_task(ScoresTask(f"timesteps=2;neuron={n}"), 0, tmp_path / n)
        for n in ("lif", "integer")
    ]
    assert set(found[0].scores) == set(structured.space.names) - {"timesteps", "neuron"}
    assert found[0].scores != found[1].scores
    task = SupernetTask(
        target={"energy": 0.9},
        structure="timesteps=1;neuron=integer",
        training={"epochs": 2, "warmup": 1},
    )
    derived = structured.strategy_task(task, 0, tmp_path / "supernet")
    keys = [c.key for c in derived.candidates]
    assert keys
    assert all("timesteps=1;neuron=integer" in key for key in keys)
    with pytest.raises(UnknownName, match="timesteps=9"):
        structured.workload("timesteps=9;neuron=lif")


@pytest.mark.parametrize(
    "dimension, text",
    [
        ({"name": "timesteps", "values": [0, 2]}, "greater than or equal to 1"),
        ({"name": "neuron", "values": ["lif", "izhikevich"]}, "'lif', 'integer' or 'integer-lif'"),
        ({"name": "fold", "values": [True, False]}, "It offers: neuron, timesteps"),
    ],
)
def test_structure_that_the_network_does_not_have_is_refused(
    dimension: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(DefinitionError, match=text):
        _ = make(tmp_path, space={"choices": ["2u", "4u"], "structure": [dimension]}).space


def test_a_users_network_without_neurons_to_choose_is_refused_by_name(tmp_path: Path) -> None:
    study, small = user_study(tmp_path, USER_NETWORK)
    structure = [{"name": "neuron", "values": ["lif", "integer"]}]
    space = {"choices": ["2u", "4u"], "structure": structure}
    own = make_evaluator(Setup(load_study(study, {**small, "space": space}), tmp_path / "state"))
    with pytest.raises(PluginError, match="neuron"):
        own.check()
    distilled = load_study(study, {**small, "evaluation.distillation": "fine-grained"})
    with pytest.raises(DefinitionError, match="use distillation = 'logits' or 'none'"):
        make_evaluator(Setup(distilled, tmp_path / "state")).check()


@pytest.mark.parametrize("kind", ["logits", "fine-grained"])
def test_candidates_learn_of_their_parent(kind: str, prepared_folder: Path) -> None:
    plain, taught = make(prepared_folder), make(prepared_folder, evaluation__distillation=kind)
    candidate = plain.space.baseline("2u")
    one, other = plain.evaluate(candidate, 0), taught.evaluate(candidate, 0)
    assert one.details["training_loss"] != other.details["training_loss"]
    assert "distillation" not in plain.fingerprint()["evaluation"]
    assert taught.fingerprint()["evaluation"]["distillation"] == kind
    parts = [next(iter(e.parts.values())) for e in (plain, taught)]
    assert parts[0].parent_folder == parts[1].parent_folder  # one parent for both
    assert set(one.details["entropy"]) == {f"blocks.0.attention.{name}" for name in "qkv"}
    assert all(0 <= bits <= 1 for bits in one.details["entropy"].values())


def test_a_dry_run_without_recordings_tells_what_it_can(tmp_path: Path) -> None:
    small = {k: v for k, v in SMALL.items() if k.startswith("model.")}
    settings = {**small, "data.path": str(tmp_path / "nothing"), "data.size": 16}
    definition = load_study(embedded("studies")["dvs-gesture"], settings)
    found = make_evaluator(Setup(definition, tmp_path)).inspect(deep=True)
    (problem,) = found.problems
    assert "nothing does not exist" in problem
    assert found.facts["memory"]["total"] > 0
    assert "outlook" not in found.facts
