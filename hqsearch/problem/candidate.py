"""Candidates: one value for every dimension of a space.

A candidate's text key is ``name=value;name=value``. Names are module paths, which may hold
anything, and in a name ``=`` and ``;`` are written twice: the first single ``=`` ends a name, and
of an odd number of ``;`` the first one ends a value. Names without either are written as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hqsearch.errors import DefinitionError

_PART = re.compile(r"((?:[^=]|==)+)=(.+)", re.DOTALL)
#: The first of an odd number of semicolons.
_END = re.compile(r"(?<!;);(?=(?:;;)*(?!;))")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value per dimension, in the space's order; immutable and hashable."""

    items: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, choices: Mapping[str, str]) -> Candidate:
        return cls(tuple(choices.items()))

    @classmethod
    def from_key(cls, key: str) -> Candidate:
        """Read a text key back.

        >>> Candidate.from_key("a=2u;b=fp32")["b"]
        'fp32'
        >>> Candidate.from_key("ops.k==3=2u;a;;b=4u").items
        (('ops.k=3', '2u'), ('a;b', '4u'))
        """
        items = []
        for part in _END.split(key) if ";;" in key else key.split(";"):
            name, separator, value = part.partition("=")
            if "==" in part:
                whole = _PART.fullmatch(part)
                name, value = (whole[1].replace("==", "="), whole[2]) if whole else ("", "")
            if not separator or not name or not value:
                raise DefinitionError(f"{key!r} is no candidate key (name=value;name=value;…)")
            items.append((name.replace(";;", ";"), value))
        return cls(tuple(items))

    @property
    def key(self) -> str:
        """The text key ``name=value;…`` in the space's order."""
        return ";".join(f"{_written(name)}={value}" for name, value in self.items)

    @property
    def choices(self) -> dict[str, str]:
        return dict(self.items)

    def __getitem__(self, name: str) -> str:
        for key, value in self.items:
            if key == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items)

    def __str__(self) -> str:
        return self.key


def _written(name: str) -> str:
    return name.replace("=", "==").replace(";", ";;")
