"""A table that shows texts as they are, and every number whole however narrow the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

#: Characters that a column of text needs at least; it goes on below.
FOLDED = 12
#: Words up to this long are not broken.
LONGEST = 40


class LiteralTable(Table):
    """rich's table without its markup: brackets and colons in a text mean themselves.

    Where the columns that must not be broken do not fit side by side, every row is printed as
    lines of name and value instead.

    Args:
        title: above it, as a line.
    """

    def __init__(self, *, title: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.heading = Text(title, style="table.title") if title else None

    def add_column(
        self, header: RenderableType = "", footer: RenderableType = "", **options: Any
    ) -> None:
        options.setdefault("no_wrap", options.get("justify") == "right")  # numbers
        super().add_column(_literal(header), _literal(footer), **options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*(None if c is None else _literal(c) for c in cells), **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.heading is not None:
            # Not rich's title, which is broken to the width of the table.
            yield self.heading
        if self._needed(console, options) <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._lines()

    def _needed(self, console: Console, options: ConsoleOptions) -> int:
        """Width in characters below which rich cuts what must stay whole."""
        free = options.update(width=10_000)
        needed = self._extra_width
        for column in self.columns:
            cells = [*([column.header] if self.show_header else []), *column.cells]
            cells += [column.footer] if self.show_footer else []
            widths = [Measurement.get(console, free, cell) for cell in cells]
            padding = self._get_padding_width(column._index)
            width = max((w.maximum for w in widths), default=0)
            if not column.no_wrap:
                word = max((w.minimum for w in widths), default=0)
                width = min(width, word if FOLDED < word <= LONGEST else FOLDED)
            needed += width + padding
        return needed

    def _lines(self) -> RenderResult:
        names = [" ".join(str(column.header).split()) for column in self.columns]
        cells = [list(column.cells) for column in self.columns]
        for index in range(self.row_count):
            yield ""
            for name, column in zip(names, cells, strict=True):
                text = str(column[index])
                if text.strip():
                    yield Text(f"{name}: {text}" if name else text)
        if self.show_footer:
            yield ""
            for name, footer in zip(names, (c.footer for c in self.columns), strict=True):
                if str(footer):
                    yield Text(f"{name}: {footer}")


def _literal(cell: RenderableType) -> RenderableType:
    return Text(cell) if isinstance(cell, str) else cell


class ModulePath:
    """A module path as a cell: broken after dots, where it does not fit in a line."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __str__(self) -> str:
        return self._path

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for part in self._parts():
            if lines[-1] and len(lines[-1]) + len(part) > options.max_width:
                lines.append("")
            lines[-1] += part
        yield Text("\n".join(lines))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(max(map(len, self._parts())), len(self._path))

    def _parts(self) -> list[str]:
        names = self._path.split(".")
        return [*(f"{name}." for name in names[:-1]), names[-1]]
