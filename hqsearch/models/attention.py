"""Spiking attention without softmax: products of spikes, on images of tokens.

The modules have no weights; they are modules so that tools can hook their inputs q, k and v:
the cost model, distillation and the measurement of entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Gain on the product of queries, keys and values.
ATTENTION_SCALE = 0.25


class AttentionProducts(nn.Module):
    """``(Q K^T) V * scale`` on images ``[M, C, h, w]``.

    Two products of ``L * L * C`` MACs each per image, with L = h * w tokens.

    Args:
        heads: must divide C.
        scale: gain on the product.
        unit: size of a unit spike in q, k and v.
        levels: unit spikes that an element of them has at most.
    """

    def __init__(
        self, heads: int, scale: float = ATTENTION_SCALE, unit: float = 1.0, levels: int = 1
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.unit, self.levels = unit, levels

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        images, width, height, breadth = q.shape
        product = self.products(*(by_head(spikes, self.heads) for spikes in (q, k, v)))
        joined = product.view(images, self.heads, -1, width // self.heads).transpose(1, 2)
        return joined.reshape(images, height, breadth, width).permute(0, 3, 1, 2)

    def products(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """All ``[M * heads, L, C / heads]``."""
        return torch.bmm(torch.bmm(q, k.transpose(1, 2)), v).mul(self.scale)


class LinearAttentionProducts(AttentionProducts):
    """``Q (K^T V) * scale``: two products of ``L * C * C / heads`` MACs, linear in the tokens."""

    def products(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.bmm(q, torch.bmm(k.transpose(1, 2), v)).mul(self.scale)


def by_head(spikes: Tensor, heads: int) -> Tensor:
    """Images ``[M, C, h, w]`` as ``[M * heads, L, C / heads]``."""
    images, width, height, breadth = spikes.shape
    tokens, depth = height * breadth, width // heads
    split = spikes.flatten(2).view(images, heads, depth, tokens)
    return split.transpose(2, 3).reshape(-1, tokens, depth)
