"""Event files of every kind, made on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


def random_events(rng: np.random.Generator, n: int, sensor: tuple[int, int]) -> dict[str, NDArray]:
    """Columns x, y, t, p of ``n`` events in order of time over 300 ms."""
    return {
        "x": rng.integers(0, sensor[0], n),
        "y": rng.integers(0, sensor[1], n),
        "t": np.sort(rng.integers(0, 300_000, n)),
        "p": rng.integers(0, 2, n),
    }


def write_bin(path: Path, x: NDArray, y: NDArray, t: NDArray, p: NDArray) -> None:
    """The N-MNIST layout."""
    raw = np.empty((len(x), 5), dtype=np.uint8)
    raw[:, 0], raw[:, 1] = x, y
    raw[:, 2] = (p << 7) | (t >> 16)
    raw[:, 3], raw[:, 4] = (t >> 8) & 255, t & 255
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw.tobytes())


def write_class_folders(
    root: Path, classes: tuple[str, ...], files: int, sensor: tuple[int, int] = (34, 34)
) -> Path:
    """``files`` .bin recordings for each class."""
    rng = np.random.default_rng(0)
    for name in classes:
        for number in range(files):
            write_bin(root / name / f"{number}.bin", **random_events(rng, 400, sensor))
    return root


@pytest.fixture
def recorded_data() -> Path:
    """The folder of real recordings."""
    root = os.environ.get("HQSEARCH_DATA")
    if not root:
        pytest.skip("HQSEARCH_DATA does not name a folder of recordings")
    return Path(root)
