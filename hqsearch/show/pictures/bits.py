"""The bit map: layers × members of the front, coloured by scheme and bits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hqsearch.analysis.pictures.bits import BitMap
from hqsearch.show.palette import COLOURS, PAPER, choice_colour, text_on
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel
from hqsearch.show.text import value_text

READING = (
    "Every column is one member of the front, cheapest first, every row one layer; the choice "
    "stands in the cell. Blue is uniform codes, orange power-of-two codes, darker more bits, grey "
    "fp32: a row of one colour is a layer on which all members agree."
)


def draw_bits(picture: BitMap) -> Drawing:
    """One panel."""
    legend = [LegendEntry(kind, choice_colour(kind), "s") for kind in picture.kinds]
    width = 1.6 + 0.34 * len(picture.columns)
    height = 0.9 + 0.24 * len(picture.dimensions)
    panel = Panel(
        lambda axes: _draw(axes, picture), alt(picture), width=max(width, 4.6), height=height
    )
    return Drawing(picture.title, shown(picture) + READING, [panel], legend, columns=1)


def shown(picture: BitMap) -> str:
    """How many members are in it, where not all are."""
    if len(picture.columns) == picture.members:
        return ""
    return f"{len(picture.columns)} of the {picture.members} members, evenly spaced. "


def alt(picture: BitMap) -> str:
    """In words."""
    counts = Counter(choice for row in picture.choices for choice in row)
    told = ", ".join(f"{choice} {n}" for choice, n in counts.most_common())
    return (
        f"Map of {len(picture.dimensions)} layers by {len(picture.columns)} members of the front; "
        f"cells by choice: {told}."
    )


def _draw(axes: Any, picture: BitMap) -> None:
    from matplotlib.patches import Rectangle

    for row, choices in enumerate(picture.choices):
        for column, choice in enumerate(choices):
            axes.add_patch(
                Rectangle((column, row), 1, 1, facecolor=choice_colour(choice), edgecolor=PAPER)
            )
            axes.text(
                column + 0.5, row + 0.52, choice.removeprefix("fp"), ha="center", va="center",
                fontsize=6.5, color=COLOURS[text_on(choice)].light,
            )  # fmt: skip
    columns = picture.columns
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(picture.dimensions), 0)
    axes.set_yticks([i + 0.5 for i in range(len(picture.dimensions))], picture.dimensions)
    by = next((o for o in picture.objectives if o.direction == "min"), picture.objectives[0])
    labels = [f"{value_text(by, c.values.get(by.name))}\n#{c.trial}" for c in columns]
    axes.set_xticks([i + 0.5 for i in range(len(columns))], labels, rotation=90, fontsize=6.5)
    axes.set_xlabel(f"{by.name}, {by.unit}; number of the trial")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
