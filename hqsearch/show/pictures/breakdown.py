"""Energy and storage by part of the network, as dots on a logarithmic axis."""

from __future__ import annotations

from typing import Any

from hqsearch.analysis.pictures.breakdown import Breakdown, PartCosts
from hqsearch.show.palette import COLOURS, INK, PAPER, Mark
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel, log_axis
from hqsearch.show.text import number

#: What a member of the front stands for → its shape.
_MEMBERS = {"cheapest": "v", "knee": "o", "best": "^"}
READING = (
    "Every row is a part of the network, every mark one assignment; left is cheaper, and one step "
    "of the axis is a factor. The gap between fp32 and the others is what quantization saves "
    "there; the rightmost marks are where the rest is spent."
)


def draw_breakdown(picture: Breakdown) -> Drawing:
    """One panel for energy and one for storage."""
    marks = assignment_marks([a.label for a in picture.assignments])
    panels = [
        Panel(
            _drawer(picture, marks, cost),
            _alt(picture, cost, unit),
            width=4.6,
            height=1.0 + 0.3 * len(picture.parts),
        )
        for cost, unit in (("energy", "µJ"), ("storage", "KiB"))
    ]
    legend = [
        LegendEntry(label, m.colour, m.marker, filled=not is_hollow(m))
        for label, m in marks.items()
    ]
    return Drawing(picture.title, READING, panels, legend)


def assignment_marks(labels: list[str]) -> dict[str, Mark]:
    """fp32 grey, uniform a hollow diamond, members of the front by shape: no strategy's colours."""
    marks: dict[str, Mark] = {}
    for label in labels:
        if label == "uniform fp32":
            marks[label] = Mark(COLOURS["fp32"].light, "h")
        elif label.startswith("uniform "):
            marks[label] = Mark(INK, "D")
        else:
            marks[label] = Mark(INK, _MEMBERS.get(label.partition(",")[0], "s"))
    return marks


def is_hollow(m: Mark) -> bool:
    """Uniform assignments are drawn as outlines, as in every picture."""
    return m.marker == "D"


def dodge(place: int, count: int) -> float:
    """How far from its row a mark is drawn, so that equal ones do not hide each other."""
    return 0.3 * ((place + 0.5) / count - 0.5)


def _of(assignment: PartCosts, cost: str) -> dict[str, float]:
    return assignment.energy if cost == "energy" else assignment.storage


def _drawer(picture: Breakdown, marks: dict[str, Mark], cost: str) -> Any:
    def draw(axes: Any) -> None:
        for row, part in enumerate(picture.parts):
            values = [v for a in picture.assignments if (v := _of(a, cost).get(part, 0.0)) > 0]
            if values:
                axes.plot([min(values), max(values)], [row, row], color=COLOURS["grid"].light, lw=2)
        for place, assignment in enumerate(picture.assignments):
            own = _of(assignment, cost)
            lift = dodge(place, len(picture.assignments))
            rows = [r for r, part in enumerate(picture.parts) if own.get(part, 0.0) > 0]
            m = marks[assignment.label]
            hollow = is_hollow(m)
            axes.scatter(
                [own[picture.parts[r]] for r in rows],
                [r + lift for r in rows],
                s=34,
                marker=m.marker,
                zorder=3,
                facecolors="none" if hollow else m.colour,
                edgecolors=m.colour if hollow else PAPER,
                linewidths=1.2 if hollow else 0.4,
            )
        axes.set_yticks(range(len(picture.parts)), picture.parts)
        axes.set_ylim(len(picture.parts) - 0.5, -0.5)
        axes.set_xlabel("energy per inference, µJ" if cost == "energy" else "storage, KiB")
        axes.grid(visible=True, axis="x")
        axes.tick_params(axis="y", length=0)
        log_axis(axes.xaxis)

    return draw


def _alt(picture: Breakdown, cost: str, unit: str) -> str:
    totals = [
        f"{a.label} {number(sum(_of(a, cost).values()), 3)} {unit}" for a in picture.assignments
    ]
    return f"{cost.capitalize()} by part of the network; in all: {', '.join(totals)}."
