"""The front: accuracy against every cost, controls and every evaluated candidate around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hqsearch.analysis.pictures.front import FrontPicture, FrontPoint
from hqsearch.problem.objective import Objective
from hqsearch.show.palette import EVALUATED, INK, PAPER, Mark, mark, strategy_marks
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel, link, log_axis
from hqsearch.show.text import value_text
from hqsearch.store.records import IMPORT


def draw_front(picture: FrontPicture) -> Drawing:
    """One panel per cost."""
    marks = _marks(picture)
    legend = [LegendEntry("evaluated", EVALUATED, "o")]
    legend += [
        LegendEntry(_front_name(name, picture), m.colour, m.marker) for name, m in marks.items()
    ]
    uniform = [p for p in picture.points if p.strategy.startswith("uniform ")]
    if any(not p.member for p in uniform):
        legend.append(LegendEntry("uniform", INK, "D", filled=False))
    if any(p.member for p in uniform):
        legend.append(LegendEntry("uniform, on the front", INK, "D"))
    if any(p.error for p in picture.members):
        legend.append(LegendEntry("± 1 standard error", EVALUATED, "|", filled=False))
    if any(p.confirmed is not None for p in picture.points):
        legend.append(LegendEntry("confirmed (test)", INK, "x"))
    panels = [Panel(_drawer(picture, cost, marks), _alt(picture, cost)) for cost in picture.costs]
    hover = {link(p.study, p.trial): _told(p, picture) for p in picture.points}
    return Drawing(picture.title, _reading(picture), panels, legend, hover=hover)


def _reading(picture: FrontPicture) -> str:
    confirmed = any(p.confirmed is not None for p in picture.points)
    more = (
        " A cross is the same candidate retrained with fresh seeds and measured on the test split."
        if confirmed
        else ""
    )
    bars = " Bars are ±1 standard error." if any(p.error for p in picture.members) else ""
    up, above = ("Up", "above") if picture.quality.direction == "max" else ("Down", "below")
    return (
        f"{up} is better, left is cheaper; large marks are the front, what nothing else beats in "
        f"every objective at once.{bars} A diamond is a uniform assignment of every layer, filled "
        f"where it is on the front: a search is worth it where its front runs {above} and left of "
        f"them.{more}"
    )


def _front_name(name: str, picture: FrontPicture) -> str:
    if len(picture.studies) > 1:
        return f"front of {name}"
    return "front, measured elsewhere" if name == IMPORT else f"front, found by {name}"


def _group(point: FrontPoint, picture: FrontPicture) -> str:
    """What colours tell apart: studies, or within one study strategies."""
    return point.study if len(picture.studies) > 1 else point.strategy


def _marks(picture: FrontPicture) -> dict[str, Mark]:
    if len(picture.studies) > 1:
        return {name: mark(place) for place, name in enumerate(picture.studies)}
    searched = [p.strategy for p in picture.members if not p.strategy.startswith("uniform ")]
    return strategy_marks(list(dict.fromkeys(searched)))


def _drawer(picture: FrontPicture, cost: Objective, marks: dict[str, Mark]) -> Any:
    def draw(axes: Any) -> None:
        uniform = [p for p in picture.points if p.strategy.startswith("uniform ")]
        others = [p for p in picture.points if not p.member and p not in uniform]
        _scatter(axes, others, picture, cost, _Look(Mark(EVALUATED, "o"), 9, alpha=0.55))
        for name, m in marks.items():
            own = [p for p in picture.members if _group(p, picture) == name and p not in uniform]
            _whiskers(axes, own, picture, cost, m.colour)
            _scatter(axes, own, picture, cost, _Look(m, 30))
        several = len(picture.studies) > 1
        for name in picture.studies:
            own = [p for p in uniform if p.study == name]
            colour = marks[name].colour if several else INK
            _whiskers(axes, [p for p in own if p.member], picture, cost, colour)
            for member in (False, True):
                these = [p for p in own if p.member == member]
                _scatter(
                    axes, these, picture, cost, _Look(Mark(colour, "D"), 30, hollow=not member)
                )
            for p in own if name == picture.studies[0] else ():
                axes.annotate(
                    p.strategy.removeprefix("uniform "), _at(p, picture, cost),
                    xytext=(6, -9), textcoords="offset points", fontsize=7.5, color=colour,
                )  # fmt: skip
        log_axis(axes.xaxis)
        axes.set_xlabel(_axis_name(cost))
        axes.set_ylabel(_axis_name(picture.quality, picture.split))
        axes.grid(visible=True)

    return draw


def _axis_name(objective: Objective, split: str = "") -> str:
    if objective.unit == "fraction":
        return f"{split} {objective.name}, %".strip()
    per = " per inference" if objective.name == "energy" else ""
    return f"{objective.name}{per}, {objective.unit}"


def _shown(objective: Objective, value: float) -> float:
    return 100 * value if objective.unit == "fraction" else value


def _at(p: FrontPoint, picture: FrontPicture, cost: Objective) -> tuple[float, float]:
    quality = picture.quality
    return _shown(cost, p.values[cost.name]), _shown(quality, p.values[quality.name])


@dataclass(frozen=True)
class _Look:
    """How points are drawn; ``size`` in points²."""

    mark: Mark
    size: float
    alpha: float = 1.0
    hollow: bool = False


def _scatter(
    axes: Any,
    points: Sequence[FrontPoint],
    picture: FrontPicture,
    cost: Objective,
    look: _Look,
) -> None:
    if not points:
        return
    x, y = zip(*(_at(p, picture, cost) for p in points), strict=True)
    hollow, colour = look.hollow, look.mark.colour
    axes.scatter(
        x, y, s=look.size, marker=look.mark.marker, alpha=look.alpha,
        zorder=4 if hollow or look.size > 20 else 2,
        facecolors="none" if hollow else colour, edgecolors=colour if hollow else PAPER,
        linewidths=1.2 if hollow else 0.5, urls=[link(p.study, p.trial) for p in points],
    )  # fmt: skip


def _whiskers(
    axes: Any,
    points: Sequence[FrontPoint],
    picture: FrontPicture,
    cost: Objective,
    colour: str,
) -> None:
    quality = picture.quality
    for p in points:
        x, y = _at(p, picture, cost)
        if p.error:
            error = _shown(quality, p.error)
            axes.plot([x, x], [y - error, y + error], color=colour, lw=0.8, alpha=0.7, zorder=3)
        if p.confirmed is not None:
            again = _shown(quality, p.confirmed)
            axes.plot([x, x], [y, again], color=colour, lw=0.7, ls=":", zorder=3)
            axes.scatter([x], [again], s=26, marker="x", c=colour, linewidths=1.1, zorder=5)


def _told(p: FrontPoint, picture: FrontPicture) -> str:
    """What is told of a point: its values, and its assignment, whole for a member."""
    objectives = (picture.quality, *picture.costs)
    values = [
        f"{o.name} {value_text(o, p.values[o.name])}"
        + ("" if o.unit == "fraction" else f" {o.unit}")
        for o in objectives
    ]
    what = f"{p.study}, trial {p.trial}" if len(picture.studies) > 1 else f"trial {p.trial}"
    found = "measured elsewhere" if p.strategy == IMPORT else p.strategy
    lines = [f"{what} ({found})", *values]
    if p.confirmed is not None:
        lines.append(f"confirmed {value_text(picture.quality, p.confirmed)}")
    if p.member:
        lines += [f"{name}: {choice}" for name, choice in p.choices.items()]
    else:
        lines.append(p.layers)
    return "\n".join(lines)


def _alt(picture: FrontPicture, cost: Objective) -> str:
    members = sorted(picture.members, key=lambda p: p.values[cost.name])
    text = (
        f"Scatter of {picture.quality.name} against {cost.name}: {len(members)} members of the "
        f"front among {len(picture.points)} candidates"
    )
    if not members:
        return text + "."
    ends = " to ".join(
        f"{value_text(picture.quality, p.values[picture.quality.name])} at "
        f"{value_text(cost, p.values[cost.name])} {cost.unit}"
        for p in (members[0], members[-1])
    )
    return f"{text}, from {ends}."
