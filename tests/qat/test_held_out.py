"""The part of the training split that a supernet's logits learn on."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.errors import DefinitionError
from hqsearch.qat.held_out import held_out_part, joined, rows_of
from hqsearch.qat.structural_part import Part
from hqsearch.training import Samples


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.99])
def test_the_held_out_part_is_balanced(fraction: float) -> None:
    labels = np.repeat([0, 1, 2], [20, 10, 2])
    learn, held = held_out_part(labels, fraction, 0)
    assert sorted([*learn, *held]) == list(range(32))
    expected = [min(max(1, round(fraction * n)), n - 1) for n in (20, 10, 2)]
    assert np.bincount(labels[held], minlength=3).tolist() == expected
    other = held_out_part(labels, fraction, 1)
    assert not np.array_equal(held, other[1])
    np.testing.assert_array_equal(held, held_out_part(labels, fraction, 0)[1])


def test_a_split_that_cannot_be_divided_is_told() -> None:
    with pytest.raises(DefinitionError, match="every class needs two samples"):
        held_out_part(np.arange(5), 0.3, 0)


def test_rows_are_read_one_by_one() -> None:
    frames = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1, 1)
    rows = rows_of(Samples(frames, np.arange(6) % 2, lambda x: x.float()), np.array([1, 4]))
    assert len(rows) == len(rows.frames) == 2
    assert rows.frames.shape == (2, 1, 1, 1, 1)
    assert [int(rows.frames[index].item()) for index in range(2)] == [1, 4]
    assert rows.labels.tolist() == [1, 0]


def test_joined_splits_are_one_after_the_other(prepared: Part) -> None:
    first, second = prepared.samples("train"), prepared.samples("validation")
    whole = joined(first, second)
    assert whole.frames.shape == (44, *first.frames.shape[1:])
    assert len(whole) == len(whole.frames) == 44
    assert np.array_equal(whole.frames[0], first.frames[0])
    assert np.array_equal(whole.frames[43], second.frames[21])
    assert np.array_equal(whole.frames[20:24], np.stack([whole.frames[i] for i in range(20, 24)]))
    assert whole.labels.tolist() == [*first.labels, *second.labels]
