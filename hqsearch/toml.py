"""TOML files as people's editors leave them: tables, or one message that says what is wrong."""

from __future__ import annotations

import codecs
import re
import sys
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqsearch.errors import DefinitionError

#: Tables and arrays within each other; a definition has 4.
DEEPEST = 50
#: Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a mistake in it is told with file and line.

    Raises:
        DefinitionError: there is no such file, or it cannot be read or used.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DefinitionError(f"{path}: no such file") from None
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the path
        raise DefinitionError(f"{str(path)!r}: cannot be read: {error}") from None
    return parse_toml(content, str(path))


def parse_toml(content: bytes, where: str) -> dict[str, Any]:
    """The tables of a TOML document in UTF-8, with or without a byte-order mark.

    Args:
        where: names it in messages.

    Raises:
        DefinitionError: another encoding, not TOML, or values that :func:`check_values` refuses.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            raise DefinitionError(f"{where}: is in {encoding}; save it as UTF-8")
    if b"\0" in content:
        raise DefinitionError(f"{where}: not valid TOML: it holds NUL bytes; save it as UTF-8")
    try:
        return _loads(content.decode(), where)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DefinitionError(f"{where}: is not in UTF-8 (line {line}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{where}: not valid TOML: {error}") from None


def parse_value(text: str, where: str) -> Any:
    """A value in TOML, or a bare text.

    Raises:
        DefinitionError: it is one that :func:`check_values` refuses.
    """
    try:
        return _loads(f"value = {text}", where)["value"]
    except tomllib.TOMLDecodeError:
        check_values(text, where)
        return text.strip()


def check_values(value: Any, where: str, key: str = "", depth: int = 0) -> None:
    """Refuse what nothing here can mean, and what breaks libraries and terminals below.

    Raises:
        DefinitionError: tables nested too deep, an integer of more than 64 bits, or a key or text
            with a control character: no path holds a NUL, and a terminal would obey the others.
    """
    if depth > DEEPEST:
        raise DefinitionError(f"{where}: not valid TOML: brackets or tables are nested too deep")
    if isinstance(value, str):
        if any(_is_control(c) for c in value):
            raise DefinitionError(f"{where}: {key}: {value!r} holds a control character")
    elif isinstance(value, int) and value.bit_length() > 63:
        raise DefinitionError(f"{where}: {key}: the number is too long for 64 bits")
    elif isinstance(value, Mapping):
        for name, part in value.items():
            check_values(name, where, "a key")
            check_values(part, where, f"{key}.{name}" if key else name, depth + 1)
    elif isinstance(value, list):
        for part in value:
            check_values(part, where, key, depth + 1)


def _loads(text: str, where: str) -> dict[str, Any]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise DefinitionError(f"{where}: not valid TOML: brackets are nested too deep") from None
    except ValueError as error:  # more digits than Python reads, or a date that does not exist
        digits = max(map(len, re.findall("[0-9]+", text.replace("_", ""))), default=0)
        what = "a number is too long" if digits > sys.get_int_max_str_digits() else str(error)
        raise DefinitionError(f"{where}: not valid TOML: {what}") from None
    check_values(tables, where)
    return tables


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and character not in "\t\n\r"
