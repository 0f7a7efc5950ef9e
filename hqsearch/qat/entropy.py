"""How much the spikes of queries, keys and values can tell: the entropy of their values.

QSD-Transformer argues with the entropy of q, k and v, and no public code computes it. Here it is
that of the distribution of a neuron's values (0 and 1; 0 … D of an integer neuron) over all
samples, timesteps, tokens and channels: 1 bit at most for binary spikes, log2(D + 1) for integers.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.models.attention import AttentionProducts

_NAMES = ("q", "k", "v")


class FiringEntropy:
    """Counts the values of q, k and v in every attention of ``model``, while it is entered."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = {
            path: module
            for path, module in model.named_modules()
            if isinstance(module, AttentionProducts)
        }
        self._counts: dict[str, Tensor] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> FiringEntropy:
        for path, module in self._modules.items():
            block = path.rpartition(".")[0]
            self._hooks.append(module.register_forward_pre_hook(self._hook(block)))
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

    def bits(self) -> dict[str, float]:
        """Entropy in bits of a value, by path: ``blocks.0.attention.q``."""
        return {path: round(entropy(counts), 4) for path, counts in self._counts.items()}

    def _hook(self, block: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            assert isinstance(module, AttentionProducts)
            for name, spikes in zip(_NAMES, args, strict=True):
                values = (spikes.detach() / module.unit).round_().clamp_(0, module.levels)
                counts = values.to(torch.uint8).flatten().bincount(minlength=module.levels + 1)
                path = f"{block}.{name}" if block else name
                self._counts[path] = self._counts.get(path, 0) + counts.cpu()

        return hook


def entropy(counts: Tensor) -> float:
    """Of the distribution that ``counts`` ``[n]`` are of, in bits.

    >>> entropy(torch.tensor([2, 1, 1, 0]))
    1.5
    """
    share = counts[counts > 0].double() / counts.sum()
    return abs(float((share * share.log2()).sum()))
