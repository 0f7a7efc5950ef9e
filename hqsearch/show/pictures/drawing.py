"""What every picture is made of: panels, a legend, a sentence that says how to read it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqsearch.show.formats import check_plot
from hqsearch.show.palette import GRID, INK, MUTED, PAPER

#: Dots per inch of a PNG, enough for a column of a paper.
DPI = 200
_STYLE = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    # Texts of users are in titles: a dollar sign is one.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        draw: draws into matplotlib's axes.
        alt: what it shows, for those who do not see it.
        title: above it; empty where the picture's says all.
        width, height: inches.
    """

    draw: Callable[[Any], None]
    alt: str
    title: str = ""
    width: float = 4.6
    height: float = 3.5


@dataclass(frozen=True)
class LegendEntry:
    """One line of the legend."""

    label: str
    colour: str
    marker: str = ""
    line: str = ""
    filled: bool = True


@dataclass(frozen=True)
class Drawing:
    """A picture.

    Attributes:
        title: of users' texts.
        reading: how to read it, in a sentence.
        panels: side by side, ``columns`` in a row.
        legend: below.
        hover: link of a point (see :func:`link`) → its text.
    """

    title: str
    reading: str
    panels: Sequence[Panel]
    legend: Sequence[LegendEntry] = ()
    columns: int = 2
    hover: dict[str, str] = field(default_factory=dict)


def link(study: str, trial: int) -> str:
    """What a point is marked with; the report turns it into a text and a jump to its row."""
    return f"point:{study}:{trial}"


def figure(drawing: Drawing) -> Any:
    """The whole picture as matplotlib's ``Figure``."""
    rows = math.ceil(len(drawing.panels) / drawing.columns)
    columns = min(drawing.columns, len(drawing.panels))
    width = columns * drawing.panels[0].width
    height = rows * drawing.panels[0].height + 0.3 + 0.22 * math.ceil(len(drawing.legend) / 5)
    return _drawn(drawing.panels, drawing.legend, drawing.title, (width, height), columns)


def save(drawing: Drawing, path: Path) -> None:
    """Write the picture as ``.svg``, ``.png`` or ``.pdf``.

    Raises:
        InputError: another ending, or a folder that is not there.
    """
    check_plot(path)
    import matplotlib

    made = figure(drawing)
    # A file is the same whenever it is drawn, and no date is in it.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": "hqsearch"}):
        made.savefig(path, dpi=DPI, metadata=dates[path.suffix])


def panel_svg(drawing: Drawing, place: int, salt: str) -> str:
    """One panel as SVG without the legend, its points marked by their links.

    Args:
        salt: tells the ids in it from those of other panels on a page.
    """
    import matplotlib

    panel = drawing.panels[place]
    made = _drawn([panel], (), "", (panel.width, panel.height), 1)
    text = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        made.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    return text.getvalue()


def _drawn(
    panels: Sequence[Panel],
    entries: Sequence[LegendEntry],
    title: str,
    size: tuple[float, float],
    columns: int,
) -> Any:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        made = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(made)  # so that a notebook shows it
        rows = math.ceil(len(panels) / columns)
        for place, panel in enumerate(panels):
            axes = made.add_subplot(rows, columns, place + 1)
            if panel.title:
                axes.set_title(panel.title, loc="left")
            panel.draw(axes)
        if title:
            made.suptitle(title, fontsize=10.5, color=INK)
        if entries:
            made.legend(
                [_handle(e) for e in entries], [e.label for e in entries],
                loc="outside lower center", ncols=min(len(entries), max(2, round(size[0] * 0.9))),
                handletextpad=0.4, columnspacing=1.2,
            )  # fmt: skip
    return made


def _handle(entry: LegendEntry) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=entry.colour, marker=entry.marker or None, linestyle=entry.line or "none",
        markersize=6, markerfacecolor=entry.colour if entry.filled else "none",
        markeredgecolor=entry.colour if not entry.filled or entry.marker == "x" else PAPER,
        markeredgewidth=1.1 if not entry.filled or entry.marker == "x" else 0.5,
    )  # fmt: skip


def log_axis(axis: Any) -> None:
    """A logarithmic axis with numbers that people read; called when all is drawn."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    across = axis.axis_name == "x"
    axis.axes.set_xscale("log") if across else axis.axes.set_yscale("log")
    low, high = axis.axes.get_xlim() if across else axis.axes.get_ylim()
    # 1, 2 and 5 of every decade run into each other where there are many.
    steps = (1.0, 2.0, 5.0) if high < 150 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
