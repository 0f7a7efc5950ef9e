"""A comparison of strategies as a table, words, JSON and a figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from hqsearch.analysis.verdict import COSTS, LEAST
from hqsearch.analysis.yardstick import at_seconds, by_evaluation, by_seconds, spread
from hqsearch.atomic import write_atomically
from hqsearch.errors import InputError
from hqsearch.problem.objective import Objective
from hqsearch.show.front_plot import FORMATS
from hqsearch.show.tables import number, value_text
from hqsearch.study.comparing import Comparison, Entry, Variant

_COLORS = ("#1f5fa8", "#d9702b", "#3a8f5c", "#8a4fa3", "#b3424a", "#7a6a4f", "#3f8fa8", "#555b66")
_GREY = "#8f96a0"
#: Seeds below which a comparison of two strategies says nothing.
FEWEST = 4


def comparison_table(found: Comparison) -> Table:
    """One row per strategy, best first; the uniform assignments alone at the end."""
    yard = found.yardstick
    cost = next(o for o in found.objectives if o.name == yard.cost)
    quality = next(o for o in found.objectives if o.name == yard.quality)
    table = Table(
        title=f"Strategies on {found.study}: {found.evaluations} evaluations, "
        f"{len(found.seeds)} seed{'s' if len(found.seeds) > 1 else ''}",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("strategy", overflow="fold", min_width=20)
    table.add_column("evalu-\nations", justify="right", no_wrap=True)
    table.add_column("worker\nminutes", justify="right", no_wrap=True)
    table.add_column("hyper-\nvolume", justify="right", no_wrap=True)
    table.add_column("25–75 %", justify="right", no_wrap=True)
    equal = equal_seconds(found)
    table.add_column("equal\ntime", justify="right", no_wrap=True)
    for limit in yard.budgets:
        table.add_column(f"≤{number(limit, 3)}\n{cost.unit}", justify="right", no_wrap=True)
    for variant in ranked(found):
        entries = found.of(variant)
        middle, low, high = spread([_final(e) for e in entries])
        bests = [[e.course.best[i] for e in entries] for i in range(len(yard.budgets))]
        table.add_row(
            variant.label,
            f"{median(e.course.evaluations for e in entries):g}",
            f"{median(_spent(e) for e in entries) / 60:.1f}",
            f"{100 * middle:.2f}",
            f"{100 * low:.1f}–{100 * high:.1f}",
            f"{100 * at_seconds([e.course for e in entries], equal)[0]:.2f}",
            *(_quality(quality, _median(b)) for b in bests),
        )
    table.add_section()
    uniform = found.uniform
    table.add_row(
        "uniform alone",
        str(uniform.evaluations),
        f"{float(uniform.seconds[-1]) / 60:.1f}",
        f"{100 * uniform.hypervolume[-1]:.2f}",
        "",
        f"{100 * at_seconds([uniform], equal)[0]:.2f}",
        *(_quality(quality, b) for b in uniform.best),
    )
    return table


def equal_seconds(found: Comparison) -> float:
    """Worker time that every strategy has spent at its end: the least median of them."""
    return min(median(_spent(e) for e in found.of(v)) for v in found.variants)


def ranked(found: Comparison) -> list[Variant]:
    """Strategies by median hypervolume, best first."""
    return sorted(found.variants, key=lambda v: -spread([_final(e) for e in found.of(v)])[0])


def comparison_text(found: Comparison) -> str:
    """What is compared by what, and the verdict in words."""
    yard = found.yardstick
    units = {o.name: "" if o.unit == "fraction" else f" {o.unit}" for o in found.objectives}
    percent = ", percent," if units[yard.quality] == "" else ""
    point = ", ".join(f"{n} {number(v)}{units[n]}" for n, v in yard.reference.items())
    ideal = ", ".join(f"{n} {number(v)}{units[n]}" for n, v in yard.ideal.items())
    lines = [
        f"Hypervolume: percent of the box from the reference point ({point}) to the ideal "
        f"({ideal}), fixed for this study; everything found here together has "
        f"{100 * found.union:.2f}. Medians over seeds.",
        f"Equal time: hypervolume after {number(equal_seconds(found) / 60, 3)} worker minutes, "
        "the least that a strategy's median run has spent in all.",
        f"Last columns: best {yard.quality}{percent} at {yard.cost} up to that.",
        "Worker minutes: of the trainings that a run asked for, whoever ran them first, and of "
        "its strategy's own tasks, on one worker; proposing is not in it. "
        + ("Processor time." if found.clock == "cpu" else "Time that passed."),
    ]
    for variant in found.variants:
        if variant.source is not None:
            lines.append(
                f"{variant.label} starts from the {variant.source.label} run of the same seed and "
                "is charged for it."
            )
    labels: dict[int, list[str]] = {}
    for entry in found.entries:
        labels.setdefault(entry.run.ordinal, []).append(entry.variant.label)
    for same in dict.fromkeys(tuple(names) for names in labels.values() if len(names) > 1):
        lines.append(f"{' and '.join(same)} are the same runs: their options do not differ.")
    return "\n".join([*lines, "Verdict:", *(f"  {line}" for line in verdict_lines(found))])


def verdict_lines(found: Comparison) -> list[str]:
    """Against the uniform assignments, between the strategies, and how far it carries."""
    lines = [_against_uniform(found, variant) for variant in ranked(found)]
    lines += _between(found)
    if len(found.seeds) == 1:
        lines.append("One seed: how much a strategy varies cannot be told; --seeds 5 tells.")
    if found.noisy:
        lines.append(
            "Accuracies are those of the search, one training each on the validation split: the "
            "best of many flatter, and seeds vary the search but not the trainings. Confirm: "
            f"hqsearch confirm --study {found.study}"
        )
    return lines


def _against_uniform(found: Comparison, variant: Variant) -> str:
    entries = found.of(variant)
    start = 100 * float(found.uniform.hypervolume[-1])
    gain = 100 * median(_final(e) for e in entries) - start
    count = len(entries)
    parts = []
    for baseline in sorted({v.baseline for e in entries for v in e.verdicts}):
        own = [v for e in entries for v in e.verdicts if v.baseline == baseline]
        wins = [v for v in own if v.outcome == "saves"]
        even = [v for v in own if v.outcome == "not distinguishable"]
        if wins:
            shares = {c: median((v.savings or {}).get(c, 0.0) for v in wins) for c in COSTS}
            saved = [f"{share:.0%} {c}" for c, share in shares.items() if share >= LEAST]
            parts.append(f"{baseline} in {len(wins)} of {count} ({', '.join(saved)})")
        elif even:
            parts.append(f"{baseline} in 0 of {count} (within the error in {len(even)})")
        else:
            parts.append(f"{baseline} in 0 of {count}")
    told = "; ".join(parts) if parts else "none was completed"
    return (
        f"{variant.label}: hypervolume {gain:+.2f} on the uniform assignments' {start:.2f}; saves "
        f"at no less accuracy against uniform {told}"
    )


def _between(found: Comparison) -> list[str]:
    """The best strategy against each other one: a two-sided Mann–Whitney test over seeds."""
    order = ranked(found)
    if len(order) < 2 or len(found.seeds) < 2:
        return []
    best = [_final(e) for e in found.of(order[0])]
    from scipy.stats import mannwhitneyu

    lines = []
    for variant in order[1:]:
        other = [_final(e) for e in found.of(variant)]
        wins = sum(a > b for a, b in zip(best, other, strict=True))
        told = f"{order[0].label} over {variant.label}: larger in {wins} of {len(best)} seeds"
        if len(best) < FEWEST:
            lines.append(f"{told}; too few seeds to tell them apart")
            continue
        p = float(mannwhitneyu(best, other, alternative="two-sided").pvalue)
        word = "distinguishable" if p < 0.05 else "not distinguishable"
        lines.append(f"{told}; {word} (Mann–Whitney p = {p:.2g})")
    return lines


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Everything, as one JSON document."""
    return {
        "study": found.study,
        "title": found.title,
        "created": found.created,
        "evaluations": found.evaluations,
        "clock": found.clock,
        "seeds": list(found.seeds),
        "yardstick": found.yardstick.as_json(),
        "uniform": {
            "hypervolume": round(float(found.uniform.hypervolume[-1]), 6),
            "best": list(found.uniform.best),
        },
        "union": round(found.union, 6),
        "equal_seconds": round(equal_seconds(found), 3),
        "strategies": [_strategy_json(found, v) for v in ranked(found)],
        "verdict": verdict_lines(found),
        "versions": found.versions,
    }


