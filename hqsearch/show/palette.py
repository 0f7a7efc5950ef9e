"""Colours and marks, the same meaning in every picture.

Blue is uniform codes and orange power-of-two ones, the darker the more bits; grey is fp32.
Strategies have other hues and a mark of their own, so that nothing rests on colour alone.
The hues are those that stay apart under the common kinds of colour blindness (after Okabe and
Ito); every colour is unique here, for the report exchanges it for that of a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass

from hqsearch.errors import DefinitionError
from hqsearch.schemes.choice import parse_choice


@dataclass(frozen=True)
class Colour:
    """On white paper, and on a dark page."""

    light: str
    dark: str


@dataclass(frozen=True)
class Mark:
    """How a strategy, a study or an assignment is drawn: colour and matplotlib's marker."""

    colour: str
    marker: str


#: Role → colour. Inks have a contrast of at least 4.5 with the page, marks of at least 3.
COLOURS = {
    "ink": Colour("#1c2430", "#e8ebf0"),
    "muted": Colour("#59626e", "#a5aebb"),
    "grid": Colour("#d5d9df", "#333b47"),
    "paper": Colour("#fefefe", "#14181f"),
    "evaluated": Colour("#8c95a1", "#6f7986"),
    "mark-0": Colour("#00795c", "#2fc79d"),
    "mark-1": Colour("#a8417f", "#ef8fc6"),
    "mark-2": Colour("#7a6500", "#d8c04a"),
    "mark-3": Colour("#3b3fa5", "#a3a7ff"),
    "mark-4": Colour("#8a3b2a", "#f0a08c"),
    "mark-5": Colour("#35636f", "#8cc9d8"),
    "uniform-low": Colour("#6aaede", "#b5dcf7"),
    "uniform-mid": Colour("#2268ae", "#64aeea"),
    "uniform-high": Colour("#0b3b73", "#2f78c8"),
    "power-low": Colour("#ee9b45", "#ffd2a1"),
    "power-mid": Colour("#b85a08", "#f5953d"),
    "power-high": Colour("#6b3402", "#b8640f"),
    "fp32": Colour("#4a4f57", "#c3c8d0"),
    "other-low": Colour("#a98bd0", "#d9c6f2"),
    "other-high": Colour("#5d3a91", "#a782dd"),
    # Text on a pale cell: dark on either page, where all cells of a dark one are pale.
    "on-pale": Colour("#1b232f", "#13171e"),
}
INK, MUTED, GRID, PAPER = (COLOURS[r].light for r in ("ink", "muted", "grid", "paper"))
EVALUATED = COLOURS["evaluated"].light
_MARKS = ("o", "s", "^", "v", "P", "X")
#: Strategy → place in the row of marks; others follow by name.
_PLACES = {"nsga2": 0, "gumbel": 1, "random": 2, "sensitivity": 3}


def mark(place: int) -> Mark:
    """The n-th mark; there are six."""
    return Mark(COLOURS[f"mark-{place % len(_MARKS)}"].light, _MARKS[place % len(_MARKS)])


def strategy_marks(names: list[str]) -> dict[str, Mark]:
    """A mark for every strategy; that of a built-in one is always the same."""
    others = sorted(name for name in names if name not in _PLACES)
    places = {**_PLACES, **{name: 4 + i for i, name in enumerate(others)}}
    return {name: mark(places[name]) for name in names}


def role_of(choice: str) -> str:
    """The colour's role of a choice.

    >>> role_of("4u"), role_of("2l"), role_of("fp32")
    ('uniform-mid', 'power-low', 'fp32')
    """
    try:
        parsed = parse_choice(choice)
    except DefinitionError:
        return "other-high"  # a structural setting
    if not parsed.scheme.has_codes:
        return "fp32"
    level = "low" if parsed.bits <= 2 else "mid" if parsed.bits <= 5 else "high"
    name = parsed.scheme.name
    if name in ("uniform", "power-of-two"):
        return f"{'uniform' if name == 'uniform' else 'power'}-{level}"
    return "other-low" if level == "low" else "other-high"


def choice_colour(choice: str) -> str:
    """On white."""
    return COLOURS[role_of(choice)].light


def text_on(choice: str) -> str:
    """``paper`` or ``on-pale``: the role of a text's colour on the colour of a choice."""
    red, green, blue = (int(choice_colour(choice)[i : i + 2], 16) for i in (1, 3, 5))
    return "on-pale" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "paper"
