"""The quantizer of a supernet: one weight, mixed from what every choice would make of it.

A sample ``g`` of the simplex gives ``sum_k g[k] * Q_k(W)``, and the layer runs *once* on that sum.
The gradient goes straight through to the weight, ``sum_k g[k] * inside_k``; to every scale as in
LSQ, times ``g[k]``; and to the sample, ``dL/dg[k] = <dL/dW_mixed, Q_k(W)>``. Mixing weights, not
outputs, is the composite convolution of EdMIPS (Cai & Vasconcelos, CVPR 2020, arXiv 2004.05795).
SpikeHQ (arXiv 2412.05505) does not publish how it mixes, so this is a reconstruction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hqsearch.errors import UnknownName
from hqsearch.models.layers import WEIGHT_LAYERS, own_weight
from hqsearch.quant import codebooks
from hqsearch.quant.fake import FakeQuantizer, make_quantizer
from hqsearch.schemes.choice import Choice, parse_choice


class MixedQuantizer(nn.Module):
    """Parametrization of a weight that may take any of several choices; starts as all alike.

    Args:
        choices: the values of a dimension, in its order; fp32 may be one of them.
        weight: the trained weight ``[C, ...]`` that the scales start from.
        layer: its path, for messages.

    Attributes:
        quantizers: a fake quantizer by choice; fp32 has none.
    """

    def __init__(
        self, choices: Sequence[str | Choice], weight: Tensor, layer: str = "the layer"
    ) -> None:
        super().__init__()
        self.choices = tuple(parse_choice(str(choice)) for choice in choices)
        self.quantizers = nn.ModuleDict(
            {str(c): make_quantizer(c, weight, layer) for c in self.choices if c.scheme.has_codes}
        )
        even = torch.full((len(self.choices),), 1.0 / len(self.choices), device=weight.device)
        self.mix(even)

    def mix(self, mixture: Tensor, shares: Sequence[float] | None = None) -> None:
        """Use ``mixture`` ``[n_choices]`` from now on.

        Args:
            mixture: shares of the choices; gets a gradient if it requires one.
            shares: the same numbers on the host, where a caller has them already: reading them
                from an accelerator layer by layer would wait for it every time.

        Raises:
            ValueError: another number of choices.
        """
        if mixture.shape != (len(self.choices),):
            raise ValueError(
                f"a mixture of {len(self.choices)} choices is needed, not {list(mixture.shape)}."
            )
        self._mixture: Tensor = mixture
        self._shares: tuple[float, ...] = tuple(mixture.tolist() if shares is None else shares)

    def forward(self, weight: Tensor) -> Tensor:
        """Mixed weight of the same shape ``[C, ...]``.

        Choices without a share are left out, unless the mixture wants its gradient: that of a
        choice does not vanish with its share.
        """
        needed = self._mixture.requires_grad and torch.is_grad_enabled()
        active = tuple(
            (index, share, choice)
            for index, (share, choice) in enumerate(zip(self._shares, self.choices, strict=True))
            if needed or share != 0.0
        )
        scales = [self._quantizer(c).scale() for *_, c in active if c.scheme.has_codes]
        mixed: Tensor = _Mix.apply(weight, self._mixture, active, *scales)
        return mixed

    def _quantizer(self, choice: Choice) -> FakeQuantizer:
        found = self.quantizers[str(choice)]
        assert isinstance(found, FakeQuantizer)
        return found

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.choices))


def mix_model(model: nn.Module, choices: Mapping[str, Sequence[str]]) -> dict[str, MixedQuantizer]:
    """Put mixed quantizers on layers of ``model``, in place; scales start from the weights.

    Args:
        model: any network with Conv1d, Conv2d or Linear layers.
        choices: module path to the choices of the layer.

    Returns:
        The quantizers by module path; set their mixtures before every step.

    Raises:
        UnknownName: a path that is no weight layer of ``model``.
        DefinitionError: an unknown choice.
        FloatingPointError: a weight that is NaN or infinite, with its layer.
        ValueError: a layer that is quantized already, or whose weights are beyond ±2^48.
    """
    layers = {path: m for path, m in model.named_modules() if isinstance(m, WEIGHT_LAYERS)}
    found: dict[str, MixedQuantizer] = {}
    made: dict[int, MixedQuantizer] = {}
    for path, names in choices.items():
        if path not in layers:
            raise UnknownName("layer", path, layers, type(model).__name__)
        if parametrize.is_parametrized(layers[path], "weight"):
            raise ValueError(f"layer {path!r} is quantized already; start from the fp32 parent.")
        weight = layers[path].weight
        shared = id(own_weight(layers[path]))
        if shared not in made:  # layers that share a weight share its scales
            made[shared] = MixedQuantizer(names, weight.detach(), path)
        found[path] = made[shared]
        parametrize.register_parametrization(layers[path], "weight", found[path])
    return found


class _Mix(torch.autograd.Function):
    """The mixture of the active choices and its gradients, in one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        mixture: Tensor,
        active: tuple[tuple[int, float, Choice], ...],
        *scales: Tensor,
    ) -> Tensor:
        mixed: Tensor | None = None
        kept: list[Tensor | None] = []
        weights_learn = any((ctx.needs_input_grad[0], *ctx.needs_input_grad[3:]))
        given = iter(scales)
        for _, share, choice in active:
            if not choice.scheme.has_codes:
                part = weight
            else:
                spread = codebooks.per_channel(next(given), weight)
                ratio = weight / spread
                scheme, bits = choice.scheme, choice.bits
                level = scheme.code_to_level(scheme.ratio_to_code(ratio, bits), bits)
                part = level * spread
                kept += [ratio if weights_learn else None, level]
            mixed = part * share if mixed is None else mixed.add_(part, alpha=share)
        ctx.save_for_backward(weight, *scales, *kept)
        ctx.active, ctx.choices = active, len(mixture)
        assert mixed is not None
        return mixed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, *rest = ctx.saved_tensors
        scales, kept = rest[: len(rest) // 3], iter(rest[len(rest) // 3 :])
        grad, axes = grads[0], tuple(range(1, weight.ndim))
        passed = torch.zeros_like(grad) if ctx.needs_input_grad[0] else None
        towards = weight.new_zeros(ctx.choices) if ctx.needs_input_grad[1] else None
        grad_scales: list[Tensor | None] = []
        for index, share, choice in ctx.active:
            if not choice.scheme.has_codes:
                if passed is not None:
                    passed.add_(share)
                if towards is not None:
                    towards[index] = (grad * weight).sum()
                continue
            place = len(grad_scales)
            ratio, level = next(kept), next(kept)
            if towards is not None:
                towards[index] = (grad * level).sum(axes) @ scales[place]
            if ratio is None:
                grad_scales.append(None)
                continue
            low, high = choice.scheme.level_range(choice.bits)
            # Comparing into floats: booleans are several times slower on CPUs.
            clipped = ratio.clamp(low, high)
            inside = torch.eq(clipped, ratio, out=clipped)
            if passed is not None:
                passed.add_(inside, alpha=share)
            per_weight = torch.addcmul(level, ratio, inside, value=-1.0).mul_(grad)
            divisor = choice.scheme.gradient_divisor(choice.bits)
            factor = share / math.sqrt(ratio[0].numel() * divisor)
            grad_scales.append(per_weight.sum(axes).mul_(factor))
        grad_weight = None if passed is None else passed.mul_(grad)
        return grad_weight, towards, None, *grad_scales
