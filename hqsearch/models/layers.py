"""The weight layers of any network: what a search space is derived from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

#: Module classes whose ``weight`` is stored by a choice.
WEIGHT_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class WeightLayer:
    """One Conv1d, Conv2d or Linear of a network.

    Attributes:
        path: dotted module path.
        kind: ``conv1d``, ``conv2d`` or ``linear``.
        weights: number of weights, bias not counted.
        shape: shape of the weight tensor, output channels first.
    """

    path: str
    kind: str
    weights: int
    shape: tuple[int, ...]


def weight_layers(model: nn.Module) -> list[WeightLayer]:
    """Every Conv1d, Conv2d and Linear of ``model`` in module order (a shared one once)."""
    return [
        WeightLayer(path, _kind(module), module.weight.numel(), tuple(module.weight.shape))
        for path, module in model.named_modules()
        if isinstance(module, WEIGHT_LAYERS)
    ]


def _kind(module: nn.Module) -> str:
    for cls in WEIGHT_LAYERS:
        if isinstance(module, cls):
            return cls.__name__.lower()
    raise TypeError(f"{type(module).__name__} is no weight layer.")
