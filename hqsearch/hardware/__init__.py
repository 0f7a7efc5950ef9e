"""What a network costs on a piece of hardware: workloads, profiles, energy, storage.

Light on purpose: torch is imported only by ``Workload.trace`` and by :class:`RateMeter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hqsearch.hardware.cost import CostEstimate, CostModel, EnergyReport, EnergyRow
from hqsearch.hardware.profile import Constant, Profile, load_profile, profile_names
from hqsearch.hardware.storage import LayerStorage, StorageReport
from hqsearch.hardware.workload import (
    LayerRate,
    Operation,
    Workload,
    rates_from_json,
    rates_to_json,
)

if TYPE_CHECKING:
    from hqsearch.hardware.rates import RateMeter

__all__ = [
    "Constant",
    "CostEstimate",
    "CostModel",
    "EnergyReport",
    "EnergyRow",
    "LayerRate",
    "LayerStorage",
    "Operation",
    "Profile",
    "RateMeter",
    "StorageReport",
    "Workload",
    "load_profile",
    "profile_names",
    "rates_from_json",
    "rates_to_json",
]


def __getattr__(name: str) -> Any:
    if name == "RateMeter":
        from hqsearch.hardware.rates import RateMeter

        return RateMeter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
