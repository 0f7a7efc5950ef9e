"""Operations counted beside those of the cost model, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.text import Text

from hqsearch.show.literal_table import LiteralTable

if TYPE_CHECKING:
    from hqsearch.export.counted import CountedCosts

_NAMES = ("accumulations", "multiplications", "shifts", "fetches", "updates", "others")


def counted_text(costs: CountedCosts, label: str) -> RenderableType:
    """Accumulations by operation, then totals of everything, each counted and estimated."""
    table = LiteralTable(
        title=f"Accumulations of {label} per inference ({len(costs.run.logits)} samples)",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("operation", overflow="fold")
    table.add_column("choice")
    for name in ("counted", "model, exactly", "by the profile", "torch's rates"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = [row for row in costs.rows if row.exact or row.counted["accumulations"]]
    for row in rows:
        numbers = (row.counted["accumulations"], row.exact, row.estimated["accumulations"])
        last = "" if row.recorded is None else _whole(row.recorded)
        table.add_row(row.path, row.choice or "", *map(_whole, numbers), last)
    table.add_section()
    totals = [
        costs.total("accumulations"),
        sum(row.exact for row in rows),
        costs.total("accumulations", "estimated"),
    ]
    table.add_row("total", "", *map(_whole, totals), "", style="bold")
    lines = [
        f"{name}: {_whole(costs.total(name))} counted, "
        f"{_whole(costs.total(name, 'estimated'))} by the profile"
        for name in _NAMES
    ]
    told = "why they differ: hqsearch guide take-home"
    return Group(table, Text("\n".join(["", "per inference:", *lines, told])))


def _whole(number: float) -> str:
    return f"{number:,.0f}"
