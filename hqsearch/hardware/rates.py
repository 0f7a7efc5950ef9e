"""Measure firing rates while a network runs.

:class:`RateMeter` hooks the inputs of weight layers and the outputs of neurons. With a traced
workload it measures only what the cost model reads, and sums binary spikes once instead of
counting nonzeros and magnitudes. Inputs of a convolution are also weighted by how often it reads
them (see ``uses``), which makes the number of accumulations exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.hardware.uses import convolution_uses
from hqsearch.hardware.workload import LayerRate, Workload
from hqsearch.models.adapters import neuron_facts
from hqsearch.models.layers import WEIGHT_LAYERS
from hqsearch.models.recognition import is_neuron, spikes_of

#: Taps that read each position of each spatial axis, float64 [length]; their products count.
Uses = tuple[Tensor, ...]


class RateSum:
    """Accumulates the nonzero share and mean magnitude of tensors, sample by sample."""

    def __init__(self) -> None:
        # Of every call in the open batch, float64: sums of nonzeros and magnitudes, each plain
        # and weighted by uses, [4, N]; and what a sample has of inputs and of uses.
        self._open: list[tuple[Tensor, int, int]] = []
        self._means: list[Tensor] = []
        self._weighted = False

    def add(
        self,
        values: Tensor,
        timesteps: int,
        samples: int,
        unit: float = 1.0,
        binary: bool = False,
        uses: Uses | None = None,
    ) -> None:
        """Count one call of the current batch.

        Args:
            values: [T·N, …], [T, N, …] or [N, …]; any other shape counts as one sample.
            timesteps: T of the batch.
            samples: N of the batch.
            unit: size of one unit spike in ``values``.
            binary: every value is known to be 0 or ``unit``.
            uses: how often each position is read, along each of the last axes of ``values``
                (behind a channel axis); None: equally often.
        """
        values = values.detach()
        magnitude = _sums(values if binary else values.abs(), timesteps, samples, uses) / unit
        # The sum over signs is several times faster than counting nonzeros.
        nonzero = magnitude if binary else _sums(values.sign().abs_(), timesteps, samples, uses)
        inputs = values.numel() // magnitude.shape[1]
        read = inputs
        for counts in uses or ():
            read = read // len(counts) * int(counts.sum())
        self._weighted |= uses is not None
        self._open.append((torch.cat([nonzero, magnitude]), inputs, read))

    def end_batch(self) -> None:
        """The calls so far belong to one batch; later ones to new samples."""
        if not self._open:
            return
        length = max(sums.shape[1] for sums, _, _ in self._open)
        total = torch.zeros(4, length, dtype=torch.float64)
        for sums, _, _ in self._open:
            total += sums.to("cpu")
        inputs = sum(item[1] for item in self._open)
        read = sum(item[2] for item in self._open)
        # A convolution that is larger than its input may read none of it.
        counts = torch.tensor([inputs, max(read, 1)] * 2, dtype=torch.float64)
        self._means.append(total / counts[:, None])
        self._open.clear()

    def result(self) -> LayerRate | None:
        """Means over samples, with the standard error of the rate; None without a sample."""
        self.end_batch()
        if not self._means:
            return None
        means = torch.cat(self._means, dim=1)
        count = means.shape[1]
        se = float(means[0].std()) / math.sqrt(count) if count > 1 else math.nan
        rate, rate_per_use, activity, activity_per_use = means.mean(1).tolist()
        per_use = (rate_per_use, activity_per_use) if self._weighted else (None, None)
        return LayerRate(rate, activity, se, *per_use)


def _sums(values: Tensor, timesteps: int, samples: int, uses: Uses | None) -> Tensor:
    """Sums for each sample, plain and weighted by ``uses``, float64 [2, N].

    N is 1 where no sample axis is found.
    """
    shape = values.shape
    if shape[:2] == (timesteps, samples):
        keep = 2
    elif shape and shape[0] in (timesteps * samples, samples):
        keep = 1
    else:
        keep = 0
    if uses is None:
        total = _reduced(values, range(keep, values.ndim)).expand(2, *shape[:keep])
    else:
        total = _weighted(values, uses)
        total = total.sum(tuple(range(keep + 1, total.ndim))) if total.ndim > keep + 1 else total
    if keep == 0:
        return total.reshape(2, 1)
    if keep == 2 or shape[0] != samples:
        total = total.reshape(2, timesteps, samples).sum(1)
    return total


def _reduced(values: Tensor, axes: Iterable[int]) -> Tensor:
    """Sum over axes, as float64.

    Reducing named axes works in any memory layout without a copy; half-precision sums would be
    rounded to their own type.
    """
    over = tuple(axes)
    wide = torch.promote_types(values.dtype, torch.float32)
    return (values.sum(over, dtype=wide) if over else values).double()


def _weighted(values: Tensor, uses: Uses) -> Tensor:
    """Sums over the channel and the spatial axes, plain and weighted, float64 [2, *leading]."""
    *outer, last = (counts.to(values.device) for counts in uses)
    channel = values.ndim - len(uses) - 1
    moved = values.movedim(channel, -1)
    if moved.is_contiguous() and values.dtype in (torch.float32, torch.float64):
        # Channels lie innermost: summing over few of them would be slow.
        weights = last.repeat_interleave(moved.shape[-1])
        rows = torch.stack([torch.ones_like(weights), weights]).to(values.dtype)
        lines = moved.flatten(-2)
        plain, weighted = (rows @ lines.flatten(0, -2).T).double().reshape(2, *lines.shape[:-1])
    else:
        partial = _reduced(values, (channel,))
        plain, weighted = partial.sum(-1), partial @ last
    for counts in reversed(outer):
        plain, weighted = plain.sum(-1), weighted @ counts
    return torch.stack([plain, weighted])


def input_uses(module: nn.Module, shape: Sequence[int]) -> Uses | None:
    """How often a weight layer reads each position of an input of this shape; see ``RateSum``."""
    if isinstance(module, nn.Linear):
        return None
    uses = convolution_uses(module, shape)
    if all((counts == counts[:1]).all() for counts in uses):
        return None
    return tuple(torch.from_numpy(counts).double() for counts in uses)


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
        # Pictures come once, and the network may repeat them.
        self._timesteps = None if workload is None else workload.timesteps
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
            hook = self._layer_hook(path)
            self._hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))
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
        self._shape = (self._timesteps or args[0].shape[0], args[0].shape[1])

    def _end(self, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        for total in self._sums.values():
            total.end_batch()

    def _layer_hook(self, path: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> None:
            given = args[0] if args else next(iter(kwargs.values()))
            self._add(path, given, 1.0, input_uses(module, given.shape))

        return hook

    def _neuron_hook(self, path: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], out: Any) -> None:
            facts, spikes = neuron_facts(module), spikes_of(out)
            if spikes is not None:
                self._add(path, spikes, 1.0 if facts is None else facts.unit)

        return hook

    def _add(self, path: str, values: Tensor, unit: float, uses: Uses | None = None) -> None:
        unit, binary = self._values.get(path, (unit, False))
        self._sums.setdefault(path, RateSum()).add(values, *self._shape, unit, binary, uses)
