"""How well short trainings order candidates: the table of ``schedule_trainings.py``, whatever
part of it is there.

    python tests/benchmarks/schedule_table.py FOLDER/trainings.jsonl [--resamples 2000]
    python tests/benchmarks/schedule_table.py tests/benchmarks/schedule.csv.gz

A recipe's *part* is the rank correlation (Spearman) of its accuracies at seed A with those of 20
epochs at seed B, divided by that of 20 epochs at seed A with the same: what a long training with
another seed would reach. Never the same seed, which shares order and shifts and flatters. Intervals
are of 90 %, by a bootstrap over assignments. Splits of one set are pooled before; an assignment
counts where all splits that the file has of its set are there.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

SEED_A, SEED_B = 1, 2
LONG = 20
PLAIN, RENORMED, BY_LOSS = "plain", "plain, norms anew", "plain, by loss"
#: Name of a group and the kinds in it.
GROUPS = {
    "all": ("mix", "fp32 mix", "uniform"),
    "without uniforms and fp32": ("mix",),
}
Array = npt.NDArray[np.float64]
#: (seed, epochs, recipe) -> assignment -> what orders candidates, more is better.
Scores = dict[tuple[int, int, str], dict[int, float]]


@dataclass(frozen=True)
class Line:
    """One recipe in one group.

    Attributes:
        recipe: epochs and what differs from the study's settings.
        count: assignments.
        correlation: with the long training at the other seed: itself and its interval.
        part: of what a long training at this seed reaches; likewise.
        seconds: median CPU seconds of training and validation.
    """

    recipe: str
    count: int
    correlation: tuple[float, float, float]
    part: tuple[float, float, float]
    seconds: float


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Trainings of ``trainings.jsonl`` or of a table ``.csv.gz``; a cut line is left out."""
    if path.name.endswith(".csv.gz"):
        with gzip.open(path, "rt") as file:
            return [_typed(row) for row in csv.DictReader(file)]
    rows = []
    for text in path.read_text().splitlines():
        try:
            rows.append(json.loads(text))
        except ValueError:
            continue
    return rows


def scores(rows: Iterable[Mapping[str, Any]]) -> Scores:
    """Accuracies (and losses, negative) of one set, its splits pooled."""
    every = list(rows)
    splits = {row["split"] for row in every}
    grouped: dict[tuple[int, int, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in every:
        grouped[row["seed"], row["epochs"], row["variant"], row["assignment"]].append(row)
    found: Scores = defaultdict(dict)
    for (seed, epochs, variant, assignment), parts in grouped.items():
        if {row["split"] for row in parts} != splits:
            continue
        total = sum(row["samples"] for row in parts)
        found[seed, epochs, variant][assignment] = sum(row["right"] for row in parts) / total
        if variant != PLAIN:
            continue
        loss = sum(row["loss"] * row["samples"] for row in parts) / total
        found[seed, epochs, BY_LOSS][assignment] = -loss
        if all(row.get("right_renormed") not in (None, "") for row in parts):
            right = sum(row["right_renormed"] for row in parts)
            found[seed, epochs, RENORMED][assignment] = right / total
    return dict(found)


def spearman(a: Array, b: Array) -> float:
    """Rank correlation, ties sharing their rank; NaN where one of them is constant."""
    ranks = np.stack([rankdata(a), rankdata(b)])
    if (ranks.std(1) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def compare(found: Scores, members: set[int], seconds: Callable[[int, str], float],
            resamples: int) -> list[Line]:  # fmt: skip
    """Every recipe at seed A against the long training at seed B, over ``members``."""
    target, ceiling = (found.get((seed, LONG, PLAIN), {}) for seed in (SEED_B, SEED_A))
    lines = []
    for (seed, epochs, recipe), values in sorted(found.items(), key=_place):
        if seed != SEED_A:
            continue
        common = sorted(members & target.keys() & ceiling.keys() & values.keys())
        if len(common) < 4:
            continue
        columns = np.array([[v[i] for i in common] for v in (values, ceiling, target)])
        lines.append(
            Line(
                f"{epochs} epochs, {recipe}",
                len(common),
                *intervals(columns, resamples),
                seconds(epochs, recipe),
            )
        )
    return lines


def intervals(
    columns: Array, resamples: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Correlation and part of ``columns`` [recipe, ceiling, target; n], with 90 % intervals."""

    def of(chosen: Any) -> tuple[float, float]:
        recipe, ceiling, target = columns[:, chosen]
        reached, possible = spearman(recipe, target), spearman(ceiling, target)
        return reached, reached / possible if possible > 0 else float("nan")

    n = columns.shape[1]
    generator = np.random.default_rng(0)
    drawn = np.array([of(generator.integers(0, n, n)) for _ in range(resamples)]).reshape(-1, 2)
    value = of(np.arange(n))
    made = []
    for place in range(2):
        finite = drawn[np.isfinite(drawn[:, place]), place]
        low, high = np.quantile(finite, [0.05, 0.95]) if len(finite) else (np.nan, np.nan)
        made.append((value[place], float(low), float(high)))
    return made[0], made[1]


def median_seconds(rows: Iterable[Mapping[str, Any]]) -> Callable[[int, str], float]:
    """Median CPU seconds of a training and its validation, by epochs and recipe."""
    spent: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        total = row["train_seconds"] + row["validate_seconds"]
        spent[row["epochs"], row["variant"]].append(total)

    def seconds(epochs: int, recipe: str) -> float:
        return float(np.median(spent[epochs, PLAIN if recipe.startswith(PLAIN) else recipe]))

    return seconds


def report(rows: list[dict[str, Any]], resamples: int) -> str:
    """The whole table as text."""
    text = []
    for name in sorted({row["set"] for row in rows}):
        of_set = [row for row in rows if row["set"] == name]
        kinds = {row["assignment"]: row["kind"] for row in of_set}
        found, seconds = scores(of_set), median_seconds(of_set)
        text.append(f"{name}: {len(of_set)} trainings")
        for group, wanted in GROUPS.items():
            members = {i for i, kind in kinds.items() if kind in wanted}
            lines = compare(found, members, seconds, resamples)
            text.append(f"\n  {group}{'' if lines else ': fewer than 4 assignments are complete'}")
            if lines:
                head = f"{'n':>3}  {'correlation':<19}  {'part of the ceiling':<19}  seconds"
                text.append(f"  {'recipe':<28}{head}")
            for line in lines:
                numbers = f"{line.count:>3}  {_shown(line.correlation)}  {_shown(line.part)}"
                text.append(f"  {line.recipe:<28}{numbers}  {line.seconds:7.1f}")
        text.append("")
    return "\n".join(text)


def _place(item: tuple[tuple[int, int, str], Any]) -> tuple[bool, int, str]:
    (_, epochs, recipe), _ = item
    return not recipe.startswith(PLAIN), epochs, recipe


def _shown(value: tuple[float, float, float]) -> str:
    return f"{value[0]:5.2f} ({value[1]:5.2f}-{value[2]:5.2f})"


def _typed(row: dict[str, str]) -> dict[str, Any]:
    whole = ("split", "assignment", "seed", "epochs", "right", "samples")
    real = ("loss", "train_seconds", "validate_seconds")
    typed: dict[str, Any] = {**row, **{k: int(row[k]) for k in whole}}
    typed |= {k: float(row[k]) for k in real}
    if row["right_renormed"]:
        typed["right_renormed"] = int(row["right_renormed"])
    return typed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--resamples", type=int, default=2000)
    asked = parser.parse_args()
    print(report(read_rows(asked.table), asked.resamples))


if __name__ == "__main__":
    main()
