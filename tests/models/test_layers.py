"""The weight layers of any network."""

from __future__ import annotations

from torch import nn

from hqsearch.models.layers import WeightLayer, weight_layers


def test_weight_layers_in_module_order() -> None:
    shared = nn.Linear(4, 2)
    model = nn.ModuleDict(
        {
            "conv1": nn.Conv1d(2, 4, 3, groups=2),
            "norm": nn.BatchNorm1d(4),
            "conv2": nn.Conv2d(2, 4, (3, 1), bias=False),
            "inner": nn.Sequential(nn.ReLU(), shared),
            "again": shared,
        }
    )
    assert weight_layers(model) == [
        WeightLayer("conv1", "conv1d", 12, (4, 1, 3)),
        WeightLayer("conv2", "conv2d", 24, (4, 2, 3, 1)),
        WeightLayer("inner.1", "linear", 8, (2, 4)),
    ]


def test_subclasses_are_weight_layers_too() -> None:
    class Mine(nn.Linear):
        pass

    assert weight_layers(nn.Sequential(Mine(3, 2))) == [WeightLayer("0", "linear", 6, (2, 3))]
