"""Hypervolume of every run, by evaluations and by time of one worker."""

from __future__ import annotations

from typing import Any

from hqsearch.analysis.pictures.hypervolume import Hypervolumes, RunCourse
from hqsearch.show.palette import strategy_marks
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel

READING = (
    "How much of the box between a point that is certainly not worth having (0 %) and the ideal "
    "(100 %) a run's front dominates, after each evaluation and by the time that one worker would "
    "have taken; the axis begins where the uniform assignments end. Higher is better; a flat end "
    "means that more evaluations brought nothing."
)
_DASHES = ("-", "--", "-.", ":")
#: Seconds from which the axis is in minutes.
MINUTES = 300.0


def draw_hypervolume(picture: Hypervolumes) -> Drawing:
    """One panel by evaluations, one by worker time."""
    minutes = max(run.seconds[-1] for run in picture.runs) >= MINUTES
    lines = _lines(picture)
    panels = [
        Panel(_drawer(picture, lines, None), _alt(picture)),
        Panel(_drawer(picture, lines, 60.0 if minutes else 1.0), _alt(picture)),
    ]
    legend = [
        LegendEntry(f"{run.strategy}, seed {run.seed}", *lines[run.run][:1], line=lines[run.run][1])
        for run in picture.runs
    ]
    return Drawing(picture.title, READING, panels, legend)


def _lines(picture: Hypervolumes) -> dict[int, tuple[str, str]]:
    """Run → colour of its strategy, and dashes that tell its runs apart."""
    marks = strategy_marks(list(dict.fromkeys(run.strategy for run in picture.runs)))
    lines = {}
    seen: dict[str, int] = {}
    for run in picture.runs:
        place = seen.get(run.strategy, 0)
        seen[run.strategy] = place + 1
        lines[run.run] = (marks[run.strategy].colour, _DASHES[place % len(_DASHES)])
    return lines


def _drawer(picture: Hypervolumes, lines: dict[int, tuple[str, str]], seconds: float | None) -> Any:
    def draw(axes: Any) -> None:
        for run in picture.runs:
            colour, dashes = lines[run.run]
            percent = [100 * v for v in run.hypervolume]
            axes.step(_times(run, seconds), percent, where="post", color=colour, ls=dashes, lw=1.5)
        if seconds is None:
            axes.set_xlabel("evaluations")
        else:
            axes.set_xlabel(f"time of one worker, {'minutes' if seconds > 1 else 'seconds'}")
        axes.set_ylabel("hypervolume, % of the box")
        axes.set_ylim(*_limits(picture))
        axes.grid(visible=True)

    return draw


def _limits(picture: Hypervolumes) -> tuple[float, float]:
    """From where runs were after the uniform assignments: what comes before hides the rest."""
    ends = [100 * run.hypervolume[-1] for run in picture.runs]
    starts = [
        100 * run.hypervolume[min(picture.baselines, len(run.hypervolume)) - 1]
        for run in picture.runs
    ]
    low, top = min(*starts, *ends), max(ends)
    room = 0.06 * ((top - low) or 1.0)
    return max(0.0, low - room), top + room


def _times(run: RunCourse, seconds: float | None) -> list[float]:
    if seconds is None:
        return [float(n) for n in range(1, len(run.hypervolume) + 1)]
    return [s / seconds for s in run.seconds]


def _alt(picture: Hypervolumes) -> str:
    ends = ", ".join(
        f"{run.strategy} seed {run.seed} {100 * run.hypervolume[-1]:.1f} % after "
        f"{len(run.hypervolume)} evaluations"
        for run in picture.runs
    )
    return f"Hypervolume of every run: {ends}."
