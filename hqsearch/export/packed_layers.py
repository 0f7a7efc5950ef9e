"""What every weight layer of a trained, quantized network stores."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from hqsearch.errors import DefinitionError
from hqsearch.export.bits import Constants, fixed_point, float_point
from hqsearch.export.layers import StoredLayer
from hqsearch.hardware.workload import Operation, Workload
from hqsearch.models.adapters import neuron_facts
from hqsearch.quant import LayerCodes, quantizer_of, read_codes
from hqsearch.quant.absorb import normalized
from hqsearch.schemes.choice import Choice, parse_choice

#: A channel whose sums move the membrane by less than this part of the threshold is stored as one
#: that they do not move at all: float32 keeps no more of them beside the constant.
_NEGLIGIBLE = 2.0**-22


def quantized_layers(model: nn.Module, workload: Workload) -> dict[str, StoredLayer]:
    """What every weight layer of ``model`` stores, by path, in the order of execution.

    Args:
        model: with fake quantizers on its layers, as :func:`hqsearch.quant.quantize_model` puts
            them there; trained; on any device.
        workload: traced from this network or from its fp32 parent: what follows each layer.

    Raises:
        DefinitionError: a layer that cannot be stored; named.
    """
    modules, stored = dict(model.named_modules()), read_codes(model)
    owners = _owners(workload, modules)
    found: dict[str, StoredLayer] = {}
    for path, op in workload.layers.items():
        try:
            found[path] = _layer(op, stored[path], modules, path in {*owners, *owners.values()})
        except ValueError as error:
            raise DefinitionError(f"layer {path!r} cannot be stored: {error}") from error
    for path, owner in owners.items():
        for part in ("scale", "exponent"):
            if getattr(found[path], part) is not None and getattr(found[owner], part) is None:
                raise DefinitionError(
                    f"layer {path!r} cannot be stored: it shares the weight of {owner!r}, whose "
                    "scale a neuron takes in, and has no scale of its own."
                )
        found[path] = replace(found[path], weights_of=owner)
    return found


def levels_of(layer: StoredLayer) -> Tensor:
    """Weights ``float64`` whose sums the layer's constants are meant for: integers, where its
    scheme has them; else levels at scale 1; fp32 weights as they are.
    """
    if layer.codes is None:
        return torch.from_numpy(layer.weight).double()
    choice, codes = layer.parsed, torch.from_numpy(layer.codes.copy())
    if choice.scheme.has_integers and layer.threshold is not None:
        return choice.scheme.integers(codes, choice.bits).double()
    return choice.scheme.code_to_level(codes.double(), choice.bits)


def neuron_threshold(neuron: nn.Module) -> float:
    """The firing threshold of a neuron of any library that is known.

    Raises:
        ValueError: it has not one positive threshold for all channels.
    """
    facts = neuron_facts(neuron)
    if facts is None or facts.threshold is None or not facts.threshold > 0:
        said = "is not known" if facts is None else f"has the threshold {facts.threshold}"
        raise ValueError(
            f"its neuron ({type(neuron).__name__}) {said}, and one positive number for all "
            "channels is needed."
        )
    return facts.threshold


def _owners(workload: Workload, modules: dict[str, nn.Module]) -> dict[str, str]:
    """Layer that shares its weight → the layer that it is stored with."""
    first: dict[int, str] = {}
    for path, op in workload.layers.items():
        if not op.shared:
            first[id(_parameter(modules[path]))] = path
    return {
        path: first[id(_parameter(modules[path]))]
        for path, op in workload.layers.items()
        if op.shared
    }


def _parameter(layer: nn.Module) -> nn.Parameter:
    """What a layer learns as its weight, under a quantizer or not."""
    quantized = quantizer_of(layer) is not None
    return layer.get_parameter("parametrizations.weight.original" if quantized else "weight")


def _layer(
    op: Operation, codes: LayerCodes, modules: dict[str, nn.Module], shares: bool
) -> StoredLayer:
    choice = parse_choice(codes.choice)
    coded = choice.scheme.has_codes
    slope, offset = _after(op, codes, modules)
    absorbed = op.neuron is not None and (op.norm is not None or coded)
    weight = None if coded else codes.weight.cpu().float()
    stored = None if codes.codes is None else codes.codes.cpu().clone()
    scale = exponent = multiplier = None
    threshold: Constants | None = None
    bias: Constants | None = None
    if absorbed:
        assert op.neuron is not None
        fires_at = neuron_threshold(modules[op.neuron])
        gain = slope * _unit(choice, codes) * op.unit
        silent = gain == 0 if shares else _silent(op, choice, codes, gain, fires_at)
        if shares and bool(silent.any()):
            raise ValueError(
                "its normalisation multiplies a channel by 0, whose weights it shares with another."
            )
        if stored is not None and bool(silent.any()):
            stored[silent] = _zero_code(choice, bool(silent.all()))
        if weight is not None:
            weight = weight.clone()
            weight[silent] = 0.0
        unit = torch.where(silent, torch.ones_like(gain), gain)
        constants = (fires_at / unit).numpy(), (offset / unit).numpy()
        threshold, bias = (
            (fixed_point(constants[0], "outwards"), fixed_point(constants[1], "nearest"))
            if coded
            else (float_point(constants[0]), float_point(constants[1]))
        )
        if op.norm is None and not op.bias:
            bias = None
    else:
        if coded and codes.exponents is not None:
            exponent = codes.exponents.cpu().numpy()
        elif coded:
            assert codes.scale is not None
            scale = codes.scale.cpu().float().numpy()
        multiplier = slope.float().numpy() if op.norm is not None else None
        if op.norm is not None or op.bias:
            bias = float_point(offset.numpy())
    return StoredLayer(
        path=op.path, choice=choice.text, shape=tuple(codes.weight.shape),
        codes=None if stored is None else stored.numpy(),
        weight=None if weight is None else weight.numpy(),
        scale=scale, exponent=exponent, multiplier=multiplier, bias=bias, threshold=threshold,
        unit=op.unit, norm=op.norm, neuron=op.neuron if absorbed else None,
    )  # fmt: skip


def _after(
    op: Operation, codes: LayerCodes, modules: dict[str, nn.Module]
) -> tuple[Tensor, Tensor]:
    """``(a, d)`` ``[C]``: what a neuron sees of the layer's weighted sum s is ``a s + d``."""
    slope = torch.ones(op.channels, dtype=torch.float64)
    offset = torch.zeros_like(slope)
    if codes.bias is not None:
        offset = codes.bias.cpu().double()
    for path in op.norm.split("+") if op.norm else ():
        gain, shift = (part.cpu() for part in normalized(modules[path], torch.float64))  # type: ignore[arg-type]
        slope, offset = slope * gain, offset * gain + shift
    return slope, offset


