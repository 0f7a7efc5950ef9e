"""Let the C library keep the memory that a training step frees, instead of returning it.

A step allocates and frees the same large activations again and again. glibc hands blocks above
128 KiB back to the system at once, and the page faults of the next step cost up to a quarter of
its time on CPU.
"""

from __future__ import annotations

import ctypes
from functools import cache

# mallopt(3) of glibc: numbers and the largest accepted mmap threshold on 64-bit systems.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 << 20


@cache
def keep_freed_memory() -> bool:
    """Set it up once for this process; whether the C library took it (others than glibc do not)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD),
        (_M_TRIM_THRESHOLD, (1 << 31) - 1),
        (_M_TOP_PAD, 64 << 20),
    )
    taken = [mallopt(number, value) for number, value in settings]
    return all(taken)
