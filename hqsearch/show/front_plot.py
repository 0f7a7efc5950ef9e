"""A picture of the front: accuracy against a cost, uniform baselines marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hqsearch.errors import InputError
from hqsearch.show.formats import check_plot
from hqsearch.store.records import TrialRow

_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9702b", "#b8bec6"


def plot_front(
    front: Sequence[TrialRow], trials: Sequence[TrialRow], title: str, path: Path
) -> None:
    """Write one panel per cost (energy µJ, storage KiB), accuracy in percent with ±1 SE.

    Raises:
        InputError: the file's ending cannot be drawn to, or there is nothing to draw.
    """
    check_plot(path)
    costs = [c for c in ("energy", "storage") if any(c in (t.values or {}) for t in front)]
    if not costs or not all("accuracy" in (t.values or {}) for t in front):
        raise InputError("--plot: the study has no completed trial with accuracy and a cost")
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(5.2 * len(costs), 4.2), layout="constrained")
    figure.suptitle(title, fontsize=11)
    units = {"energy": "energy per inference, µJ", "storage": "storage, KiB"}
    for index, cost in enumerate(costs):
        axes = figure.add_subplot(1, len(costs), index + 1)
        done = [t for t in trials if t.state == "COMPLETE" and t.copy_of is None]
        _scatter(axes, [t for t in done if t.kind == "search"], cost, _GREY, "evaluated", 14)
        _errors(axes, front, cost)
        _scatter(axes, front, cost, _BLUE, "front", 34)
        baselines = [t for t in done if t.kind == "baseline"]
        _scatter(axes, baselines, cost, _ORANGE, "uniform", 46, marker="D")
        for row in baselines:
            x, y = _point(row, cost)
            axes.annotate(
                row.origin, (x, y), xytext=(5, -11), textcoords="offset points",
                fontsize=8, color=_ORANGE,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(units[cost])
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        if index == 0:
            axes.set_ylabel("validation accuracy, %")
            axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)


def _point(row: TrialRow, cost: str) -> tuple[float, float]:
    values = row.values or {}
    return values[cost], 100 * values["accuracy"]


def _scatter(
    axes: Any,
    rows: Sequence[TrialRow],
    cost: str,
    color: str,
    label: str,
    size: float,
    marker: str = "o",
) -> None:
    points = [_point(r, cost) for r in rows if r.values]
    if points:
        x, y = zip(*points, strict=True)
        axes.scatter(
            x, y, s=size, c=color, label=label, marker=marker, linewidths=0.6, edgecolors="white"
        )


def _errors(axes: Any, front: Sequence[TrialRow], cost: str) -> None:
    for row in front:
        error = row.details.accuracy_se
        if error:
            x, y = _point(row, cost)
            axes.plot([x, x], [y - 100 * error, y + 100 * error], color=_BLUE, lw=0.8, alpha=0.6)
