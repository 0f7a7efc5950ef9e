"""The guide: Markdown pages beside this file, listed in order by ``README.md``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from hqsearch.errors import UnknownName

_INDEX = "README.md"
_ROW = re.compile(r"^\| \[([^]]+)\]\(([a-z-]+)\.md\) \| (.+?) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A page: its ``name`` (its file is ``name.md``), title, and a line about it."""

    name: str
    title: str
    about: str

    @property
    def text(self) -> str:
        """The page as Markdown."""
        return _read(f"{self.name}.md")


def pages() -> dict[str, Page]:
    """Every page by name, in the order in which they are meant to be read."""
    rows = _ROW.findall(_read(_INDEX))
    return {name: Page(name, title, about) for title, name, about in rows}


def page(name: str) -> Page:
    """A page by its name, with or without ``.md``.

    Raises:
        UnknownName: there is none of that name; the nearest is told.
    """
    known = pages()
    short = name.removesuffix(".md").lower()
    if short not in known:
        raise UnknownName("page", name, known, "the guide")
    return known[short]


def _read(file: str) -> str:
    return (resources.files(__name__) / file).read_text(encoding="utf-8")
