"""What a Markdown page holds: code blocks, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^( *)```(\S*)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced code block: its language, and the words after it (``long``, ``file=mine.py``)."""

    page: str
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def long(self) -> bool:
        return "long" in self.words

    @property
    def file(self) -> str | None:
        return next((w.removeprefix("file=") for w in self.words if w.startswith("file=")), None)

    def commands(self) -> Iterator[list[str]]:
        """The commands of a shell block as words; comments are left out."""
        text = self.text.replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                yield words[:end]
                words = words[end + 1 :]


def blocks(path: Path) -> list[Block]:
    found = []
    for indent, language, words, text in _FENCE.findall(path.read_text()):
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        found.append(Block(path.name, language, tuple(words.split()), "\n".join(lines) + "\n"))
    return found


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", path.read_text())


def links(path: Path) -> list[str]:
    return _LINK.findall(_INLINE.sub("", prose(path)))


def inline(path: Path) -> list[str]:
    """What stands in backticks."""
    return _INLINE.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """What a link to a heading of the page may end with, as GitHub makes it."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = sum(one == slug or one.startswith(f"{slug}-") for one in found)
        found.add(f"{slug}-{count}" if slug in found else slug)
    return found
