"""Measure firing rates while a network runs.

:class:`RateMeter` hooks the inputs of weight layers and the outputs of neurons. With a traced
workload it measures only what the cost model reads, and sums binary spikes once instead of
counting nonzeros and magnitudes.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.hardware.workload import LayerRate, Workload
from hqsearch.models.layers import WEIGHT_LAYERS
from hqsearch.models.recognition import is_neuron


class RateSum:
    """Accumulates the nonzero share and mean magnitude of tensors, sample by sample."""

    def __init__(self) -> None:
        self._open: list[tuple[Tensor, Tensor, int]] = []
        self._nonzero: list[Tensor] = []
        self._magnitude: list[Tensor] = []

    def add(
        self,
        values: Tensor,
        timesteps: int,
        samples: int,
        unit: float = 1.0,
        binary: bool = False,
    ) -> None:
        """Count one call of the current batch.

        Args:
            values: [T·N, …], [T, N, …] or [N, …]; any other shape counts as one sample.
            timesteps: T of the batch.
            samples: N of the batch.
            unit: size of one unit spike in ``values``.
            binary: every value is known to be 0 or ``unit``.
        """
        values = values.detach()
        magnitude = _sum(values if binary else values.abs(), timesteps, samples) / unit
        # The sum over signs is several times faster than counting nonzeros.
        nonzero = magnitude if binary else _sum(values.sign().abs_(), timesteps, samples)
        self._open.append((nonzero, magnitude, values.numel() // len(magnitude)))

    def end_batch(self) -> None:
        """The calls so far belong to one batch; later ones to new samples."""
        if not self._open:
            return
        elements = sum(item[2] for item in self._open)
        length = max(len(item[0]) for item in self._open)
        nonzero = torch.zeros(length, dtype=torch.float64)
        magnitude = torch.zeros(length, dtype=torch.float64)
        for item in self._open:
            nonzero += item[0].to("cpu", torch.float64)
            magnitude += item[1].to("cpu", torch.float64)
        self._nonzero.append(nonzero / elements)
        self._magnitude.append(magnitude / elements)
        self._open.clear()

    def result(self) -> LayerRate | None:
        """Mean over samples, with the standard error of the rate; None without a sample."""
        self.end_batch()
        if not self._nonzero:
            return None
        nonzero = torch.cat(self._nonzero)
        count = len(nonzero)
        se = float(nonzero.std()) / math.sqrt(count) if count > 1 else math.nan
        return LayerRate(float(nonzero.mean()), float(torch.cat(self._magnitude).mean()), se)


def _sum(values: Tensor, timesteps: int, samples: int) -> Tensor:
    """Sum for each sample, [N], or [1] where no sample axis is found."""
    shape = values.shape
    if shape[:2] == (timesteps, samples):
        keep = 2
    elif shape and shape[0] in (timesteps * samples, samples):
        keep = 1
    else:
        return values.sum().reshape(1)
    # Reducing named axes works in any memory layout without a copy; half-precision sums would
    # be rounded to their own type.
    axes = tuple(range(keep, values.ndim))
    wide = torch.promote_types(values.dtype, torch.float32)
    total = values.sum(axes, dtype=wide) if axes else values.to(wide)
    if keep == 2 or shape[0] != samples:
        total = total.reshape(timesteps, samples).sum(0)
    return total


class RateMeter:
    """Measures ``model``'s firing rates over every batch that runs inside the context.

    ::

        with RateMeter(model, workload) as meter:
            model(frames)                             # [T, N, C, H, W]
        meter.rates()["blocks.0.mlp.fc1"].rate

    Args:
        model: any torch module whose input is [T, N, …]; its quantized form has the same paths.
        workload: the traced network; without it every weight layer and neuron is measured.
        neurons: further module classes that are neurons, where there is no workload.
    """

    def __init__(
        self,
        model: nn.Module,
        workload: Workload | None = None,
        neurons: tuple[type[nn.Module], ...] = (),
    ) -> None:
        self._model = model
        self._sums: dict[str, RateSum] = {}
        self._hooks: list[Any] = []
        self._shape = (1, 1)
        modules = dict(model.named_modules())
        self._values = {} if workload is None else workload.rate_paths
        measured = modules if workload is None else self._values
        self._layers = [p for p in measured if isinstance(modules.get(p), WEIGHT_LAYERS)]
        self._neurons = [
            p
            for p in measured
            if p in modules
            and p not in self._layers
            and (workload is not None or is_neuron(modules[p], neurons))
        ]
        self._modules = modules

    def __enter__(self) -> RateMeter:
        self._hooks.append(self._model.register_forward_pre_hook(self._begin))
        self._hooks.append(self._model.register_forward_hook(self._end))
        for path in self._layers:
            module = self._modules[path]
            self._hooks.append(module.register_forward_pre_hook(self._layer_hook(path)))
        for path in self._neurons:
            module = self._modules[path]
            self._hooks.append(module.register_forward_hook(self._neuron_hook(path)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def rates(self) -> dict[str, LayerRate]:
        """Rate by path: of a weight layer's inputs, of a neuron's outputs."""
        results = {path: total.result() for path, total in self._sums.items()}
        return {path: rate for path, rate in results.items() if rate is not None}

    def _begin(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._shape = (args[0].shape[0], args[0].shape[1])

    def _end(self, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        for total in self._sums.values():
            total.end_batch()

    def _layer_hook(self, path: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            self._add(path, args[0], 1.0)

        return hook

    def _neuron_hook(self, path: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            self._add(path, out, float(getattr(module, "unit", 1.0)))

        return hook

    def _add(self, path: str, values: Tensor, unit: float) -> None:
        unit, binary = self._values.get(path, (unit, False))
        self._sums.setdefault(path, RateSum()).add(values, *self._shape, unit, binary)
