"""Which files figures and reports can be written to."""

from __future__ import annotations

from pathlib import Path

from hqsearch.errors import InputError, closest
from hqsearch.wording import option

FORMATS = (".png", ".svg", ".pdf")


def check_plot(path: Path | None, name: str = "path") -> None:
    """Refuse a figure's file before hours of work, not after.

    Raises:
        InputError: its ending is none of :data:`FORMATS`, or its folder does not exist.
    """
    check_file(path, FORMATS, name)


def check_file(path: Path | None, formats: tuple[str, ...], name: str = "path") -> None:
    """Refuse a file that could not be written.

    Raises:
        InputError: its ending is none of ``formats``, or its folder does not exist.
    """
    if path is None:
        return
    asked = option(name, path)
    if path.suffix not in formats:
        near = closest(path.suffix, formats)
        hint = f"; did you mean {path.with_suffix(near).name}?" if path.suffix and near else ""
        raise InputError(f"{asked}: the file must end in {', '.join(formats)}{hint}")
    if not path.parent.is_dir():
        raise InputError(f"{asked}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise InputError(f"{asked}: this is a folder")
