"""What a linear model makes of a study's samples: the number that a network must beat.

Ridge regression on the counts of a whole sample (of events one frame of both polarities, encoded as
the study says; of pictures their pixels in all colours), with the penalty that is best on the
validation samples::

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
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)


def inputs(split: Split) -> NDArray[np.float64]:
    """Samples ``[n, values]``: polarities added, colours kept."""
    over = (1, 2) if split.frames.shape[2] == 2 else (1,)
    return split.frames.sum(axis=over).reshape(len(split), -1).astype(float)


def predictions(
    train: NDArray[np.float64], targets: NDArray[np.float64], x: NDArray[np.float64], ridge: float
) -> NDArray[np.intp]:
    """Classes ``[n]`` of ``x``, by whichever system of equations is smaller."""
    mean = train.mean(axis=0)
    centred, wanted = train - mean, targets - targets.mean(axis=0)
    penalty = ridge * float((centred**2).sum()) / len(train)
    if len(train) > train.shape[1]:
        covariance = centred.T @ centred + penalty * np.eye(train.shape[1])
        weights = np.linalg.solve(covariance, centred.T @ wanted)
    else:
        kernel = centred @ centred.T + penalty * np.eye(len(train))
        weights = centred.T @ np.linalg.solve(kernel, wanted)
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
