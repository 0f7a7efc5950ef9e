"""A comparison of strategies as a table, words and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD

from hqsearch.analysis.comparison import (
    ComparedStrategies,
    equal_seconds,
    final_hypervolume,
    median_of,
    ranked,
    verdict_lines,
    worker_seconds,
    write_comparison,
)
from hqsearch.analysis.yardstick import at_seconds, by_evaluation, by_seconds, spread
from hqsearch.problem.objective import Objective
from hqsearch.show.formats import check_plot
from hqsearch.show.literal_table import LiteralTable
from hqsearch.show.text import number, value_text

_COLORS = ("#1f5fa8", "#d9702b", "#3a8f5c", "#8a4fa3", "#b3424a", "#7a6a4f", "#3f8fa8", "#555b66")
_GREY = "#8f96a0"


def comparison_table(comparison: ComparedStrategies) -> LiteralTable:
    """One row per strategy, best first; the uniform assignments alone at the end."""
    yard = comparison.yardstick
    cost = next(o for o in comparison.objectives if o.name == yard.cost)
    quality = next(o for o in comparison.objectives if o.name == yard.quality)
    table = LiteralTable(
        title=f"Strategies on {comparison.study}: {comparison.evaluations} evaluations, "
        f"{len(comparison.seeds)} seed{'s' if len(comparison.seeds) > 1 else ''}",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("strategy", overflow="fold", min_width=20)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("worker\nminutes", justify="right", no_wrap=True)
    table.add_column("volume", justify="right", no_wrap=True)
    table.add_column("25–75 %", justify="right", no_wrap=True)
    equal = equal_seconds(comparison)
    table.add_column("equal\ntime", justify="right", no_wrap=True)
    for limit in yard.budgets:
        table.add_column(f"≤{number(limit, 3)}\n{cost.unit}", justify="right", no_wrap=True)
    for variant in ranked(comparison):
        entries = comparison.of(variant)
        middle, low, high = spread([final_hypervolume(e) for e in entries])
        bests = [[e.course.best[i] for e in entries] for i in range(len(yard.budgets))]
        table.add_row(
            variant.label,
            f"{median(e.course.evaluations for e in entries):g}",
            f"{median(worker_seconds(e) for e in entries) / 60:.1f}",
            f"{100 * middle:.2f}",
            f"{100 * low:.1f}–{100 * high:.1f}",
            f"{100 * at_seconds([e.course for e in entries], equal)[0]:.2f}",
            *(_quality(quality, median_of(b)) for b in bests),
        )
    table.add_section()
    uniform = comparison.uniform
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


def _by_means(comparison: ComparedStrategies) -> list[str]:
    if not comparison.modelled:
        return []
    return [
        "Volumes and last columns go by the means of the accuracy model over all trainings of the "
        "study, as its front does; as measured: raw, with --json."
    ]


def comparison_text(comparison: ComparedStrategies) -> str:
    """What is compared by what, and the verdict in words."""
    yard = comparison.yardstick
    units = {o.name: "" if o.unit == "fraction" else f" {o.unit}" for o in comparison.objectives}
    percent = ", percent," if units[yard.quality] == "" else ""
    point = ", ".join(f"{n} {number(v)}{units[n]}" for n, v in yard.reference.items())
    ideal = ", ".join(f"{n} {number(v)}{units[n]}" for n, v in yard.ideal.items())
    minutes = number(equal_seconds(comparison) / 60, 3)
    lines = [
        f"Volume: hypervolume, percent of the box from the reference point ({point}) to the ideal "
        f"({ideal}), fixed for this study; everything found here together has "
        f"{100 * comparison.union:.2f}. Medians over seeds.",
        *_by_means(comparison),
        f"Equal time: hypervolume after {minutes} worker minutes, "
        "the least that a strategy's median run has spent in all.",
        f"Last columns: best {yard.quality}{percent} at {yard.cost} up to that.",
        "Worker minutes: of the trainings that a run asked for, whoever ran them first, and of "
        "its strategy's own tasks, on one worker; proposing is not in it. "
        + ("Processor time." if comparison.clock == "cpu" else "Time that passed."),
    ]
    for variant in comparison.variants:
        if variant.source is not None:
            run = f"the {variant.source.label} run of the same seed"
            if variant.first is not None:
                run = f"the first {variant.first} evaluations of {run}"
            lines.append(f"{variant.label} starts from {run} and is charged for it.")
    labels: dict[int, list[str]] = {}
    for entry in comparison.entries:
        labels.setdefault(entry.run.ordinal, []).append(entry.variant.label)
    for same in dict.fromkeys(tuple(names) for names in labels.values() if len(names) > 1):
        lines.append(f"{' and '.join(same)} are the same runs: their options do not differ.")
    return "\n".join([*lines, "Verdict:", *(f"  {line}" for line in verdict_lines(comparison))])


def save_comparison(comparison: ComparedStrategies, folder: Path) -> Path:
    """Write ``<n>.json`` and ``<n>.png``, the next free number; returns the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(p.stem) for p in folder.glob("*.json") if p.stem.isdigit()]
    path = folder / f"{max(taken, default=0) + 1}.json"
    write_comparison(comparison, path)
    plot_comparison(comparison, path.with_suffix(".png"))
    return path


def plot_comparison(comparison: ComparedStrategies, path: Path) -> None:
    """Hypervolume against evaluations and against worker time: median, quartiles shaded."""
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.2), layout="constrained")
    figure.suptitle(f"{comparison.title}: {len(comparison.seeds)} seeds", fontsize=11)
    left, right = figure.subplots(1, 2, sharey=True)
    minutes = max(worker_seconds(e) for e in comparison.entries) >= 300
    for index, variant in enumerate(comparison.variants):
        color = _COLORS[index % len(_COLORS)]
        dashes = "-" if index < len(_COLORS) else "--"
        courses = [e.course for e in comparison.of(variant)]
        steps, times = by_evaluation(courses), by_seconds(courses)
        _band(left, steps["evaluations"], steps, color, dashes, variant.label)
        clock = [s / 60 if minutes else s for s in times["seconds"]]
        _band(right, clock, times, color, dashes, variant.label)
    for axes in (left, right):
        axes.axhline(
            100 * comparison.uniform.hypervolume[-1],
            color=_GREY,
            lw=1.0,
            ls=":",
            label="uniform alone",
        )
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    floor = 100 * min(
        float(comparison.uniform.hypervolume[-1]),
        *(final_hypervolume(e) for e in comparison.entries),
    )
    top = 100 * max(final_hypervolume(e) for e in comparison.entries)
    left.set_ylim(floor - 0.15 * (top - floor or 0.1), top + 0.05 * (top - floor or 0.1))
    left.set_xlabel("evaluations")
    right.set_xlabel(f"time of one worker, {'minutes' if minutes else 'seconds'}")
    left.set_ylabel("hypervolume, % of the fixed box")
    # Below: nowhere within the axes is sure to be free of curves.
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(comparison.variants) + 1, 5),
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


def _quality(objective: Objective, value: float | None) -> str:
    """Fractions in percent, without the sign: a terminal has 80 columns."""
    return value_text(objective, value).removesuffix(" %")
