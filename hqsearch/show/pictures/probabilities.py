"""Selection probabilities by epoch, one panel per layer."""

from __future__ import annotations

from typing import Any

from hqsearch.analysis.pictures.probabilities import Probabilities
from hqsearch.show.palette import choice_colour
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel

READING = (
    "Every panel is a layer, every line a choice: how likely the supernet was to take it after "
    "each epoch of its training. Lines that part early are layers that are easily decided; lines "
    "that stay together are layers to which it hardly matters."
)
_DASHES = ("-", "--", "-.", ":")


def draw_probabilities(picture: Probabilities) -> Drawing:
    """Small panels, four in a row."""
    lines = {kind: _line(kind, picture.kinds) for kind in picture.kinds}
    panels = [
        Panel(_drawer(picture, name, lines), _alt(picture, name), name, width=2.3, height=1.55)
        for name in picture.dimensions
    ]
    legend = [LegendEntry(kind, choice_colour(kind), line=lines[kind]) for kind in picture.kinds]
    return Drawing(picture.title, READING, panels, legend, columns=4)


def _line(kind: str, kinds: list[str]) -> str:
    """Choices of one colour have different dashes."""
    alike = [k for k in kinds if choice_colour(k) == choice_colour(kind)]
    return _DASHES[alike.index(kind) % len(_DASHES)]


def _drawer(picture: Probabilities, name: str, lines: dict[str, str]) -> Any:
    def draw(axes: Any) -> None:
        for column, value in enumerate(picture.dimensions[name]):
            course = [row[column] for row in picture.probabilities[name]]
            axes.plot(picture.epochs, course, color=choice_colour(value), ls=lines[value], lw=1.5)
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0, 0.5, 1])
        axes.tick_params(labelsize=7)
        axes.grid(visible=True)

    return draw


def _alt(picture: Probabilities, name: str) -> str:
    last = picture.probabilities[name][-1]
    likeliest = max(range(len(last)), key=lambda i: last[i])
    value = picture.dimensions[name][likeliest]
    return f"{name}: after {picture.epochs[-1]} epochs {value} is likeliest, {last[likeliest]:.2f}."
