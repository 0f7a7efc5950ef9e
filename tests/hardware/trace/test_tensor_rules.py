"""What each family of tensor operations does to a tag."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hqsearch.hardware.trace import tensor_rules
from hqsearch.hardware.trace.tags import TensorTag

T, N, C = 4, 8, 3
SPIKES = TensorTag("binary", "spikes", T, outer=1, levels=1, neuron="n")
REAL = TensorTag("real", "other", T)


def test_views_move_the_time_axis() -> None:
    moved = tensor_rules.permuted(SPIKES, (T, N, C), (N, T, C), [1, 0, 2])
    assert moved == replace(SPIKES, outer=N)
    assert tensor_rules.permuted(moved, (N, T, C), (T, N, C), [1, 0, 2]) == SPIKES
    assert tensor_rules.permuted(SPIKES, (T, N, C), (N, C, T), [1, 2, 0]).outer == N * C


@pytest.mark.parametrize(
    ("name", "rank", "args", "expected"),
    [
        ("t", 2, (None,), [1, 0]),
        ("t", 1, (None,), [0]),
        ("transpose", 3, (None, 0, -1), [2, 1, 0]),
        ("permute", 3, (None, [-1, 0, 1]), [2, 0, 1]),
    ],
)
def test_orders_of_dimensions(
    name: str, rank: int, args: tuple[object, ...], expected: list[int]
) -> None:
    assert tensor_rules.permutation(name, rank, args) == expected


def test_slices_keep_time_unless_they_cut_it() -> None:
    assert tensor_rules.sliced(SPIKES, (T, N, C), (T, N, 1), T) == SPIKES
    assert tensor_rules.sliced(SPIKES, (T, N, C), (2, N, C), T).steps == 2
    # A broadcast puts dimensions in front.
    assert tensor_rules.sliced(SPIKES, (T, N), (5, T, N), T) == replace(SPIKES, outer=5)


def test_one_element_of_the_time_axis_is_one_step() -> None:
    assert tensor_rules.selected(SPIKES, (T, N, C), (N, C), 0) == replace(SPIKES, steps=1)
    batch_first = replace(SPIKES, outer=N)
    assert tensor_rules.selected(batch_first, (N, T, C), (T, C), 0).outer == 1
    assert tensor_rules.selected(batch_first, (N, T, C), (N, T), -1) == batch_first


def test_steps_put_together_are_time_again() -> None:
    step = replace(SPIKES, steps=1)
    stacked = tensor_rules.joined("stack", [step] * T, (N, C), (T, N, C), 0, T)
    assert stacked == SPIKES
    later = tensor_rules.joined("stack", [step] * T, (N, C), (N, T, C), 1, T)
    assert later == replace(SPIKES, outer=N)
    wide = tensor_rules.joined("cat", [SPIKES, SPIKES], (T, N, C), (T, N, 2 * C), -1, T)
    assert wide == SPIKES


def test_joined_tensors_of_several_origins() -> None:
    other = replace(SPIKES, neuron="m", layer="a")
    both = tensor_rules.joined("cat", [SPIKES, other], (T, N, C), (T, N, 2 * C), 2, T)
    assert (both.neuron, both.layer, both.kind) == (None, None, "binary")
    summed = TensorTag("integer", "spikes", T, levels=3)
    mixed = tensor_rules.joined("cat", [SPIKES, summed], (T, N, C), (T, N, 2 * C), 2, T)
    assert (mixed.kind, mixed.levels) == ("integer", 3)
    assert tensor_rules.mixed([SPIKES, REAL]) == REAL
    assert tensor_rules.mixed([SPIKES, replace(SPIKES, unit=0.5)]) == REAL


def test_sums_of_spikes_are_integers() -> None:
    assert tensor_rules.added(SPIKES, SPIKES) == TensorTag("integer", "spikes", T, levels=2)
    for other in (REAL, replace(SPIKES, unit=0.5), replace(SPIKES, source="frames")):
        assert tensor_rules.added(SPIKES, other) == REAL


def test_products_of_integers_are_integers() -> None:
    two = TensorTag("integer", "spikes", T, levels=2, unit=0.5)
    assert tensor_rules.multiplied(SPIKES, two, 16) == replace(two, levels=32)
    assert tensor_rules.multiplied(SPIKES, REAL, 16) == REAL


def test_means_and_sums_over_dimensions() -> None:
    shape = (T, N, C)
    assert tensor_rules.averaged(SPIKES, shape, (N, C), [0], False) == replace(REAL, steps=1)
    assert tensor_rules.averaged(SPIKES, shape, (T, N), [-1], False) == REAL
    total = tensor_rules.averaged(SPIKES, shape, (T, N, 1), [2], True)
    assert total == TensorTag("integer", "spikes", T, levels=C)
    everything = tensor_rules.averaged(SPIKES, shape, (), None, True)
    assert (everything.steps, everything.levels) == (1, T * N * C)
    pooled = tensor_rules.averaged(SPIKES, (T, N, 8, 8), (T, N, 1, 1), None, False)
    assert pooled == REAL


def test_averages_over_windows_are_sums_in_smaller_units() -> None:
    pooled = tensor_rules.window_averaged(SPIKES, 4, padded=False)
    assert (pooled.kind, pooled.levels, pooled.unit) == ("integer", 4, 0.25)
    assert tensor_rules.window_averaged(SPIKES, 4, padded=True).kind == "real"
    assert tensor_rules.window_averaged(REAL, 4, padded=False) == REAL


def test_no_operation_belongs_to_two_families() -> None:
    families = [v for v in vars(tensor_rules).values() if isinstance(v, frozenset)]
    assert len(families) == 13
    assert len(frozenset().union(*families)) == sum(map(len, families))
