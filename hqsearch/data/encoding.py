"""From event counts to what the network sees, through a uint8 cache.

An encoding has two halves: ``store`` turns counts into the bytes that are kept on disk, and
``to_float`` turns those bytes into the network's input. Integer encodings declare their width,
because the first layer's energy depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hqsearch.definition.data import (
    ENCODINGS,
    LINEAR,
    PICTURE_ENCODINGS,
    STANDARDISED,
    DataDefinition,
)
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
            ``binary``: 1 where there was an event.
            ``log1p``: 0.5 * ln(1 + count), the count clipped at 255; real-valued.
            ``linear``: 8-bit codes times ``step``, of real-valued frames that were given.
            ``pixels``: bytes of a picture as they are. ``standardised``: those divided by 255,
            less ``mean``, divided by ``std``; real-valued.
        bits: Width of the integer input; None where the input is real-valued.
        step: Of ``linear``: the value of code 1.
        signed: Of ``linear``: codes are -128 to 127, kept as two's complement; else 0 to 255.
    """

    name: str
    bits: int | None
    step: float = 1.0
    signed: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def traced_as(self) -> int | Literal["spikes"] | None:
        """How the cost model takes what the network sees: ``bits``, or as spikes."""
        return "spikes" if self.name == "binary" else self.bits

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest code."""
        return (-128, 127) if self.signed else (0, 255)

    def store(self, counts: NDArray[Any]) -> NDArray[np.uint8]:
        """The bytes kept for event ``counts`` of any shape; of ``linear``, for real values.

        >>> get_encoding("log2").store(np.array([0, 1, 2, 3, 7, 900])).tolist()
        [0, 1, 1, 2, 3, 9]
        """
        if self.name == LINEAR:
            codes = np.clip(np.rint(counts / self.step), *self.limits)
            return codes.astype(np.int16).astype(np.uint8)
        if self.name == "log2":
            counts = np.searchsorted(_LOG2_LEVELS, counts, side="right")
        most = 1 if self.name == "binary" else 255
        stored: NDArray[np.uint8] = np.minimum(counts, most).astype(np.uint8)
        return stored

    def to_float(self, frames: torch.Tensor) -> torch.Tensor:
        """What the network sees: uint8 ``frames`` of any shape as float32 of that shape.

        Of ``standardised`` they are ``[..., C, H, W]``.
        """
        if self.name == LINEAR:
            import torch

            return (frames.view(torch.int8) if self.signed else frames).float() * self.step
        values = frames.float()
        if self.name == STANDARDISED:
            import torch

            mean, std = (
                torch.tensor(v, device=frames.device).view(-1, 1, 1) for v in (self.mean, self.std)
            )
            return (values / 255 - mean) / std
        return 0.5 * values.log1p() if self.name == "log1p" else values


def get_encoding(
    name: str,
    step: float = 1.0,
    signed: bool = False,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> Encoding:
    """The encoding called ``name``.

    Args:
        name: of an encoding.
        step, signed: those of ``linear``.
        mean, std: those of ``standardised``.

    Raises:
        UnknownName: There is none.
    """
    if name == LINEAR:
        return Encoding(name, None, step, signed)
    if name in PICTURE_ENCODINGS:
        return Encoding(name, PICTURE_ENCODINGS[name], mean=tuple(mean), std=tuple(std))
    if name not in ENCODINGS:
        raise UnknownName("encoding", name, ENCODINGS)
    return Encoding(name, ENCODINGS[name])


def encoding_of(data: DataDefinition) -> Encoding:
    """The encoding that ``data`` asks for; the step of ``linear`` is known by its frames alone."""
    return get_encoding(data.encoding, mean=data.mean or (), std=data.std or ())
