"""Search spaces: the ordered dimensions, derived from a network's weight layers.

Every Conv or Linear weight layer is a dimension unless a rule of the space's TOML ties it
to others, pins it to one choice, or gives it other choices. Rules apply in order; the last
one that matches a layer and sets a key wins.

Structural dimensions follow: settings of the network itself. Every combination of their values is
a *structural part* of the space, with a parent, a supernet and cost tables of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from hqsearch.definition import LayerRule, SpaceDefinition, StructureRule
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.problem.candidate import Candidate
from hqsearch.schemes.choice import parse_choice

Codes = npt.NDArray[np.int64]
Setting = bool | int | float | str
"""The value of a structural dimension, as its TOML says it."""


class LayerSize(Protocol):
    """What a space needs to know of a weight layer: where it is, and how many weights it has."""

    @property
    def path(self) -> str: ...
    @property
    def weights(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing to choose.

    Attributes:
        name: unique in its space.
        kind: what is chosen: how weights are stored, or a setting of the network itself.
        values: as text, which is what candidates, keys and logs hold.
        layers: the module paths that a ``weights`` choice applies to.
        settings: the typed values of a ``structure`` dimension, in the order of ``values``.
    """

    name: str
    kind: Literal["weights", "structure"]
    values: tuple[str, ...]
    layers: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()

    @classmethod
    def structural(cls, name: str, settings: Sequence[Setting]) -> Dimension:
        """A setting of the network.

        >>> Dimension.structural("timesteps", [4, 2]).values
        ('4', '2')
        """
        return cls(name, "structure", tuple(map(_text, settings)), settings=tuple(settings))

    def only(self, value: str) -> Dimension:
        """This dimension with one of its values."""
        place = self.values.index(value)
        return replace(self, values=(value,), settings=self.settings[place : place + 1])