def _strategy_json(found: Comparison, variant: Variant) -> dict[str, Any]:
    entries = found.of(variant)
    courses = [e.course for e in entries]
    middle, low, high = spread([_final(e) for e in entries])
    return {
        "label": variant.label,
        "strategy": variant.strategy,
        "starts_from": variant.source.label if variant.source else None,
        "hypervolume": {
            "median": round(middle, 6),
            "q25": round(low, 6),
            "q75": round(high, 6),
        },
        "at_equal_seconds": dict(
            zip(("median", "q25", "q75"), at_seconds(courses, equal_seconds(found)), strict=True)
        ),
        "best": [_median([c.best[i] for c in courses]) for i in range(len(courses[0].best))],
        "by_evaluation": by_evaluation(courses),
        "by_worker_seconds": by_seconds(courses),
        "runs": [
            {
                "run": e.run.ordinal,
                "seed": e.seed,
                "options": e.run.options,
                "evaluations": e.course.evaluations,
                "exhausted": e.run.exhausted,
                "worker_seconds": round(_spent(e), 3),
                "tasks": sum(c.trial is None for c in e.charged),
                "best": list(e.course.best),
                "hypervolume": [round(float(v), 6) for v in e.course.hypervolume],
                "seconds": [round(float(s), 3) for s in e.course.seconds],
                "against_uniform": [v.as_json() for v in e.verdicts],
            }
            for e in entries
        ],
    }


