"""From event counts to what the network sees, through a uint8 cache.

An encoding has two halves: ``store`` turns counts into the bytes that are kept on disk, and
``to_float`` turns those bytes into the network's input. Integer encodings declare their width,
because the first layer's energy depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hqsearch.definition.data import ENCODINGS
from hqsearch.errors import UnknownName

if TYPE_CHECKING:
    import torch

#: floor(log2(1 + count)) of every count that a 4-bit code can tell apart.
_LOG2_LEVELS = 2 ** np.arange(1, 16, dtype=np.int64) - 1


@dataclass(frozen=True)
class Encoding:
    """How event counts become input values.

    Attributes:
        name: ``log2``: floor(log2(1 + count)), at most 15. ``count``: the count, at most 255.
            ``log1p``: 0.5 * ln(1 + count), the count clipped at 255; real-valued.
        bits: Width of the integer input; None where the input is real-valued.
    """

    name: str
    bits: int | None

    def store(self, counts: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The bytes kept for event ``counts`` of any shape.

        >>> get_encoding("log2").store(np.array([0, 1, 2, 3, 7, 900])).tolist()
        [0, 1, 1, 2, 3, 9]
        """
        if self.name == "log2":
            counts = np.searchsorted(_LOG2_LEVELS, counts, side="right")
        stored: NDArray[np.uint8] = np.minimum(counts, 255).astype(np.uint8)
        return stored

    def to_float(self, frames: torch.Tensor) -> torch.Tensor:
        """What the network sees: uint8 ``frames`` of any shape as float32 of that shape."""
        values = frames.float()
        return 0.5 * values.log1p() if self.name == "log1p" else values


def get_encoding(name: str) -> Encoding:
    """The encoding called ``name``.

    Raises:
        UnknownName: There is none.
    """
    if name not in ENCODINGS:
        raise UnknownName("encoding", name, ENCODINGS)
    return Encoding(name, ENCODINGS[name])
