"""RepConv: a 3x3 convolution that is trained in parts, and its fold into one.

Pointwise, batch normalisation, depthwise 3x3, pointwise, batch normalisation, without a neuron
between (Meta-SpikeFormer, Yao et al., ICLR 2024; QSD-Transformer keeps it). In parts the
depthwise and the second pointwise layer read real values; folded, one convolution reads spikes,
with 9 C^2 weights instead of 2 C^2 + 9 C.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BorderNorm(nn.BatchNorm2d):
    """Batch normalisation, then a border of one pixel: ``[M, C, h, w]`` to ``[M, C, h+2, w+2]``.

    The border is what the normalisation makes of zero by its *running* statistics, also in
    training, and has no gradient; in evaluation that is as if zeros had been padded before the
    layer that it follows.
    """

    def forward(self, x: Tensor) -> Tensor:
        normal = super().forward(x)
        _, offset = running_affine(self)
        images, channels, height, width = normal.shape
        border = offset.detach().to(normal.dtype).view(1, channels, 1, 1)
        padded = torch.empty(
            (images, channels, height + 2, width + 2),
            dtype=normal.dtype,
            device=normal.device,
            memory_format=torch.channels_last,
        )
        padded.copy_(border.expand_as(padded))
        padded[:, :, 1:-1, 1:-1] = normal
        return padded


class RepConv(nn.Module):
    """C to C channels in parts, images ``[M, C, h, w]`` to the same shape; no bias, no neuron."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.point1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm1 = BorderNorm(channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, groups=channels, bias=False)
        self.point2 = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm2(self.point2(self.depthwise(self.norm1(self.point1(x)))))
        return out

    def folded(self) -> nn.Conv2d:
        """One 3x3 convolution with a bias that gives in evaluation what the parts give.

        K[o, i] = g2[o] sum_c P2[o, c] D[c] g1[c] P1[c, i], with g1 and g2 the gains of the
        two normalisations; the sums are in float64.
        """
        channels = self.norm2.num_features
        first, middle, second = (
            layer.weight.detach().double() for layer in (self.point1, self.depthwise, self.point2)
        )
        (gain1, offset1), (gain2, offset2) = (
            running_affine(norm) for norm in (self.norm1, self.norm2)
        )
        inner = middle.squeeze(1) * gain1.view(-1, 1, 1)  # [c, 3, 3]
        kernel = torch.einsum(
            "oc,chw,ci->oihw", second.flatten(1), inner, first.flatten(1)
        ) * gain2.view(-1, 1, 1, 1)
        bias = gain2 * (second.flatten(1) @ (middle.sum((1, 2, 3)) * offset1)) + offset2
        dtype = self.point1.weight.dtype
        conv = nn.Conv2d(channels, channels, 3, padding=1, device=self.point1.weight.device)
        with torch.no_grad():
            conv.weight.copy_(kernel.to(dtype))
            assert conv.bias is not None
            conv.bias.copy_(bias.to(dtype))
        return conv.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def running_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Gain and offset ``[C]`` of a normalisation in evaluation, in float64, no gradient."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return gain, norm.bias.detach().double() - norm.running_mean.double() * gain


def fold_all(model: nn.Module) -> None:
    """Replace every :class:`RepConv` in ``model`` by its fold, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, RepConv):
                setattr(parent, name, child.folded())
