"""Other divisions of a study's recordings into training and test.

Where hqsearch itself drew the test split, it can be drawn again: division 0 is the study's own, and
every other one tests on as many recordings that the study trained on, each in no more than one
division. It trains on the rest and on the study's own test recordings. Validation recordings, by
which a search chooses, stay what they are: no division tests on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.recordings import splits_on_disk
from hqsearch.data.spec import DataSpec
from hqsearch.data.splits import SplitItem, in_proportion
from hqsearch.definition.data import ARRAYS, CODE, DATASETS, PICTURES, SIMULATED

Integers = NDArray[np.int64]
#: Sets the draw of divisions apart from those of the splits.
_STREAM = 3


def why_undivided(spec: DataSpec) -> str:
    """Why the recordings of a study are not divided in another way; empty where they can be."""
    if spec.window is not None or spec.group is not None:
        return "its samples stay together in groups ([data] window or group)"
    if spec.dataset == SIMULATED:
        return ""
    recorded = spec.dataset in DATASETS and spec.dataset not in (*PICTURES, ARRAYS, CODE)
    if not recorded or "test" in splits_on_disk(spec):
        return "its test samples were given, not drawn from the others"
    return ""


def most_divisions(train: int, test: int) -> int:
    """How many divisions there are, the study's own among them."""
    return 1 + train // max(test, 1)


def divided(
    train: Sequence[int], test: Sequence[int], division: int, seed: int
) -> tuple[Integers, Integers]:
    """Which samples a division trains on, and which it tests on.

    Args:
        train: labels of the study's training samples.
        test: of its test samples.
        division: from 0, the study's own.
        seed: of the study's splits.

    Returns:
        Places in the training samples followed by the test samples, ascending.
    """
    count, of_test = len(train), np.arange(len(test)) + len(train)
    if division == 0:
        return np.arange(count), of_test
    order = in_proportion([SplitItem(int(label)) for label in train], range(count), [seed, _STREAM])
    tested = np.sort(order[(division - 1) * len(test) : division * len(test)])
    return np.concatenate([np.setdiff1d(np.arange(count), tested), of_test]), tested
