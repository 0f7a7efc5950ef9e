"""A picture's legend as HTML: once for all its panels, and as large as the text around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hqsearch.show.pictures.drawing import LegendEntry
from hqsearch.show.report.sections import escaped
from hqsearch.show.report.svg import themed

#: matplotlib's marker → the shape in a box of 14 × 14.
_SHAPES: Final = {
    "o": '<circle cx="7" cy="7" r="4.2"/>',
    "s": '<rect x="2.8" y="2.8" width="8.4" height="8.4"/>',
    "^": '<path d="M7 2 L12 11.5 L2 11.5 Z"/>',
    "v": '<path d="M7 12 L12 2.5 L2 2.5 Z"/>',
    "D": '<path d="M7 2 L12 7 L7 12 L2 7 Z"/>',
    "h": '<path d="M7 2 L11.4 4.5 L11.4 9.5 L7 12 L2.6 9.5 L2.6 4.5 Z"/>',
    "P": '<path d="M5 2h4v3h3v4h-3v3h-4v-3h-3v-4h3Z"/>',
    "X": '<path d="M4 2 L7 5 L10 2 L12 4 L9 7 L12 10 L10 12 L7 9 L4 12 L2 10 L5 7 L2 4 Z"/>',
    "x": '<path d="M3 3 L11 11 M11 3 L3 11"/>',
    "|": '<path d="M7 1.5 V12.5"/>',
}
_DASHES: Final = {"-": "", "--": "6 2.5", "-.": "6 2 1.5 2", ":": "1.5 2"}
#: Shapes that are lines and have nothing to fill.
_LINES: Final = ("x", "|")


def legend_html(entries: Sequence[LegendEntry]) -> str:
    """A list of swatches and labels."""
    items = "".join(f"<li>{_swatch(entry)}{escaped(entry.label)}</li>" for entry in entries)
    return f'<ul class="legend">{items}</ul>' if entries else ""


def _swatch(entry: LegendEntry) -> str:
    if entry.line:
        shape = (
            f'<path d="M0 7 H24" stroke="{entry.colour}" stroke-width="2.2" '
            f'stroke-dasharray="{_DASHES[entry.line]}"/>'
        )
        return themed(f'<svg aria-hidden="true" width="24" height="14">{shape}</svg>')
    filled = entry.filled and entry.marker not in _LINES
    how = f'fill="{entry.colour}"' if filled else f'fill="none" stroke="{entry.colour}"'
    shape = _SHAPES[entry.marker]
    drawn = f'<g {how} stroke-width="1.6">{shape}</g>'
    return themed(f'<svg aria-hidden="true" width="14" height="14">{drawn}</svg>')
