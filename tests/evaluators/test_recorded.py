"""The evaluator ``recorded`` on a small made-up table, and the script that writes tables."""

from __future__ import annotations

import base64
import csv
import gzip
import importlib.util
import io
import itertools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hqsearch.evaluators.recorded import SUFFIX, Recorded, read_table, true_front
from rich.console import Console

from hqsearch.definition import embedded, load_study
from hqsearch.errors import DataError
from hqsearch.evaluator import Evaluator, ScoresTask, Setup, SupernetTask
from hqsearch.evaluator.per_sample import unpack_correct
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, storage_url
from hqsearch.study.running import Request, start
from hqsearch.testing import EvaluatorContract

CHOICES = ("2u", "4u", "fp32")
BITS = {"2u": 2, "4u": 4, "fp32": 32}
GROUPS = {"a": ["a"], "b+c": ["b", "c"]}
SAMPLES = 40
STUDY = """
space = "space.toml"
evaluator = "recorded"
[evaluation]
table = "small.csv.gz"
[[objective]]
name = "accuracy"
[[objective]]
name = "energy"
[[objective]]
name = "storage"
"""
SPACE = """
choices = ["2u", "4u", "fp32"]
[[layers]]
match = "[bc]"
tie = true
[[layers]]
match = "head"
pin = "8u"
"""


def right(key: tuple[str, ...], seed: int) -> int:
    """How many samples a made-up training gets right."""
    return 20 + sum(CHOICES.index(c) * (4 - i) for i, c in enumerate(key)) + seed


def write_table(folder: Path, without: tuple[str, ...] = ()) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    numbers = ("energy_estimate", "storage", "average_bits", "seed", "right", "loss", "energy")
    writer.writerow([*GROUPS, *numbers, "seconds", "correct"])
    for key in itertools.product(CHOICES, repeat=2):
        bits = sum(BITS[c] for c in key)
        for seed in (0, 1):
            if key != without:
                count = right(key, seed)
                packed = np.packbits(np.arange(SAMPLES) < count).tobytes()
                coded = base64.b64encode(packed).decode()
                row = [bits / 10, bits, bits / 2, seed, count, 0.5, bits / 10 + seed, 3.5, coded]
                writer.writerow([*key, *row])
    (folder / f"small{SUFFIX}").write_bytes(gzip.compress(text.getvalue().encode()))
    origin: dict[str, Any] = {
        "groups": GROUPS,
        "pinned": {"head": "8u"},
        "layers": [["a", 10], ["b", 20], ["c", 30], ["head", 5]],
        "reference": {"energy": 6.4, "storage": 64.0, "average_bits": 32.0},
        "parent": {"accuracy": 0.9, "validation_samples": SAMPLES},
        "seeds": [0, 1],
        "trainings": 18,
        "from": "2026-01-02T03:04:05+00:00",
        "notes": ["made up"],
    }
    (folder / "small.json").write_text(json.dumps(origin))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    (folder / "space.toml").write_text(SPACE)
    write_table(folder)
    return folder


def make(place: Path) -> Recorded:
    found = make_evaluator(Setup(load_study(place / "study.toml"), place / "state"))
    assert isinstance(found, Recorded)
    return found


class TestRecordedContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        place = folder.parent / "contract"
        if not place.exists():
            place.mkdir()
            (place / "study.toml").write_text(STUDY)
            (place / "space.toml").write_text(SPACE)
            write_table(place)
        return make_evaluator(Setup(load_study(place / "study.toml"), folder))


@pytest.mark.parametrize(("seed", "recorded"), [(0, 0), (1, 1), (6, 0), (7, 1)])
def test_answers_with_the_recorded_training(place: Path, seed: int, recorded: int) -> None:
    found = make(place).evaluate(make(place).space.candidate({"a": "2u", "b+c": "4u"}), seed)
    count = right(("2u", "4u"), recorded)
    assert found.values == {"accuracy": count / SAMPLES, "energy": 0.6 + recorded, "storage": 6.0}
    assert found.details["recorded_seed"] == recorded
    assert found.details["average_bits"] == 3.0
    assert found.details["energy_estimate"] == 0.6
    assert found.details["training_seconds"] == 3.5
    assert unpack_correct(found.details["correct"], SAMPLES).sum() == count
    chosen = {row["layer"]: row["choice"] for row in found.details["layers"]}
    assert chosen == {"a": "2u", "b": "4u", "c": "4u", "head": "8u"}


