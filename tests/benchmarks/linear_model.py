"""What a linear model makes of a study's samples: the number that a network must beat.

Ridge regression on the counts of a whole sample (one frame of both polarities, encoded as the
study says), with the penalty that is best on the validation samples::

    python tests/benchmarks/linear_model.py studies/dvs-objects.toml --data DIR
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hqsearch.data import DataSpec, Split, prepare_data
from hqsearch.definition import load_study

#: Of the trace of the kernel.
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def inputs(split: Split) -> NDArray[np.float64]:
    """Samples ``[n, pixels]``, their polarities added."""
    return split.frames.sum(axis=(1, 2)).reshape(len(split), -1).astype(float)


def predictions(
    train: NDArray[np.float64], targets: NDArray[np.float64], x: NDArray[np.float64], ridge: float
) -> NDArray[np.intp]:
    """Classes ``[n]`` of ``x``."""
    mean = train.mean(axis=0)
    kernel = (train - mean) @ (train - mean).T
    kernel += ridge * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
    weights = (train - mean).T @ np.linalg.solve(kernel, targets - targets.mean(axis=0))
    chosen: NDArray[np.intp] = ((x - mean) @ weights + targets.mean(axis=0)).argmax(axis=1)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="its file, such as studies/dvs-objects.toml")
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    data = load_study(given.study).data
    assert data is not None
    with tempfile.TemporaryDirectory() as scratch:
        frames = prepare_data(DataSpec.of(data, 1, given.data), Path(scratch))
        train, validation, test = map(inputs, (frames.train, frames.validation, frames.test))
        targets = np.eye(len(frames.classes))[frames.train.labels]
        right = {
            ridge: (
                (predictions(train, targets, validation, ridge) == frames.validation.labels).mean(),
                (predictions(train, targets, test, ridge) == frames.test.labels).mean(),
            )
            for ridge in PENALTIES
        }
    best = max(right, key=lambda ridge: right[ridge][0])
    for ridge, (on_validation, on_test) in right.items():
        print(
            f"penalty {ridge:g}: validation {100 * on_validation:.1f} %, test "
            f"{100 * on_test:.1f} %{' <- best on validation' if ridge == best else ''}"
        )
    print(f"chance: {100 / len(frames.classes):.1f} %; {len(test)} test samples")


if __name__ == "__main__":
    main()
