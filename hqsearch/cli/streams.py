"""Standard streams as they come: closed, full, gone, or unable to show every character."""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import os
import sys
import unicodedata
from typing import IO, Any, NoReturn

from rich.console import Console, ConsoleDimensions

#: What stands for a character that a stream cannot hold; accents go, and the rest becomes "?".
READABLE = {
    "µ": "u", "μ": "u", "±": "+/-", "×": "x", "–": "-", "—": "-", "−": "-", "…": "...",
    "≤": "<=", "≥": ">=", "→": "->", "✓": "+", "✗": "x", "⌊": "floor(", "⌋": ")", "τ": "tau",
    "ε": "epsilon", "β": "beta", "γ": "gamma", "²": "^2", "³": "^3", "·": "*", "°": " deg",
    "“": '"', "”": '"', "‘": "'", "’": "'", "\u00a0": " ", "\u202f": " ", "━": "-", "─": "-",
    "●": "o", "◇": "D", "└": "+", "╸": "-", "╺": "-", "│": "|", "•": "*", "√": "sqrt", "Σ": "sum",
}  # fmt: skip
#: Columns of what is no terminal.
UNBROKEN = 10_000
_HANDLER = "hqsearch-readable"
_ASCII = "hqsearch-ascii"


class QuietConsole(Console):
    """A console that may go: then it says no more, and what it reported on goes on."""

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:
            _discard(self.file)

    def on_broken_pipe(self) -> None:
        _discard(self.file)


class AnswerConsole(Console):
    """A console whose reader may go: nobody wants the answer, so the command ends.

    In a pipe or a file a line is a line, however long, unless COLUMNS says how wide it is.
    """

    @property
    def size(self) -> ConsoleDimensions:
        if self.is_terminal or "COLUMNS" in os.environ:
            return super().size
        return ConsoleDimensions(UNBROKEN, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler of encodings, for characters that a stream cannot hold."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    if all("\udc80" <= c <= "\udcff" for c in lost):
        return lost.encode("ascii", "surrogateescape"), error.end  # of a file's name: as it was
    return "".join(_readable(c) for c in lost), error.end


def prepare_streams() -> None:
    """Make standard output and error safe to print anything to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened gets the number, and what is printed.
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error(_HANDLER, readable)
    codecs.register(_find_codec)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or not _is_writable(stream):
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            # click takes a stream that calls itself ASCII for a mistake, and writes UTF-8.
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=_ASCII if ascii_only else None, errors=_HANDLER)


def finish_streams(code: int) -> int:
    """Write what is still to be written.

    Returns:
        The exit code: ``code``, or 1 where that failed. A reader who went is no failure.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _discard(stream)
        except OSError as error:
            _discard(stream)
            if stream is sys.stdout and code == 0:
                code = 1
                with contextlib.suppress(OSError):
                    print(f"error: standard output: {error.strerror}", file=sys.stderr, flush=True)
    return code


def _is_writable(stream: IO[str]) -> bool:
    try:
        mode = fcntl.fcntl(stream.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, ValueError):
        return stream.writable()  # no file
    return mode != os.O_RDONLY


def holds(text: str) -> bool:
    """Whether standard output can show every character of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _readable(character: str) -> str:
    plain = READABLE.get(character)
    if plain is None:
        parts = unicodedata.normalize("NFKD", character).replace("\u2044", "/")  # of fractions
        plain = parts.encode("ascii", "ignore").decode()
    return plain or "?"


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != _ASCII.replace("-", "_"):
        return None
    plain = codecs.lookup("ascii")
    return codecs.CodecInfo(
        plain.encode, plain.decode, plain.streamreader, plain.streamwriter,
        plain.incrementalencoder, plain.incrementaldecoder, name=_ASCII,
    )  # fmt: skip


def _discard(stream: IO[str]) -> None:
    """Let everything that is or will be written to a stream go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