def test_a_training_that_the_table_lacks_is_refused(place: Path) -> None:
    write_table(place, without=("4u", "fp32"))
    evaluator = make(place)
    candidate = evaluator.space.candidate({"a": "4u", "b+c": "fp32"})
    with pytest.raises(DataError, match=r"no training of a=4u;b\+c=fp32 with seed 1; it holds 16"):
        evaluator.evaluate(candidate, 1)
    with pytest.raises(DataError, match="no training of"):
        evaluator.cheap([candidate])


def test_a_space_that_unties_layers_is_refused(place: Path) -> None:
    (place / "space.toml").write_text(
        'choices = ["2u", "4u"]\n[[layers]]\nmatch = "b"\nchoices = ["4u", "fp32"]\n'
        '[[layers]]\nmatch = "head"\npin = "8u"\n'
    )
    with pytest.raises(DataError, match="one choice for b, c; tie them"):
        make(place).check()


def test_a_space_that_frees_a_pinned_layer_is_refused(place: Path) -> None:
    (place / "space.toml").write_text(SPACE.replace("8u", "4u"))
    with pytest.raises(DataError, match="head at 8u only"):
        make(place).check()


def test_a_smaller_space_is_served(place: Path) -> None:
    (place / "space.toml").write_text(
        'choices = ["2u", "4u"]\n[[layers]]\nmatch = "[bc]"\npin = "fp32"\n'
        '[[layers]]\nmatch = "head"\npin = "8u"\n'
    )
    evaluator = make(place)
    evaluator.check()
    assert evaluator.space.size == 2
    found = evaluator.evaluate(evaluator.space.candidate({"a": "2u"}), 0)
    assert found.values["accuracy"] == right(("2u", "fp32"), 0) / SAMPLES


