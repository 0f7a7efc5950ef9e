"""Which files figures can be written to."""

from __future__ import annotations

from pathlib import Path

from hqsearch.errors import InputError

FORMATS = (".png", ".svg", ".pdf")


def check_plot(path: Path | None) -> None:
    """Refuse a figure's file before hours of work, not after.

    Raises:
        InputError: its ending is none of :data:`FORMATS`.
    """
    if path is not None and path.suffix not in FORMATS:
        raise InputError(f"--plot {path}: the file must end in {', '.join(FORMATS)}")
