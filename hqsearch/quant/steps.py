"""Step sizes that somebody else has learned, on the quantizers of a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hqsearch.errors import UnknownName
from hqsearch.quant.modules import quantizer_of


def set_steps(model: nn.Module, steps: Mapping[str, Tensor]) -> None:
    """Let quantized layers start from given scales, in place.

    Args:
        model: with quantizers on the layers named.
        steps: layer path -> scales ``[C]``, positive.

    Raises:
        UnknownName: a path that is no quantized layer of ``model``.
        ValueError: another number of scales, or one that is not positive.
    """
    modules = dict(model.named_modules())
    found = {path: quantizer_of(m) for path, m in modules.items() if hasattr(m, "weight")}
    quantizers = {path: q for path, q in found.items() if q is not None}
    for path, step in steps.items():
        if path not in quantizers:
            raise UnknownName("quantized layer", path, quantizers, type(model).__name__)
        quantizer = quantizers[path]
        if step.shape != (quantizer.channels,) or not bool((step > 0).all()):
            raise ValueError(f"{path} needs {quantizer.channels} positive scales.")
        scheme = quantizer.choice.scheme
        with torch.no_grad():
            quantizer.get_parameter(scheme.parameter).copy_(scheme.parameter_of(step))
