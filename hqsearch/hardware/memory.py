"""Memories by their size: what a read costs, and what does not fit.

Reading a bit from an SRAM costs more the larger it is. Three sizes are published (Horowitz, ISSCC
2014, 45 nm: 8 KB 10 pJ, 32 KB 20 pJ, 1 MB 100 pJ for 64 bit); between them the energy is taken as
a power of the size, a straight line in logarithms: size^0.5 up to 32 KiB, size^0.46 above. Beyond
1 MiB that line goes on, which is extrapolation; below 8 KiB the energy of 8 KiB is kept, for what
streams through passes some memory, too.

Weights that fit into the weight memory stay there. What does not fit is loaded from off-chip at
every inference: max(0, Σ code bits − capacity) × loads. That is a sum over layers up to the
capacity and another one beyond it, with a bend where the network stops to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hqsearch.schemes.adders import Number, Rules, Values

BITS_PER_KIB: Final = 8192
#: Sizes whose read energy is published, KiB, and the constants that hold it.
PUBLISHED: Final = {8: "sram_8_kib", 32: "sram_32_kib", 1024: "sram_1024_kib"}


def by_size(rules: Rules) -> bool:
    """Whether memories are given by their size instead of by their energy."""
    return rules.get("memory") == "by-size"


def resident(rules: Rules) -> bool:
    """Whether the network's codes share one memory, and stay in it as far as they fit."""
    return rules.get("residency") == "network"


def read_energy(kib: Number, c: Values) -> Number:
    """Energy of reading one bit from an SRAM of ``kib`` KiB, pJ; see the module's docstring.

    >>> points = {"sram_8_kib": 0.15625, "sram_32_kib": 0.3125, "sram_1024_kib": 1.5625}
    >>> [round(float(read_energy(size, points)), 4) for size in (0, 8, 32, 128, 1024)]
    [0.1562, 0.1562, 0.3125, 0.5949, 1.5625]
    """
    (small, low), (middle, mid), (large, high) = ((s, c[name]) for s, name in PUBLISHED.items())
    size = np.maximum(kib, small)
    below = low * (size / small) ** (np.log(mid / low) / np.log(middle / small))
    above = mid * (size / middle) ** (np.log(high / mid) / np.log(large / middle))
    energy: Number = np.where(size <= middle, below, above)[()]
    return energy


def with_memories(values: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """A profile's numbers with the read energies that follow from the sizes of its memories."""
    if not by_size(rules):
        return dict(values)
    state = read_energy(values["state_memory"], values)
    return {
        **values,
        "weight_memory": read_energy(values["weight_buffer"], values),
        "membrane_memory": state,
        "traffic_per_bit": state,
    }


@dataclass(frozen=True, slots=True)
class WeightMemory:
    """The memory that a network's codes share.

    Attributes:
        capacity: bits.
        price: of loading one bit that does not fit, pJ per inference.
    """

    capacity: Number
    price: Number

    @classmethod
    def of(cls, c: Values, rules: Rules) -> WeightMemory | None:
        """That of a profile; None where every layer is placed by itself."""
        if not resident(rules):
            return None
        return cls(c["weight_buffer"] * BITS_PER_KIB, c["weight_loads"] * c["offchip"])

    def excess(self, bits: Any) -> Any:
        """Bits that do not fit, of networks with ``bits`` bits of codes."""
        return np.maximum(bits - self.capacity, 0.0)

    def loading(self, bits: Any) -> Any:
        """What loading them costs, pJ per inference."""
        return self.excess(bits) * self.price


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the codes of one assignment are, KiB, and what loading the rest costs.

    Attributes:
        codes: of all weight layers.
        capacity: of the weight memory.
        offchip: of ``codes``, what is loaded at every inference.
        loads: how often.
        energy: of that, µJ per inference.
    """

    codes: float
    capacity: float
    offchip: float
    loads: float
    energy: float

    def as_json(self) -> dict[str, float]:
        """Plain data."""
        return {
            "codes_kib": self.codes,
            "capacity_kib": self.capacity,
            "resident_kib": self.codes - self.offchip,
            "offchip_kib": self.offchip,
            "loads": self.loads,
            "energy": self.energy,
        }
