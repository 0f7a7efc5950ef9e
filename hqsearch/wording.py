"""Texts that others wrote, as a log, a table and a terminal can hold them; commands to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

#: Characters of a failure's reason that are kept: this many of its start, and of its end.
HEAD, TAIL = 1500, 400

#: Whether a command asks, and not Python: texts name options as they are given.
_TYPED: ContextVar[bool] = ContextVar("typed", default=False)
#: Options whose name in Python is another one.
_TYPED_AS = {"recordings": "data", "path": "-o"}

#: What UTF-8 does not have.
_SURROGATES = re.compile("[\ud800-\udfff]")
#: And what moves a terminal's cursor, changes its colours or the direction of its text.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""A text with unprintable characters written out; line ends and tabs stay.

    >>> print(printable("red: \x1b[31m, half a character: \ud83d"))
    red: \x1b[31m, half a character: \ud83d
    """
    return _UNPRINTABLE.sub(_escaped, text)


def reason(text: object) -> str:
    """A failure's reason: printable, and no longer than a person reads."""
    told = text if isinstance(text, str) else str(text)
    left_out = len(told) - HEAD - TAIL
    if left_out > 0 and not told.startswith(" …", HEAD):
        told = f"{told[:HEAD]} … {left_out} characters … {told[-TAIL:]}"
    return printable(told)


def command(name: str, study: str, *more: str, studies_dir: Path = Path("studies")) -> str:
    """A command as a person may type it, whatever the study is called and wherever it lies.

    >>> command("show", "edge 50%", "--trial", "N", studies_dir=Path("/data/s"))
    "hqsearch show --study 'edge 50%' --trial N --studies-dir /data/s"
    """
    words = ["hqsearch", name, "--study", study, *more]
    if studies_dir.resolve() != Path("studies").resolve():
        words += ["--studies-dir", str(studies_dir)]
    return shlex.join(words)


@contextmanager
def for_commands() -> Iterator[None]:
    """Inside, texts name options as the command line does."""
    token = _TYPED.set(True)
    try:
        yield
    finally:
        _TYPED.reset(token)


def option(name: str, value: object = None) -> str:
    """An option as whoever asks gives it: as a keyword of Python, or on the command line.

    >>> option("studies_dir"), option("workers", 0), option("fresh", True)
    ('studies_dir', 'workers=0', 'fresh=True')
    >>> with for_commands():
    ...     option("studies_dir"), option("workers", 0), option("controls", False)
    ('--studies-dir', '--workers 0', '--no-controls')
    """
    if not _TYPED.get():
        return name if value is None else f"{name}={value}"
    typed = _TYPED_AS.get(name, name)
    typed = typed if typed.startswith("-") else f"--{typed.replace('_', '-')}"
    if value is False:
        return typed.replace("--", "--no-", 1)
    return typed if value is None or value is True else f"{typed} {value}"


def setting(key: str, value: object) -> str:
    """One key of the definition, as whoever asks gives it.

    >>> setting("data.size", 32)
    "settings={'data.size': 32}"
    >>> with for_commands():
    ...     setting("data.size", 32)
    '--set data.size=32'
    """
    return f"--set {key}={value}" if _TYPED.get() else f"settings={{{key!r}: {value}}}"


def described(error: BaseException) -> str:
    """An exception in words; also one that cannot be asked for them."""
    try:
        text = str(error)
    except Exception as second:
        text = f"its message cannot be told, {type(second).__name__}"
    return reason(f"{type(error).__name__}: {text}".removesuffix(": "))


def storable(value: Any) -> Any:
    """A JSON value whose texts are UTF-8: halves of characters are written out."""
    if isinstance(value, str):
        return _SURROGATES.sub(_escaped, value)
    if isinstance(value, dict):
        return {storable(k): storable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [storable(v) for v in value]
    return value


def _escaped(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
