"""Which samples a network got right, as the text that details hold."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt


def pack_correct(correct: npt.NDArray[np.bool_]) -> str:
    """Per-sample correctness ``[n]`` as text, 8 samples a byte.

    >>> pack_correct(np.array([True, False, True]))
    'oA=='
    """
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def unpack_correct(packed: str, n: int) -> npt.NDArray[np.bool_]:
    """The reverse of :func:`pack_correct`."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), dtype=np.uint8))
    return bits[:n].astype(np.bool_)