@dataclass(frozen=True)
class Space:
    """The ordered dimensions, and the layers that are pinned to one choice."""

    dimensions: tuple[Dimension, ...]
    pinned: tuple[tuple[str, str], ...] = ()

    @cached_property
    def size(self) -> int:
        """How many candidates there are."""
        return math.prod(len(d.values) for d in self.dimensions)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(d.name for d in self.dimensions)

    @cached_property
    def cardinalities(self) -> Codes:
        """Number of values per dimension ``[n_dimensions]``."""
        return np.array([len(d.values) for d in self.dimensions], dtype=np.int64)

    @cached_property
    def _index(self) -> list[dict[str, int]]:
        return [{value: i for i, value in enumerate(d.values)} for d in self.dimensions]

    def encode(self, candidates: Iterable[Candidate]) -> Codes:
        """Candidates as value indices ``[n, n_dimensions]``."""
        rows = [
            [index[value] for index, (_, value) in zip(self._index, c.items, strict=True)]
            for c in candidates
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, len(self.dimensions))

    def decode(self, codes: npt.ArrayLike) -> list[Candidate]:
        """Value indices ``[n, n_dimensions]`` as candidates."""
        rows = np.asarray(codes, dtype=np.int64).reshape(-1, len(self.dimensions)).tolist()
        return [
            Candidate(
                tuple((d.name, d.values[i]) for d, i in zip(self.dimensions, row, strict=True))
            )
            for row in rows
        ]

    def candidate(self, choices: Mapping[str, str]) -> Candidate:
        """A candidate from a mapping in any order; every name and value is checked."""
        for name in choices:
            if name not in self.names:
                raise UnknownName("dimension", name, self.names)
        items = []
        for dimension in self.dimensions:
            if dimension.name not in choices:
                raise DefinitionError(f"no value given for dimension {dimension.name!r}")
            value = choices[dimension.name]
            if value not in dimension.values:
                raise UnknownName("value", value, dimension.values, f"dimension {dimension.name!r}")
            items.append((dimension.name, value))
        return Candidate(tuple(items))

    def assignment(self, candidate: Candidate) -> dict[str, str]:
        """Module path → choice for every weight layer, pinned ones included."""
        chosen = dict(self.pinned)
        for dimension, (_, value) in zip(self.dimensions, candidate.items, strict=True):
            if dimension.kind == "weights":
                chosen.update(dict.fromkeys(dimension.layers, value))
        return chosen

    def structure(self, candidate: Candidate) -> dict[str, Setting]:
        """The structural part of a candidate: name → value, of the type that its TOML has."""
        return {
            d.name: dict(zip(d.values, d.settings or d.values, strict=True))[value]
            for d, (_, value) in zip(self.dimensions, candidate.items, strict=True)
            if d.kind == "structure"
        }

    def structural_key(self, candidate: Candidate) -> str:
        """Text key of the structural part; selects parent and cost tables. Empty without any."""
        return _part_key(candidate.items[place] for place in self.structural)

    @cached_property
    def structural(self) -> tuple[int, ...]:
        """Places of the structural dimensions."""
        return tuple(i for i, d in enumerate(self.dimensions) if d.kind == "structure")

    @cached_property
    def weighted(self) -> tuple[int, ...]:
        """Places of the dimensions that stand for weight layers."""
        return tuple(i for i, d in enumerate(self.dimensions) if d.kind == "weights")

    @cached_property
    def parts(self) -> dict[str, Space]:
        """The structural parts: key → the space with this structure alone.

        The first one is that of the first values. A part has the dimensions of the whole, the
        structural ones with one value each, so that its candidates are candidates of the whole.
        Without structure the only part is the space itself, under the key ``""``.
        """
        if not self.structural:
            return {"": self}
        places = self.structural
        parts = {}
        for values in itertools.product(*(self.dimensions[i].values for i in places)):
            dimensions = list(self.dimensions)
            for place, value in zip(places, values, strict=True):
                dimensions[place] = dimensions[place].only(value)
            key = _part_key(
                (self.dimensions[i].name, v) for i, v in zip(places, values, strict=True)
            )
            parts[key] = replace(self, dimensions=tuple(dimensions))
        return parts

    def part_indices(self, codes: Codes) -> Codes:
        """Which of :attr:`parts` value indices ``[n, n_dimensions]`` belong to, ``[n]``."""
        index = np.zeros(len(codes), dtype=np.int64)
        for place in self.structural:
            index = index * len(self.dimensions[place].values) + codes[:, place]
        return index

    def baseline(self, choice: str) -> Candidate:
        """Every layer at ``choice`` or its nearest allowed one; structure at its first value.

        Nearest: fewest bits apart, then the same scheme, then fewer bits.
        """
        wanted = parse_choice(choice)

        def distance(value: str) -> tuple[int, bool, int]:
            other = parse_choice(value)
            return abs(other.bits - wanted.bits), other.scheme != wanted.scheme, other.bits

        return Candidate(
            tuple(
                (d.name, min(d.values, key=distance) if d.kind == "weights" else d.values[0])
                for d in self.dimensions
            )
        )

    def baselines(self) -> dict[str, Candidate]:
        """One baseline per choice that occurs, cheapest first; equal ones once.

        All of the first structural part; those of another are the baselines of that part.
        """
        found: dict[str, Candidate] = {}
        occurring = {v for d in self.dimensions if d.kind == "weights" for v in d.values}
        for choice in sorted(occurring, key=lambda c: (parse_choice(c).bits, c)):
            candidate = self.baseline(choice)
            if candidate not in found.values():
                found[choice] = candidate
        return found

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate has values of this space alone."""
        return len(candidate.items) == len(self.dimensions) and all(
            name == d.name and value in d.values
            for d, (name, value) in zip(self.dimensions, candidate.items, strict=True)
        )

    def widened(self, candidates: Iterable[Candidate]) -> Space:
        """The space with what these candidates have beyond it, after what it offers itself."""
        rows = [candidate.items for candidate in candidates]
        dimensions = [
            replace(d, values=tuple(dict.fromkeys((*d.values, *(row[i][1] for row in rows)))))
            if d.kind == "weights"
            else d
            for i, d in enumerate(self.dimensions)
        ]
        return replace(self, dimensions=tuple(dimensions))

    def random(self, generator: np.random.Generator) -> Candidate:
        """One candidate, uniform over the space."""
        return self.decode(generator.integers(0, self.cardinalities))[0]

    def average_bits(
        self, candidates: Sequence[Candidate], weights: Mapping[str, int]
    ) -> npt.NDArray[np.float64]:
        """Σ weights·bits / Σ weights ``[n]`` over all layers; fp32 = 32, scales not counted."""
        total = sum(weights.values())
        pinned = sum(weights[p] * parse_choice(c).bits for p, c in self.pinned)
        tables = [
            np.array([sum(weights[p] for p in d.layers) * parse_choice(v).bits for v in d.values])
            if d.kind == "weights"
            else np.zeros(len(d.values))
            for d in self.dimensions
        ]
        codes = self.encode(candidates)
        bits = np.full(len(codes), float(pinned))
        for column, table in enumerate(tables):
            bits += table[codes[:, column]]
        return np.asarray(bits / total)


def derive_space(definition: SpaceDefinition, layers: Sequence[LayerSize]) -> Space:
    """The space of a network: its weight layers in order, under the definition's rules.

    Raises:
        DefinitionError: an unknown choice, a rule that matches no layer, tied layers whose
            choices differ, a structural dimension whose name or values cannot be told apart or
            written into a key, or a space in which there is nothing to choose.
    """
    for choice in definition.choices:
        parse_choice(choice)
    paths = [layer.path for layer in layers]
    for rule in definition.layers:
        _check_rule(rule, paths)

    groups: dict[str, tuple[tuple[str, ...], list[str]]] = {}
    pinned: list[tuple[str, str]] = []
    owners = {layer.path: getattr(layer, "tied", None) for layer in layers}
    placed: dict[str, str] = {}
    for path in paths:
        values, tie = definition.choices, None
        for rule in definition.layers:
            if fnmatchcase(path, rule.match):
                values = rule.choices or ((rule.pin,) if rule.pin else values)
                if rule.tie is not None:
                    tie = rule if rule.tie else None
        values = tuple(dict.fromkeys(values))
        owner = owners[path]
        if owner is not None and dict(pinned).get(owner, values[0]) != values[0]:
            raise DefinitionError(
                f"layers {owner!r} and {path!r} share one weight but have different choices"
            )
        if len(values) == 1:
            pinned.append((path, values[0]))
            continue
        group = f"{tie.match}@{_block(path)}" if tie else path
        # A weight that two layers share is stored once.
        group = placed[path] = placed.get(owner, group) if owner is not None else group
        known, members = groups.setdefault(group, (values, []))
        if known != values:
            raise DefinitionError(
                f"layers {members[0]!r} and {path!r} are tied but have different choices"
            )
        members.append(path)

    dimensions = [
        Dimension(_group_name(members), "weights", values, tuple(members))
        for values, members in groups.values()
    ]
    for setting in definition.structure:
        _check_structure(setting, [d.name for d in dimensions])
        dimensions.append(Dimension.structural(setting.name, setting.values))
    if not dimensions:
        raise DefinitionError("there is nothing to choose: every layer of the space is pinned")
    return Space(tuple(dimensions), tuple(pinned))


def refuse_needless(space: Space) -> None:
    """Refuse choices that no new study has a use for (:meth:`hqsearch.schemes.Scheme.needless`).

    A study that holds such a choice already keeps it, so its log opens and goes on.

    Raises:
        DefinitionError: the first such choice, where it stands, and why.
    """
    offered = [(d.name, v) for d in space.dimensions if d.kind == "weights" for v in d.values]
    for place, text in (*offered, *space.pinned):
        choice = parse_choice(text)
        reason = choice.scheme.needless(choice.bits)
        if reason:
            raise DefinitionError(
                f"{place!r}: a new study does not offer {text}: {reason}. "
                f"Leave {text} out of the space."
            )


def _check_rule(rule: LayerRule, paths: Sequence[str]) -> None:
    for choice in (*(rule.choices or ()), *([rule.pin] if rule.pin else [])):
        parse_choice(choice)
    if not any(fnmatchcase(path, rule.match) for path in paths):
        raise UnknownName("layer pattern", rule.match, paths, "the space's [[layers]]")


def _check_structure(rule: StructureRule, taken: Sequence[str]) -> None:
    where = f"the space's [[structure]] {rule.name!r}"
    if rule.name in taken:
        raise DefinitionError(f"{where}: there is another dimension of this name")
    first: dict[str, Setting] = {}
    for value in rule.values:
        text = _text(value)
        if text in first:
            raise DefinitionError(
                f"{where}: values {first[text]!r} and {value!r} are both written {text!r}; "
                "logs could not tell them apart"
            )
        first[text] = value
    for text in (rule.name, *first):
        # Keys are name=value;name=value.
        if not text or set(text) & {";", "="}:
            raise DefinitionError(f"{where}: {text!r} is empty or has a ';' or '=' in it")


def _text(value: Setting) -> str:
    """A setting as candidates and logs hold it; true and false as TOML writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _part_key(items: Iterable[tuple[str, str]]) -> str:
    return ";".join(f"{name}={value}" for name, value in items)


def _block(path: str) -> str:
    """The path up to its last numbered part: the block that a tied layer belongs to."""
    parts = path.split(".")
    numbered = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbered[-1] + 1]) if numbered else ""


def _group_name(members: Sequence[str]) -> str:
    """``a.b.q`` and ``a.b.k`` → ``a.b.q+k``."""
    if len(members) == 1:
        return members[0]
    split = [member.split(".") for member in members]
    shared = 0
    while all(len(s) > shared + 1 for s in split) and len({s[shared] for s in split}) == 1:
        shared += 1
    prefix = ".".join(split[0][:shared])
    rest = "+".join(".".join(s[shared:]) for s in split)
    return f"{prefix}.{rest}" if prefix else rest
