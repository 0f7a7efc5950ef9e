"""What the runs of a comparison of strategies came to: ranking, verdict, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from hqsearch.analysis.verdict import COSTS, LEAST, Verdict
from hqsearch.analysis.yardstick import (
    Charge,
    Clock,
    Course,
    Yardstick,
    at_seconds,
    by_evaluation,
    by_seconds,
    spread,
)
from hqsearch.atomic import write_atomically
from hqsearch.problem.objective import Objective
from hqsearch.store.records import RunRecord
from hqsearch.wording import command, option

#: Seeds below which a comparison of two strategies says nothing.
FEWEST = 4


@dataclass(frozen=True)
class Variant:
    """A strategy as it was named: ``nsga2:assist=false`` or ``nsga2:from=sensitivity@12``.

    ``first`` is how many evaluations of its source's run it starts from; None: all of them.
    """

    label: str
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    source: Variant | None = None
    first: int | None = None


@dataclass(frozen=True)
class Entry:
    """One run of a comparison."""

    variant: Variant
    seed: int
    run: RunRecord
    charged: list[Charge]
    course: Course
    verdicts: list[Verdict]
    raw: Course | None = None
    """As measured, where ``course`` goes by the model's means."""


@dataclass(frozen=True)
class ComparedStrategies:
    """What the runs of a comparison came to."""

    study: str
    title: str
    created: str
    evaluations: int
    seeds: tuple[int, ...]
    objectives: tuple[Objective, ...]
    yardstick: Yardstick
    variants: tuple[Variant, ...]
    entries: tuple[Entry, ...]
    uniform: Course
    """Of the uniform assignments alone."""
    union: float
    """Hypervolume of everything that these runs evaluated."""
    noisy: bool
    """Whether accuracies are measured with an error."""
    clock: Clock
    versions: dict[str, str]
    hopeless: str = ""
    """Why nothing can be said of accuracies; empty where something can."""
    uniform_raw: Course | None = None
    union_raw: float | None = None
    """As measured, where everything else goes by the model's means."""

    @property
    def modelled(self) -> bool:
        """Whether volumes go by the means of the accuracy model, as the study's front does."""
        return self.uniform_raw is not None

    def of(self, variant: Variant) -> list[Entry]:
        return [e for e in self.entries if e.variant == variant]


def equal_seconds(comparison: ComparedStrategies) -> float:
    """Worker time that every strategy has spent at its end: the least median of them."""
    return min(median(worker_seconds(e) for e in comparison.of(v)) for v in comparison.variants)


def ranked(comparison: ComparedStrategies) -> list[Variant]:
    """Strategies by median hypervolume, best first."""
    return sorted(
        comparison.variants,
        key=lambda v: -spread([final_hypervolume(e) for e in comparison.of(v)])[0],
    )


def verdict_lines(comparison: ComparedStrategies) -> list[str]:
    """Against the uniform assignments, between the strategies, and how far it carries."""
    lines = [f"No verdict, {comparison.hopeless}."] if comparison.hopeless else []
    lines += [_against_uniform(comparison, variant) for variant in ranked(comparison)]
    lines += _between(comparison)
    if len(comparison.seeds) == 1:
        lines.append(
            f"One seed: how much a strategy varies cannot be told; {option('seeds', 5)} tells."
        )
    if comparison.noisy:
        lines.append(
            "Accuracies are those of the search, one training each on the validation split: the "
            "best of many flatter, and seeds vary the search but not the trainings. Confirm: "
            + command("confirm", comparison.study)
        )
    return lines


def _against_uniform(comparison: ComparedStrategies, variant: Variant) -> str:
    entries = comparison.of(variant)
    start = 100 * float(comparison.uniform.hypervolume[-1])
    gain = 100 * median(final_hypervolume(e) for e in entries) - start
    count = len(entries)
    grown = f"{variant.label}: hypervolume {gain:+.2f} on the uniform assignments' {start:.2f}"
    if "accuracy" not in {o.name for o in comparison.objectives}:
        return (
            f"{grown}; what it saves is told at equal accuracy, which this study does not measure"
        )
    parts = []
    for baseline in sorted({v.baseline for e in entries for v in e.verdicts}):
        own = [v for e in entries for v in e.verdicts if v.baseline == baseline]
        wins = [v for v in own if v.outcome == "saves"]
        even = [v for v in own if v.outcome == "not distinguishable"]
        gains = [v for v in own if v.outcome == "gains"]
        failed = [v for v in own if v.outcome == "failed"]
        if failed:
            parts.append(f"{baseline} not known ({failed[0].reason})")
        elif gains and len(gains) >= len(wins):
            gap = 100 * median(v.accuracy_difference or 0.0 for v in gains)
            parts.append(
                f"{baseline} in {len(wins)} of {count} ({gap:+.1f} points in {len(gains)})"
            )
        elif wins:
            shares = {c: median((v.savings or {}).get(c, 0.0) for v in wins) for c in COSTS}
            saved = [f"{share:.0%} {c}" for c, share in shares.items() if share >= LEAST]
            parts.append(f"{baseline} in {len(wins)} of {count} ({', '.join(saved)})")
        elif even:
            parts.append(f"{baseline} in 0 of {count} (cannot be told in {len(even)})")
        else:
            parts.append(f"{baseline} in 0 of {count}")
    told = "; ".join(parts) if parts else "none was completed"
    return f"{grown}; saves at as much accuracy against uniform {told}"


