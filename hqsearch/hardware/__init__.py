"""What a network costs on a piece of hardware: workloads, profiles, energy, storage.

Light on purpose: torch is imported only by :mod:`hqsearch.hardware.trace`, which reads a workload
from a network, and by :mod:`hqsearch.hardware.rates`, which measures firing rates.
"""

from __future__ import annotations

from hqsearch.hardware.cost import CostEstimate, CostModel, EnergyReport, EnergyRow
from hqsearch.hardware.memory import Placement
from hqsearch.hardware.profile import Constant, Profile, load_profile, profile_names
from hqsearch.hardware.storage import LayerStorage, StorageReport
from hqsearch.hardware.workload import (
    Following,
    LayerRate,
    Operation,
    Workload,
    rates_from_json,
    rates_to_json,
)

__all__ = [
    "Constant",
    "CostEstimate",
    "CostModel",
    "EnergyReport",
    "EnergyRow",
    "Following",
    "LayerRate",
    "LayerStorage",
    "Operation",
    "Placement",
    "Profile",
    "StorageReport",
    "Workload",
    "load_profile",
    "profile_names",
    "rates_from_json",
    "rates_to_json",
]