def save_comparison(found: Comparison, folder: Path) -> Path:
    """Write ``<n>.json`` and ``<n>.png``, the next free number; returns the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(p.stem) for p in folder.glob("*.json") if p.stem.isdigit()]
    path = folder / f"{max(taken, default=0) + 1}.json"
    write_comparison(found, path)
    plot_comparison(found, path.with_suffix(".png"))
    return path


def write_comparison(found: Comparison, path: Path) -> None:
    text = json.dumps(comparison_json(found), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def check_plot(path: Path | None) -> None:
    """Refuse a figure's file before hours of runs, not after.

    Raises:
        InputError: its ending is none of ``FORMATS``.
    """
    if path is not None and path.suffix not in FORMATS:
        raise InputError(f"--plot {path}: the file must end in {', '.join(FORMATS)}")


def plot_comparison(found: Comparison, path: Path) -> None:
    """Hypervolume against evaluations and against worker time: median, quartiles shaded."""
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.2), layout="constrained")
    figure.suptitle(f"{found.title}: {len(found.seeds)} seeds", fontsize=11)
    left, right = figure.subplots(1, 2, sharey=True)
    minutes = max(_spent(e) for e in found.entries) >= 300
    for index, variant in enumerate(found.variants):
        color = _COLORS[index % len(_COLORS)]
        dashes = "-" if index < len(_COLORS) else "--"
        courses = [e.course for e in found.of(variant)]
        steps, times = by_evaluation(courses), by_seconds(courses)
        _band(left, steps["evaluations"], steps, color, dashes, variant.label)
        clock = [s / 60 if minutes else s for s in times["seconds"]]
        _band(right, clock, times, color, dashes, variant.label)
    for axes in (left, right):
        axes.axhline(
            100 * found.uniform.hypervolume[-1], color=_GREY, lw=1.0, ls=":", label="uniform alone"
        )
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    floor = 100 * min(float(found.uniform.hypervolume[-1]), *(_final(e) for e in found.entries))
    top = 100 * max(_final(e) for e in found.entries)
    left.set_ylim(floor - 0.15 * (top - floor or 0.1), top + 0.05 * (top - floor or 0.1))
    left.set_xlabel("evaluations")
    right.set_xlabel(f"time of one worker, {'minutes' if minutes else 'seconds'}")
    left.set_ylabel("hypervolume, % of the fixed box")
    # Below: nowhere within the axes is sure to be free of curves.
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(found.variants) + 1, 5),
        frameon=False,
        fontsize=8,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _band(
    axes: Any, x: Sequence[float], rows: dict[str, list[float]], color: str, dashes: str, label: str
) -> None:
    low, middle, high = ([100 * v for v in rows[name]] for name in ("q25", "median", "q75"))
    axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0, step="post")
    axes.step(x, middle, where="post", color=color, ls=dashes, lw=1.6, label=label)


def _final(entry: Entry) -> float:
    return float(entry.course.hypervolume[-1]) if entry.course.evaluations else 0.0


def _spent(entry: Entry) -> float:
    return float(entry.course.seconds[-1]) if entry.course.evaluations else 0.0


def _quality(objective: Objective, value: float | None) -> str:
    """Fractions in percent, without the sign: a terminal has 80 columns."""
    return value_text(objective, value).removesuffix(" %")


def _median(values: Iterable[float | None]) -> float | None:
    """Of those that there are; None where fewer than half of the runs have one."""
    listed = list(values)
    known = [v for v in listed if v is not None]
    return median(known) if 2 * len(known) > len(listed) else None
