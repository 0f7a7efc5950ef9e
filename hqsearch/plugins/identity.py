"""Who a user's file is: a text that stays the same while the code does.

The text is ``NAME.py:OBJECT sha256 HASH code HASH``. The first hash is of the file's bytes, and
all that 0.1 wrote; the second is of the code in it and in its neighbours, and what counts.
Comments, docstrings, blank lines and the width of an indentation are no code. Tokens are
compared and not syntax trees, whose text differs from one Python to the next.
"""

from __future__ import annotations

import hashlib
import io
import tokenize
from pathlib import Path
from typing import Any

from hqsearch.plugins.neighbours import UserCode, read_user_code

_NO_CODE = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER})
_CODE = " code "


def file_identity(reference: str, folder: Path) -> str:
    """A name as it is; ``path/to/file.py:name`` as file name, name and hashes.

    Raises:
        PluginError: there is no such file, or it or a neighbour cannot be read.
    """
    place, separator, name = reference.rpartition(":")
    if not separator or not place.endswith(".py"):
        return reference
    path = folder / Path(place).expanduser()
    code = read_user_code(path)
    digest = hashlib.sha256(code.files[code.name]).hexdigest()
    return f"{path.name}:{name} sha256 {digest}{_CODE}{code_digest(code)}"


def written_by_0_1(identity: str) -> str:
    """An identity as 0.1 would have written it."""
    return identity.partition(_CODE)[0]


def code_alone(identity: str) -> str:
    """An identity without the hash of the file's bytes, which says more than the code does."""
    head, separator, code = identity.partition(_CODE)
    return f"{head.partition(' sha256 ')[0]}{_CODE}{code}" if separator else identity


def same_identity(recorded: Any, asked: Any) -> bool:
    """Whether a recorded identity, or list of identities, stands for the same code.

    >>> same_identity("a.py:A sha256 1 code 7", "a.py:A sha256 2 code 7")
    True
    >>> same_identity("a.py:A sha256 1", "a.py:A sha256 1 code 7")  # recorded by 0.1
    True
    >>> same_identity(["a.py:A sha256 1"], ["a.py:A sha256 2 code 7"])
    False
    """
    if isinstance(recorded, list) and isinstance(asked, list):
        return len(recorded) == len(asked) and all(map(same_identity, recorded, asked))
    if not (isinstance(recorded, str) and isinstance(asked, str) and _CODE in asked):
        return bool(recorded == asked)
    return recorded == written_by_0_1(asked) or code_alone(recorded) == code_alone(asked)


def code_digest(code: UserCode) -> str:
    """SHA-256 of the code of a file and its neighbours; the file's own name does not count."""
    digest = hashlib.sha256()
    for path, content in code.files.items():
        name = "" if path == code.name else path
        for part in (name.encode(), "\0".join(significant(content)).encode("utf-8", "replace")):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def significant(source: bytes) -> list[str]:
    """The tokens of a Python file that are code; its text where it is not Python."""
    source = source.replace(b"\r\n", b"\n")
    try:
        tokens = _tokens(source)
    except (tokenize.TokenError, SyntaxError, ValueError):
        return [source.decode("utf-8", "replace")]
    kept: list[str] = []
    line: list[str] = []
    for kind, text in tokens:
        if kind in (tokenize.INDENT, tokenize.DEDENT):
            kept.append(">" if kind == tokenize.INDENT else "<")
        elif kind == tokenize.NEWLINE:
            if not all(_is_plain_string(text) for text in line):  # else it is a docstring
                kept += [*line, "\n"]
            line = []
        elif kind not in _NO_CODE:
            line.append(text)
    return kept + line


def _is_plain_string(text: str) -> bool:
    return text.lstrip("rRbBuU")[:1] in ("'", '"')


def _tokens(source: bytes) -> list[tuple[int, str]]:
    """Kinds and texts; a formatted string, which Python 3.12 takes apart, in one piece."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    lines = source.decode(encoding).split("\n")
    tokens: list[tuple[int, str]] = []
    opened: list[tuple[int, int]] = []
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            opened.append(token.start)
        elif name.endswith("STRING_END"):
            (first, begin), (last, end) = opened.pop(), token.end
            if not opened:
                rows = lines[first - 1 : last]
                rows[-1] = rows[-1][:end]
                tokens.append((tokenize.STRING, "\n".join(rows)[begin:]))
        elif not opened:
            tokens.append((token.type, token.string))
    return tokens
