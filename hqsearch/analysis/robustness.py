"""How far a study's conclusions rest on constants that nobody has published.

The front's energies, their ranking, and whether power-of-two weights save anything, under
seeded variations of those constants; see :mod:`hqsearch.hardware.uncertainty`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from hqsearch.hardware import LayerRate, Profile, Workload
from hqsearch.hardware.uncertainty import (
    ConstantUncertainty,
    SchemeDifference,
    scheme_differences,
    vary_constants,
)

DRAWS: Final = 1000
SPREAD: Final = 0.5
#: Width at which the schemes are compared.
BITS: Final = 4


@dataclass(frozen=True)
class CostedAssignment:
    """One candidate: its choice for every layer, and the rates measured on it, if any were."""

    label: str
    trial: int | None
    choices: Mapping[str, str]
    rates: Mapping[str, LayerRate] | None


@dataclass(frozen=True)
class Robustness:
    """Energies of ``candidates`` and E(uniform) − E(power-of-two), over ``DRAWS`` draws."""

    seed: int
    candidates: tuple[CostedAssignment, ...]
    sensitivity: ConstantUncertainty
    schemes: tuple[SchemeDifference, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each candidate: energy µJ nominal, and the ends of its 90 % interval."""
        energies = self.sensitivity
        return [
            {
                "candidate": candidate.label,
                "trial": candidate.trial,
                "nominal": float(energies.nominal[index]),
                "low": float(energies.low[index]),
                "high": float(energies.high[index]),
            }
            for index, candidate in enumerate(self.candidates)
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain data: settings, candidates, ranking, importance and scheme differences."""
        facts = self.sensitivity.to_json()
        del facts["energy"]
        return {
            "draws": DRAWS,
            "spread": SPREAD,
            "seed": self.seed,
            "candidates": self.rows(),
            **facts,
            "scheme_bits": BITS,
            "schemes": [asdict(s) for s in self.schemes],
        }


def robustness(
    workload: Workload, profile: Profile, candidates: Sequence[CostedAssignment], seed: int
) -> Robustness:
    """Vary the profile's unpublished constants under ``candidates``.

    Scheme differences are taken at the workload's own rates.
    """
    return Robustness(
        seed,
        tuple(candidates),
        vary_constants(
            workload,
            profile,
            [(c.choices, c.rates) for c in candidates],
            draws=DRAWS,
            seed=seed,
            spread=SPREAD,
        ),
        tuple(
            scheme_differences(workload, profile, bits=BITS, draws=DRAWS, seed=seed, spread=SPREAD)
        ),
    )
