"""A small table as plain text and as HTML, for objects that print themselves."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Rows that a table shows before it says how many more there are.
SHOWN = 60


@dataclass(frozen=True)
class Grid:
    """A title, a table and lines below it; everything in it is text, whatever it looks like.

    The last column is left-aligned, all others right-aligned.
    """

    title: str = ""
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    below: Sequence[str] = field(default=())

    def text(self) -> str:
        """For a terminal."""
        lines = [self.title] if self.title else []
        shown = self.rows[:SHOWN]
        if self.heads and shown:
            table = [self.heads, *shown]
            widths = [max(len(row[i]) for row in table) for i in range(len(self.heads))]
            lines += [_line(row, widths) for row in table]
        return "\n".join([*lines, *self._more(), *self.below])

    def html(self) -> str:
        """For a notebook."""
        parts = [f"<p><b>{html.escape(self.title)}</b></p>"] if self.title else []
        shown = self.rows[:SHOWN]
        if self.heads and shown:
            heads = "".join(f"<th>{html.escape(head)}</th>" for head in self.heads)
            body = "".join(
                "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
                for row in shown
            )
            parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")
        below = [html.escape(line) for line in (*self._more(), *self.below)]
        if below:
            parts.append(f"<p>{'<br>'.join(below)}</p>")
        return "\n".join(parts)

    def _more(self) -> list[str]:
        hidden = len(self.rows) - SHOWN
        return [f"… and {hidden} more"] if hidden > 0 else []


class Printed:
    """Prints itself as its :class:`Grid`: plain text, and a table in a notebook."""

    def _grid(self) -> Grid:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._grid().text()

    def _repr_html_(self) -> str:
        return self._grid().html()


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    *cells, last = row
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, last]).rstrip()