def test_the_scoring_pass_is_the_recorded_one(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no result of a task 'scores'"):
        make(place).strategy_task(ScoresTask(), 0, tmp_path)
    origin = json.loads((place / "small.json").read_text())
    recorded = {"scores": {"a": {"2u": 0.5}}, "training_seconds": 7.0}
    (place / "small.json").write_text(json.dumps({**origin, "scores": recorded}))
    assert make(place).strategy_task(ScoresTask(), 0, tmp_path).to_json() == recorded
    with pytest.raises(ValueError, match="supernet"):
        make(place).strategy_task(SupernetTask(), 0, tmp_path)


@pytest.mark.parametrize("name", ["small.csv.gz", "small.json"])
def test_a_table_that_is_missing_or_broken_is_named(place: Path, name: str) -> None:
    (place / name).write_bytes(b"no table")
    with pytest.raises(DataError, match="no table of recorded trainings"):
        make(place).check()
    (place / name).unlink()
    with pytest.raises(DataError, match=f"{name} does not exist"):
        make(place).check()


def test_another_table_is_another_study(place: Path) -> None:
    before = make(place).fingerprint()
    assert before == make(place).fingerprint()
    write_table(place, without=("4u", "fp32"))
    assert make(place).fingerprint() != before


def test_the_true_front_rests_on_the_mean_of_the_seeds(place: Path) -> None:
    front = true_front(read_table(place / "small.csv.gz"))
    best = min(front.tolist())
    assert best[0] == -(right(("fp32", "fp32"), 0) + 0.5) / SAMPLES
    assert best[1] == pytest.approx(6.4 + 0.5)


def test_a_search_finds_the_front_of_one_seed(place: Path) -> None:
    """Through the engine: 9 candidates are the whole space."""
    request = Request(str(place / "study.toml"), "random", 20, studies_dir=place / "studies")
    with LiveProgress(Console(quiet=True)) as progress:
        finished = start(request, progress)
    assert finished.exhausted
    assert finished.finished == 9
    reader = LogReader(storage_url(None, place / "studies" / "study"), "study")
    trials = reader.trials()
    reader.close()
    assert all(t.state == "COMPLETE" for t in trials)
    accuracies = {t.proposal.key: t.values[0] for t in trials if t.values}
    assert accuracies["a=4u;b+c=2u"] == right(("4u", "2u"), 0) / SAMPLES


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "record_trainings.py"
    spec = importlib.util.spec_from_file_location("record_trainings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_line_that_a_kill_cut_off_costs_that_training_alone(
    script: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "trainings.jsonl"
    script.append(path, {"key": "a=2u", "seed": 0})
    with path.open("a") as file:
        file.write('{"key": "a=4u", "se')
    script.append(path, {"key": "a=4u", "seed": 1})
    assert script.read(path) == [{"key": "a=2u", "seed": 0}, {"key": "a=4u", "seed": 1}]


def test_the_script_trains_the_embedded_space(script: ModuleType, tmp_path: Path) -> None:
    evaluator = script.evaluator_in(tmp_path)
    tasks = script.in_order(evaluator)
    assert len(set(tasks)) == len(tasks) == 2 * evaluator.space.size == 1250
    uniform = [c.key for c in evaluator.space.baselines().values()]
    assert [key for key, _ in tasks[: 2 * len(uniform) : 2]] == uniform
    assert tasks == script.in_order(evaluator)


def test_the_script_writes_a_table_that_can_be_read(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = script.evaluator_in(tmp_path)
    key, seed = script.in_order(evaluator)[0]
    origin = {
        "space": {},
        "layers": [[layer.path, layer.weights] for layer in evaluator.layers()],
        "reference": {"energy": 9.0, "storage": 9.0, "average_bits": 32.0},
        "parent": {"validation_samples": 10},
        "notes": [],
    }
    (tmp_path / "about.json").write_text(json.dumps(origin))
    monkeypatch.setattr(script, "scores", lambda *_: {"scores": {}})
    estimated = (1.00000000012, 2.0, 3.0)
    monkeypatch.setattr(
        script, "cheap", lambda e: {k: list(estimated) for k, s in script.in_order(e) if s == 0}
    )
    row = {"key": key, "seed": seed, "right": 7, "loss": 0.25, "energy": 1.5, "seconds": 3.0}
    row |= {"storage": 2.0, "correct": "/gA=", "ended": "2026-01-02T03:04:05+00:00"}
    script.append(tmp_path / "trainings.jsonl", row)
    with pytest.raises(SystemExit, match="1249 trainings are missing"):
        script.write_table(tmp_path, tmp_path, partial=False)
    script.write_table(tmp_path, tmp_path, partial=True)
    before = (tmp_path / "recorded.csv.gz").read_bytes()
    script.write_table(tmp_path, tmp_path, partial=True)
    assert (tmp_path / "recorded.csv.gz").read_bytes() == before
    table = read_table(tmp_path / "recorded.csv.gz")
    (found,) = table.rows.values()
    assert found["right"] == "7"
    (cheap,) = table.cheap.values()
    assert cheap == estimated

    path = tmp_path / "answers.toml"
    lines = ['space = "recorded"', 'evaluator = "recorded"', "[evaluation]"]
    lines += ['table = "recorded.csv.gz"']
    for objective in ("accuracy", "energy", "storage"):
        lines += ["[[objective]]", f'name = "{objective}"']
    path.write_text("\n".join(lines) + "\n")
    study = load_study(path)
    answering = make_evaluator(Setup(study, tmp_path / "state"))
    answering.check()
    first = next(iter(answering.space.baselines().values()))
    assert first.key == key
    assert answering.evaluate(first, seed).values["accuracy"] == 0.7


def test_the_table_that_comes_along_is_whole(tmp_path: Path) -> None:
    evaluator = make_evaluator(Setup(load_study(embedded("studies")["recorded"]), tmp_path))
    assert isinstance(evaluator, Recorded)
    evaluator.check()
    space, table = evaluator.space, evaluator.table
    assert space.size == 625
    assert len(table.rows) == 1250
    grid = np.indices(tuple(space.cardinalities)).reshape(len(space.dimensions), -1).T
    costs = evaluator.cheap(space.decode(grid)).reshape(*space.cardinalities, -1)
    # Sums over dimensions, on which sensitivity and the assisted evolution rest.
    for axis in range(4):
        steps = np.diff(costs, axis=axis)
        mean = steps.mean(axis=tuple(a for a in range(4) if a != axis), keepdims=True)
        np.testing.assert_allclose(steps, np.broadcast_to(mean, steps.shape), atol=1e-9)
    accuracies = [
        [evaluator.evaluate(c, seed).values["accuracy"] for seed in (0, 1)]
        for c in space.decode(grid)
    ]
    assert np.corrcoef(np.array(accuracies).T)[0, 1] > 0.9
    assert {"study", "versions", "machine", "commit", "from", "to"} <= set(table.origin)
    assert table.path.stat().st_size < 300 * 1024
    row = next(iter(table.rows.values()))
    samples = table.origin["parent"]["validation_samples"]
    assert unpack_correct(row["correct"], samples).sum() == int(row["right"])


def test_it_says_which_recipe_made_its_numbers(place: Path) -> None:
    told = "Recorded: 18 trainings done from 2026-01-02 on by recipe {} of short-qat."
    # A table from before recipes were counted is of the first one.
    assert make(place).notes() == [told.format(1), "made up"]
    origin = json.loads((place / "small.json").read_text())
    (place / "small.json").write_text(json.dumps({**origin, "recipe": 3}))
    assert make(place).notes()[0] == told.format(3)
