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
        tied: the layer whose weight it shares, if it is not the first that has it.
    """

    path: str
    kind: str
    weights: int
    shape: tuple[int, ...]
    tied: str | None = None


def weight_layers(model: nn.Module) -> list[WeightLayer]:
    """Every Conv1d, Conv2d and Linear of ``model`` in module order (a shared one once)."""
    tied = tied_layers(model)
    return [
        WeightLayer(
            path, _kind(module), module.weight.numel(), tuple(module.weight.shape), tied.get(path)
        )
        for path, module in model.named_modules()
        if isinstance(module, WEIGHT_LAYERS)
    ]


def tied_layers(model: nn.Module) -> dict[str, str]:
    """Weight layer that shares its weight → the first layer that has it, by module path."""
    first: dict[int, str] = {}
    tied = {}
    for path, module in model.named_modules():
        weight = own_weight(module)
        if isinstance(module, WEIGHT_LAYERS) and weight is not None:
            owner = first.setdefault(id(weight), path)
            if owner != path:
                tied[path] = owner
    return tied


def own_weight(module: nn.Module) -> nn.Parameter | None:
    """The parameter ``weight`` of a module; None where something computes it."""
    return module._parameters.get("weight")


def _kind(module: nn.Module) -> str:
    for cls in WEIGHT_LAYERS:
        if isinstance(module, cls):
            return cls.__name__.lower()
    raise TypeError(f"{type(module).__name__} is no weight layer.")
