"""What the energy of a study tells that its storage does not.

Energy that follows the bits of all weights is storage under another name: a front of both is a
list by size, whatever is searched. How far that goes depends on the hardware profile, on the
network and on the choices, so it is computed: Spearman's rank correlation over random candidates
of the study's own space, the shares of what costs energy, and how energy answers to firing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from hqsearch.analysis.cost_study import Traceable
from hqsearch.errors import HqsearchError
from hqsearch.evaluator import Evaluator
from hqsearch.hardware import CostModel, Profile, Workload, load_profile, profile_names
from hqsearch.hardware.energy import COLUMNS
from hqsearch.problem.space import Space
from hqsearch.schemes.choice import FP32

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Rank correlation from which on two objectives are one in effect.
ONE: Final = 0.97
#: Random candidates, drawn evenly from every dimension's values.
CANDIDATES: Final = 1000
#: Firing rates between which the response is told, and the one stated before any is measured.
RATES: Final = (0.02, 0.4)
STATED: Final = 0.15
#: The assignment whose columns and response are told.
UNIFORM: Final = "4u"
#: Profiles that a note names, at most.
WAYS: Final = 3
OFFCHIP: Final = "offchip"


@dataclass(frozen=True)
class Correlation:
    """Rank correlation over random candidates whose layers may take any choice, or not fp32.

    None where the space has no such candidates, or where they do not differ.
    """

    without_fp32: float | None
    with_fp32: float | None

    @property
    def own(self) -> float | None:
        """Of the study's own choices."""
        return self.without_fp32 if self.with_fp32 is None else self.with_fp32

    def as_json(self) -> dict[str, float | None]:
        """Plain data."""
        return {"without_fp32": self.without_fp32, "with_fp32": self.with_fp32}


@dataclass(frozen=True)
class ProfileMeaning:
    """What energy means under one profile.

    Attributes:
        storage, bits: rank correlation of energy with storage, and with average bits.
        columns: share of every column at a uniform 4 bits; ``offchip`` is a part of ``weights``.
        response: how many times the energy of rate 0.02 that of rate 0.4 is, at the same.
    """

    profile: str
    storage: Correlation
    bits: Correlation
    columns: Mapping[str, float]
    response: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "profile": self.profile,
            "energy_storage_correlation": self.storage.as_json(),
            "energy_bits_correlation": self.bits.as_json(),
            "columns": dict(self.columns),
            "response": self.response,
        }


@dataclass(frozen=True)
class EnergyMeaning:
    """For a study: its own profile first, then those that come along.

    ``profiles`` has one entry, without a name, where the evaluator's costs have no profile.
    ``rates`` says what firing rates all but the response rest on.
    """

    profiles: tuple[ProfileMeaning, ...]
    rates: str

    @property
    def own(self) -> ProfileMeaning:
        """Under the study's profile."""
        return self.profiles[0]

    def note(self) -> str | None:
        """Said where energy and storage are one objective in effect; None elsewhere."""
        found = self.own.storage.own
        if found is None or found < ONE:
            return None
        others = [p for p in self.profiles[1:] if (p.storage.own or 1.0) < ONE]
        ways = [
            f"hardware profile {p.profile} ({p.storage.own:.2f})"
            for p in sorted(others, key=lambda p: p.storage.own or 1.0)[:WAYS]
        ]
        without = self.own.storage.without_fp32
        if without is not None and without < ONE:
            ways.append(f"choices without fp32 ({without:.2f})")
        return (
            f"energy and storage are one objective in effect: their rank correlation over random "
            f"candidates is {found:.3f}, so a front of both is a list by size. "
            + (f"What would separate them: {'; '.join(ways)}. " if ways else "")
            + "Or leave one of them out"
        )


def energy_meaning(evaluator: Evaluator) -> EnergyMeaning | None:
    """What the energies of a study mean; None where it has no energy and storage beforehand.

    A network that is not prepared yet is traced, and fires at a stated rate.

    Raises:
        DefinitionError: the network or the profile cannot be costed.
    """
    if not {"energy", "storage"} <= set(evaluator.metrics):
        return None
    space = next(iter(evaluator.space.parts.values()))
    if not space.weighted:
        return None
    if not isinstance(evaluator, Traceable):
        return EnergyMeaning((_of_cheap(evaluator, space),), "the evaluator's own")
    prepared = evaluator.workload()
    workload = evaluator.trace(None).with_rate(STATED) if prepared is None else prepared
    definition = evaluator.setup.definition
    name = definition.hardware.profile
    own = load_profile(definition.located(name) if name.endswith(".toml") else name)
    names = [n for n in profile_names() if n != own.name]
    drawn = _drawn(space)
    return EnergyMeaning(
        tuple(_of_profile(workload, p, space, drawn) for p in (own, *map(load_profile, names))),
        f"stated, {STATED:g}" if prepared is None else "measured on the parent",
    )