def _unit(choice: Choice, codes: LayerCodes) -> Tensor:
    """Weight ``[C]`` that 1 of :func:`levels_of` stands for."""
    if codes.scale is None:
        return torch.ones(codes.weight.shape[0], dtype=torch.float64)
    scale = codes.scale.cpu().double()
    whole = choice.scheme.has_integers
    return choice.scheme.integer_unit(scale, choice.bits) if whole else scale


def _silent(
    op: Operation, choice: Choice, codes: LayerCodes, gain: Tensor, fires_at: float
) -> Tensor:
    """Channels ``[C]`` whose sums are multiplied by nothing, or by next to nothing."""
    magnitude = codes.weight.cpu().double().abs().flatten(1).sum(1) / _unit(choice, codes)
    most = magnitude * max(op.input_levels, 1)
    return (gain == 0) | (gain.abs() * most < _NEGLIGIBLE * fires_at) & (op.input_levels > 0)


def _zero_code(choice: Choice, every: bool) -> int:
    """The code of weight 0.

    Raises:
        ValueError: the scheme has none.
    """
    scheme, bits = choice.scheme, choice.bits
    zero = scheme.ratio_to_code(torch.zeros(1), bits)
    if float(scheme.code_to_level(zero, bits)) != 0.0:
        which = "every channel" if every else "a channel"
        raise ValueError(
            f"its normalisation multiplies {which} by 0, and {choice} has no code for 0."
        )
    return int(zero)
