"""Put fake quantizers on the layers of any network, and read the integers out again.

A quantizer becomes a parametrization of the layer's ``weight`` (torch.nn.utils.parametrize): the
network's own code stays as it is, and the full-precision weight keeps being trained as
``<layer>.parametrizations.weight.original``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from hqsearch.errors import UnknownName
from hqsearch.models.layers import WEIGHT_LAYERS, own_weight
from hqsearch.quant import codebooks
from hqsearch.quant.fake import FakeQuantizer, make_quantizer
from hqsearch.schemes.choice import FP32, parse_choice


@dataclass(frozen=True)
class LayerCodes:
    """What one layer stores.

    Attributes:
        choice: its choice, ``fp32`` included.
        codes: ``int8`` codes in the shape of the weight; None for fp32.
        scale: float32 scales ``[C]``; None for fp32.
        exponents: ``int8`` exponents ``[C]`` of power-of-two scales; None for other scales.
        weight: float weight; for a quantized layer the decoded one.
        bias: float bias ``[C]`` or None.
    """

    choice: str
    codes: Tensor | None
    scale: Tensor | None
    exponents: Tensor | None
    weight: Tensor
    bias: Tensor | None


def quantize_model(model: nn.Module, choices: Mapping[str, str]) -> None:
    """Store the layers of ``model`` by ``choices``, in place; scales start from the weights.

    Args:
        model: any network with Conv1d, Conv2d or Linear layers.
        choices: module path to choice; ``fp32`` and paths left out stay as they are.

    Raises:
        UnknownName: a path that is no weight layer of ``model``.
        DefinitionError: an unknown choice.
        FloatingPointError: a weight that is NaN or infinite, with its layer.
        ValueError: a layer that is quantized already, or whose weights are beyond ±2^48.
    """
    layers = _layers(model)
    made: dict[tuple[int, str], FakeQuantizer] = {}
    for path, choice in choices.items():
        if path not in layers:
            raise UnknownName("layer", path, layers, type(model).__name__)
        if not parse_choice(choice).scheme.has_codes:
            continue
        if quantizer_of(layers[path]) is not None:
            raise ValueError(f"layer {path!r} is quantized already; start from the fp32 parent.")
        weight = layers[path].weight
        # Layers that share a weight share its scales.
        quantizer = made.get((id(weight), choice)) if own_weight(layers[path]) is weight else None
        if quantizer is None:
            quantizer = make_quantizer(choice, weight, path or "the layer")
            made[id(weight), choice] = quantizer
        parametrize.register_parametrization(layers[path], "weight", quantizer)


def quantizer_of(layer: nn.Module) -> FakeQuantizer | None:
    """The quantizer on the weight of ``layer``, or None where it is fp32."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    chain = layer.parametrizations["weight"]  # type: ignore[index]
    return next((module for module in chain if isinstance(module, FakeQuantizer)), None)


def read_codes(model: nn.Module) -> dict[str, LayerCodes]:
    """What every weight layer of ``model`` stores, by module path in module order."""
    found = {}
    for path, layer in _layers(model).items():
        quantizer = quantizer_of(layer)
        bias = None if layer.bias is None else layer.bias.detach().clone()
        if quantizer is None:
            weight = layer.weight.detach().clone()
            found[path] = LayerCodes(FP32, None, None, None, weight, bias)
            continue
        original = layer.get_parameter("parametrizations.weight.original").detach()
        codes, scale = quantizer.codes(original), quantizer.scale().detach()
        power = quantizer.choice.scheme.exponent_scale
        found[path] = LayerCodes(
            choice=str(quantizer.choice),
            codes=codes,
            scale=scale,
            exponents=codebooks.exponents(scale) if power else None,
            weight=codebooks.decode(codes, scale, quantizer.choice),
            bias=bias,
        )
    return found


def _layers(model: nn.Module) -> dict[str, nn.Conv1d | nn.Conv2d | nn.Linear]:
    return {path: m for path, m in model.named_modules() if isinstance(m, WEIGHT_LAYERS)}