def _between(comparison: ComparedStrategies) -> list[str]:
    """The best strategy against each other one: a two-sided Mann–Whitney test over seeds."""
    order = ranked(comparison)
    if len(order) < 2 or len(comparison.seeds) < 2:
        return []
    best = [final_hypervolume(e) for e in comparison.of(order[0])]
    from scipy.stats import mannwhitneyu

    lines = []
    for variant in order[1:]:
        other = [final_hypervolume(e) for e in comparison.of(variant)]
        wins = sum(a > b for a, b in zip(best, other, strict=True))
        told = f"{order[0].label} over {variant.label}: larger in {wins} of {len(best)} seeds"
        if len(best) < FEWEST:
            lines.append(f"{told}; too few seeds to tell them apart")
            continue
        p = float(mannwhitneyu(best, other, alternative="two-sided").pvalue)
        word = "distinguishable" if p < 0.05 else "not distinguishable"
        lines.append(f"{told}; {word} (Mann–Whitney p = {p:.2g})")
    return lines


def comparison_json(comparison: ComparedStrategies) -> dict[str, Any]:
    """Everything, as one JSON document."""
    return {
        "study": comparison.study,
        "title": comparison.title,
        "created": comparison.created,
        "evaluations": comparison.evaluations,
        "clock": comparison.clock,
        "seeds": list(comparison.seeds),
        "yardstick": comparison.yardstick.as_json(),
        "uniform": {
            "hypervolume": round(float(comparison.uniform.hypervolume[-1]), 6),
            "best": list(comparison.uniform.best),
        },
        "union": round(comparison.union, 6),
        "modelled": comparison.modelled,
        "raw": _raw_json(comparison),
        "equal_seconds": round(equal_seconds(comparison), 3),
        "strategies": [_strategy_json(comparison, v) for v in ranked(comparison)],
        "verdict": verdict_lines(comparison),
        "versions": comparison.versions,
    }


def _raw_json(comparison: ComparedStrategies) -> dict[str, Any] | None:
    """Volumes as measured, where the others go by the model's means."""
    uniform, union = comparison.uniform_raw, comparison.union_raw
    if uniform is None or union is None:
        return None
    strategies = {}
    for variant in comparison.variants:
        courses = [e.raw for e in comparison.of(variant) if e.raw is not None]
        ends = [float(c.hypervolume[-1]) if c.evaluations else 0.0 for c in courses]
        middle, low, high = (round(v, 6) for v in spread(ends))
        strategies[variant.label] = {"median": middle, "q25": low, "q75": high}
    return {
        "uniform": round(float(uniform.hypervolume[-1]), 6),
        "union": round(union, 6),
        "hypervolume": strategies,
    }


def _strategy_json(comparison: ComparedStrategies, variant: Variant) -> dict[str, Any]:
    entries = comparison.of(variant)
    courses = [e.course for e in entries]
    middle, low, high = spread([final_hypervolume(e) for e in entries])
    return {
        "label": variant.label,
        "strategy": variant.strategy,
        "starts_from": variant.source.label if variant.source else None,
        "starts_from_first": variant.first,
        "hypervolume": {
            "median": round(middle, 6),
            "q25": round(low, 6),
            "q75": round(high, 6),
        },
        "at_equal_seconds": dict(
            zip(
                ("median", "q25", "q75"),
                at_seconds(courses, equal_seconds(comparison)),
                strict=True,
            )
        ),
        "best": [median_of([c.best[i] for c in courses]) for i in range(len(courses[0].best))],
        "by_evaluation": by_evaluation(courses),
        "by_worker_seconds": by_seconds(courses),
        "runs": [
            {
                "run": e.run.ordinal,
                "seed": e.seed,
                "options": e.run.options,
                "evaluations": e.course.evaluations,
                "exhausted": e.run.exhausted,
                "worker_seconds": round(worker_seconds(e), 3),
                "tasks": sum(c.trial is None and not c.part for c in e.charged),
                "parts": [c.part for c in e.charged if c.part],
                "best": list(e.course.best),
                "hypervolume": [round(float(v), 6) for v in e.course.hypervolume],
                "seconds": [round(float(s), 3) for s in e.course.seconds],
                "against_uniform": [v.as_json() for v in e.verdicts],
            }
            for e in entries
        ],
    }


def write_comparison(comparison: ComparedStrategies, path: Path) -> None:
    text = json.dumps(comparison_json(comparison), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def final_hypervolume(entry: Entry) -> float:
    """Hypervolume of all that a run was charged for, a fraction of the yardstick's box."""
    return float(entry.course.hypervolume[-1]) if entry.course.evaluations else 0.0


def worker_seconds(entry: Entry) -> float:
    """What a run was charged in all."""
    return float(entry.course.seconds[-1]) if entry.course.evaluations else 0.0


def median_of(values: Iterable[float | None]) -> float | None:
    """The median of those that there are; None where fewer than half of the runs have one."""
    listed = list(values)
    known = [v for v in listed if v is not None]
    return median(known) if 2 * len(known) > len(listed) else None
