"""The analysis of schedule trainings, on tables whose answers are known."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PLACE = Path(__file__).parent


def load(name: str) -> Any:
    """A benchmark as a module; they are scripts, not a package."""
    sys.path.insert(0, str(PLACE))
    try:
        spec = importlib.util.spec_from_file_location(name, PLACE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(PLACE))
    return module


table = load("schedule_table")


def row(assignment: int, seed: int, epochs: int, right: int, **other: Any) -> dict[str, Any]:
    return {
        "set": "gesture",
        "split": 0,
        "assignment": assignment,
        "kind": "mix",
        "seed": seed,
        "epochs": epochs,
        "variant": "plain",
        "right": right,
        "samples": 1000,
        "loss": 1.0 - right / 1000,
        "train_seconds": 2.0 * epochs,
        "validate_seconds": 1.0,
        **other,
    }


def trainings(orders: dict[tuple[int, int], list[int]], **other: Any) -> list[dict[str, Any]]:
    return [
        row(i, seed, epochs, right, **other)
        for (seed, epochs), rights in orders.items()
        for i, right in enumerate(rights)
    ]


def test_ranks_share_ties_and_what_is_constant_has_no_correlation() -> None:
    rising = np.arange(5.0)
    assert table.spearman(rising, rising**3) == pytest.approx(1.0)
    assert table.spearman(rising, -rising) == pytest.approx(-1.0)
    assert table.spearman(np.array([1.0, 1, 2]), np.array([1.0, 2, 3])) == pytest.approx(0.8660254)
    assert np.isnan(table.spearman(rising, np.ones(5)))


def test_a_part_is_relative_to_the_other_seed_of_the_long_training() -> None:
    long_b = [10, 20, 30, 40, 50]
    long_a = [10, 30, 20, 40, 50]  # Spearman 0.9
    short = [20, 10, 30, 50, 40]  # 0.8
    rows = trainings({(2, 20): long_b, (1, 20): long_a, (1, 2): short, (2, 2): long_b})
    two, twenty = (
        line
        for line in table.compare(
            table.scores(rows), set(range(5)), table.median_seconds(rows), 200
        )
        if line.recipe.endswith("plain")
    )
    assert (two.recipe, two.count, two.seconds) == ("2 epochs, plain", 5, 5.0)
    assert two.correlation[0] == pytest.approx(0.8)
    assert two.part[0] == pytest.approx(0.8 / 0.9)
    assert two.correlation[1] <= 0.8 <= two.correlation[2]
    assert twenty.part == pytest.approx((1.0, 1.0, 1.0))


def test_an_interval_narrows_with_more_assignments_and_is_the_same_every_time() -> None:
    widths = []
    for n in (8, 200):
        generator = np.random.default_rng(1)
        truth = generator.normal(size=n)
        columns = truth + 0.4 * generator.normal(size=(3, n))
        first = table.intervals(columns, 300)
        assert first == table.intervals(columns, 300)
        widths.append(first[0][2] - first[0][1])
    assert widths[1] < widths[0] / 2


def test_splits_are_pooled_and_only_where_all_are_there() -> None:
    rows = [row(0, 1, 2, 900), row(0, 1, 2, 700, split=1, samples=3000), row(1, 1, 2, 800)]
    found = table.scores(rows)
    assert found[1, 2, "plain"] == {0: 1600 / 4000}


def test_other_recipes_renormed_accuracies_and_losses_are_lines_of_their_own() -> None:
    order = {(2, 20): [1, 2, 3, 4], (1, 20): [1, 2, 3, 4]}
    rows = trainings(order)
    rows += trainings({(1, 2): [1, 2, 3, 4]}, variant="batch 16")
    rows += [row(i, 1, 1, 4 - i, right_renormed=i) for i in range(4)]
    lines = table.compare(table.scores(rows), set(range(4)), table.median_seconds(rows), 50)
    parts = {line.recipe: line.part[0] for line in lines}
    assert parts["1 epochs, plain"] == pytest.approx(-1.0)
    assert parts["1 epochs, plain, norms anew"] == pytest.approx(1.0)
    assert parts["1 epochs, plain, by loss"] == pytest.approx(-1.0)
    assert parts["2 epochs, batch 16"] == pytest.approx(1.0)


def test_groups_and_a_file_that_is_not_finished(tmp_path: Path) -> None:
    rows = trainings({(2, 20): [1, 2, 3, 4, 9], (1, 20): [1, 2, 3, 4, 9], (1, 2): [1, 2, 3, 4, 0]})
    for each in rows:
        each["kind"] = "uniform" if each["assignment"] == 4 else "mix"
    file = tmp_path / "trainings.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + '\n{"set": "gest')
    text = table.report(table.read_rows(file), 50)
    assert "gesture: 15 trainings" in text
    whole, mixed = text.split("without uniforms and fp32")
    assert "2 epochs, plain               5   0.00" in whole
    assert "2 epochs, plain               4   1.00" in mixed
    few = table.report(rows[:2], 50)
    assert few.count("fewer than 4 assignments are complete") == 2


def test_the_recorded_table_reads_as_the_file_it_was_made_of(tmp_path: Path) -> None:
    recorder = load("schedule_trainings")
    (tmp_path / "parents").mkdir()
    rows = trainings({(2, 20): [1, 2, 3, 4], (1, 20): [1, 2, 3, 4], (1, 2): [2, 1, 3, 4]})
    for each in rows:
        each |= {"choices": ["2u"] * 3, "training_loss": [1.0, 0.5], "ended": "x", "start": 0}
        if each["epochs"] == 2:
            each["right_renormed"] = each["right"]
        recorder.append(tmp_path / "trainings.jsonl", each)
    recorder.append(tmp_path / "starts.jsonl", {"commit": "c"})
    to = tmp_path / "table.csv.gz"
    recorder.write_table(tmp_path, to)
    same = [table.report(table.read_rows(p), 50) for p in (to, tmp_path / "trainings.jsonl")]
    assert same[0] == same[1]
    origin = json.loads((tmp_path / "table.json").read_text())
    assert origin["trainings"] == 12
    with gzip.open(to, "rt") as file:
        assert next(csv.DictReader(file))["choices"] == "2u 2u 2u"


def test_assignments_are_spread_and_the_same_every_time() -> None:
    recorder = load("schedule_trainings")
    made = recorder.assignments(18)
    assert made == recorder.assignments(18)
    assert len(made) == len(set(made)) == 40
    kinds = [kind for kind, _ in made]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "uniform": 7,
        "mix": 25,
        "fp32 mix": 8,
    }
    bits = {int(c[0]) for kind, choices in made if kind == "mix" for c in choices}
    assert bits == {2, 3, 4}
    means = [np.mean([int(c[0]) for c in choices]) for kind, choices in made if kind == "mix"]
    assert max(means) - min(means) > 1.2
    jobs = list(recorder.queue())
    assert len(jobs) == len(set(jobs))
    assert {job.assignment for job in jobs if job.set == "gesture"} == set(range(40))