def one_in_effect(evaluator: Evaluator, objectives: Sequence[str]) -> str | None:
    """The note for a study with these objectives; None where nothing is to be said."""
    if not {"energy", "storage"} <= set(objectives):
        return None
    try:
        found = energy_meaning(evaluator)
    except HqsearchError:
        return None  # what cannot be costed is refused elsewhere, or was recorded earlier
    return found.note() if found is not None else None


def _drawn(space: Space) -> dict[str, Codes | None]:
    """Value indices ``[n, n_dimensions]`` of random candidates without and with fp32.

    None of a kind that the space does not have, or of which there is but one.
    """
    generator = np.random.default_rng(0)
    found: dict[str, Codes | None] = {}
    for kind in ("without_fp32", "with_fp32"):
        columns, differ, has = [], False, False
        for dimension in space.dimensions:
            values = np.arange(len(dimension.values))
            codes = [v for v in values if dimension.values[v] != FP32]
            has |= len(codes) < len(values)
            kept = values if kind == "with_fp32" or not codes else np.array(codes)
            differ |= len(kept) > 1
            columns.append(generator.choice(kept, CANDIDATES))
        told = differ and (has or kind == "without_fp32")
        found[kind] = np.stack(columns, axis=1) if told else None
    return found


def _correlations(
    drawn: Mapping[str, Codes | None], costs: Callable[[Codes], Floats]
) -> tuple[Correlation, Correlation]:
    """Of energy with storage and with average bits, from costs ``[n, 3]``."""
    pairs: dict[str, list[float | None]] = {}
    for kind, codes in drawn.items():
        found = np.zeros((2, 3)) if codes is None else costs(codes)
        pairs[kind] = [_rank_correlation(found[:, 0], found[:, i]) for i in (1, 2)]
    without, with_fp32 = pairs["without_fp32"], pairs["with_fp32"]
    return Correlation(without[0], with_fp32[0]), Correlation(without[1], with_fp32[1])


def _rank_correlation(left: Floats, right: Floats) -> float | None:
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return float(spearmanr(left, right).statistic)


def _of_cheap(evaluator: Evaluator, space: Space) -> ProfileMeaning:
    places = [evaluator.metrics.index(n) for n in ("energy", "storage")]
    bits = evaluator.metrics.index("average_bits") if "average_bits" in evaluator.metrics else None

    def costs(codes: Codes) -> Floats:
        found = evaluator.cheap(space.decode(codes))
        own = found[:, bits] if bits is not None else np.zeros(len(found))
        return np.column_stack([found[:, places], own])

    return ProfileMeaning("", *_correlations(_drawn(space), costs), {}, None)


def _of_profile(
    workload: Workload,
    profile: Profile,
    space: Space,
    drawn: Mapping[str, Codes | None],
) -> ProfileMeaning:
    allowed: dict[str, tuple[str, ...]] = {}
    places = []
    for place in space.weighted:
        dimension = space.dimensions[place]
        allowed.update(dict.fromkeys(dimension.layers, dimension.values))
        places += [place] * len(dimension.layers)
    # Pinned layers come last, with their one choice.
    allowed.update({path: (choice,) for path, choice in space.pinned})
    model = CostModel(workload, profile, allowed)

    def costs(codes: Codes) -> Floats:
        pinned = np.zeros((len(codes), len(space.pinned)), np.int64)
        found = model.estimate(np.hstack([codes[:, places], pinned]))
        return np.column_stack([found.energy, found.storage, found.average_bits])

    uniform = space.assignment(space.baseline(UNIFORM))
    report = model.energy(uniform)
    shares = {name: report.column(name) for name in COLUMNS} | {OFFCHIP: report.offchip}
    silent, busy = (
        CostModel(workload.with_rate(rate), profile, allowed).energy(uniform).total
        for rate in RATES
    )
    total = report.total
    return ProfileMeaning(
        profile.name,
        *_correlations(drawn, costs),
        {name: value / total if total else 0.0 for name, value in shares.items()},
        busy / silent if silent else None,
    )
