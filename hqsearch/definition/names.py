"""Names of studies: each is a folder below the studies folder, and nothing but one."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from hqsearch.errors import DefinitionError

#: Bytes of UTF-8. File systems allow 255, and a study that is moved aside gets a longer name.
LONGEST = 200


def checked_name(name: str) -> str:
    """A study's name, as it was given.

    >>> checked_name("edge 50%?")
    'edge 50%?'

    Raises:
        DefinitionError: it could name another place than a folder of its own, or is not shown
            as it is.
    """
    wrong = _fault(name)
    if wrong:
        raise DefinitionError(
            f"a study cannot be called {name[: LONGEST // 2]!r}: {wrong}; allowed are up to "
            f"{LONGEST} bytes of letters, digits, spaces and signs but / and \\, that start with "
            "neither a dot nor a dash"
        )
    return name


def study_name(study: str) -> str:
    """The name of a study that is given by it, or by its TOML file.

    >>> study_name("conf/edge.toml")
    'edge'

    Raises:
        DefinitionError: see :func:`checked_name`.
    """
    is_file = study.endswith(".toml") or "/" in study
    return checked_name(Path(study).stem if is_file else study)


def _fault(name: str) -> str:
    """What is wrong with a name; empty where nothing is."""
    if not name.strip():
        return "it is empty"
    if name[0] in ".-":
        return f"it starts with a {'dot' if name[0] == '.' else 'dash'}"
    if "/" in name or "\\" in name:
        return "it has a / or \\ in it"
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        return "it has a control character in it, or is not valid Unicode"
    if len(name.encode()) > LONGEST:
        return f"it is {len(name.encode())} bytes long"
    return ""
