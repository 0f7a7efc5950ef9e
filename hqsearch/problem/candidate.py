"""Candidates: one value for every dimension of a space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hqsearch.errors import DefinitionError


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
        """
        items = []
        for part in key.split(";"):
            name, separator, value = part.partition("=")
            if not separator or not name or not value:
                raise DefinitionError(f"{key!r} is no candidate key (name=value;name=value;…)")
            items.append((name, value))
        return cls(tuple(items))

    @property
    def key(self) -> str:
        """The text key ``name=value;…`` in the space's order."""
        return ";".join(f"{name}={value}" for name, value in self.items)

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
