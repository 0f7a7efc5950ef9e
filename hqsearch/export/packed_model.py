"""From a trained network to what is packed, and from a packed model to a network again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqsearch.errors import DefinitionError, InputError, PluginError
from hqsearch.export.layers import Array, StoredLayer
from hqsearch.export.packed_file import PackedModel
from hqsearch.export.packed_layers import levels_of, neuron_threshold, quantized_layers
from hqsearch.hardware.workload import Workload
from hqsearch.models import build_model, weight_layers
from hqsearch.models.adapters.declared import Declared
from hqsearch.models.adopting import adopt
from hqsearch.models.given import GivenModel
from hqsearch.plugins import (
    file_identity,
    installed_identity,
    is_installed_reference,
    same_identity,
)
from hqsearch.quant.absorb import normalized


def pack_network(model: nn.Module, workload: Workload, about: Mapping[str, Any]) -> PackedModel:
    """What a file holds of a trained network with fake quantizers.

    Args:
        model: on any device.
        workload: of the network: what follows each layer, and what else is read.
        about: JSON values. ``model`` says how the network is built again: ``name``, ``options``,
            ``given`` (what the data decide), ``identity`` of a user's file, and what makes a
            user's network ready (``adopted``: keywords of :func:`hqsearch.models.adopting.adopt`).

    Raises:
        DefinitionError: a layer that cannot be stored; named.
    """
    return PackedModel(quantized_layers(model, workload), _loose(model, workload), dict(about))


def rebuild(packed: PackedModel, model: Any = None) -> nn.Module:
    """The network of a packed model, on the CPU in evaluation mode.

    Integer weights and the normalisations behind them are set so that every neuron sees what it
    saw in training. Sums of integers are exact in float32 below 2^24; what follows them is rounded
    elsewhere than in training, so that logits agree to float32's rounding and, where a membrane
    comes that near to its threshold, a spike may differ.

    Args:
        packed: as read from a file.
        model: what it was built with, where that is in no file: a function, or a network of the
            same layers.

    Raises:
        InputError: the network cannot be built here, or is another one.
    """
    network = _built(packed, model)
    modules = dict(network.named_modules())
    shapes = {layer.path: layer.shape for layer in weight_layers(network)}
    for path, layer in packed.layers.items():
        if shapes.get(path) != layer.shape:
            there = f"{list(shapes[path])}" if path in shapes else "no such layer"
            raise InputError(
                f"the packed model has a layer {path!r} {list(layer.shape)}, the network that was "
                f"built for it {there}: it is another one."
            )
    try:
        with torch.no_grad():
            for layer in packed.layers.values():
                _fill(layer, modules)
            _fill_loose(packed.loose, network, modules)
    except (KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError(f"the packed model does not fit the network: {error}") from error
    return network.eval()


def _built(packed: PackedModel, model: Any) -> nn.Module:
    """The network, ready for frames, with whatever weights."""
    told = packed.about.get("model", {})
    network = _made(told, model)
    if "adopted" not in told:
        return network
    ready = told["adopted"]
    neurons = [Declared(**neuron) for neuron in ready["neurons"]]
    return adopt(network, ready["frames"], neurons, None, ready["seed"], ready["readout"])


def _made(told: Mapping[str, Any], model: Any) -> nn.Module:
    options, given = dict(told.get("options", {})), dict(told.get("given", {}))
    if isinstance(given.get("size"), list):  # JSON has no pairs
        given["size"] = tuple(given["size"])
    if model is not None:
        if not (callable(model) or isinstance(model, nn.Module)):
            raise InputError("model must be a function that returns the network, or a network.")
        return GivenModel(model).build(options, given, seed=0)
    name = told.get("name")
    if name is None:
        raise InputError(
            f"the network was given as a Python object ({told.get('object', 'unknown')}), which no "
            "file holds: load_model(path, model=…) with the function or network that it was."
        )
    if "identity" in told:
        place, _, function = str(name).rpartition(":")
        try:
            installed = is_installed_reference(str(name))
            here = installed_identity(str(name)) if installed else file_identity(str(name), Path())
        except PluginError as error:
            raise InputError(
                f"the network is built by {function} of {place}, which cannot be read here "
                f"({error}); load_model(path, model=…) takes the function or a network."
            ) from error
        if not same_identity(told["identity"], here):
            raise InputError(
                f"{place}, or a file beside it that it imports, is not what it was when the model "
                "was trained; load_model(path, model=…) takes the function or network that is "
                "meant."
            )
    try:
        return build_model(str(name), options, **given)
    except (DefinitionError, PluginError, TypeError) as error:
        raise InputError(f"the network {name} cannot be built here: {error}") from error


def _loose(model: nn.Module, workload: Workload) -> dict[str, Array]:
    """State of no weight layer, by name; of a normalisation of its own ``[2, C]``."""
    state, modules = model.state_dict(), dict(model.named_modules())
    found: dict[str, Array] = {}
    for name, _ in workload.unquantized:
        if name in state:
            value = state[name].detach().cpu()
            kind = torch.float32 if value.is_floating_point() else torch.int32
            found[name] = value.to(kind).numpy()
        else:
            parts = normalized(modules[name], torch.float64)
            found[name] = torch.stack(parts).float().cpu().numpy()
    return found


def _fill_loose(
    loose: Mapping[str, Array], network: nn.Module, modules: Mapping[str, nn.Module]
) -> None:
    state = network.state_dict(keep_vars=True)
    for name, value in loose.items():
        if name in state:
            state[name].copy_(torch.from_numpy(value.copy()))
        else:
            slope, offset = torch.from_numpy(value.copy()).double()
            _set_norm(modules[name], slope, offset)


def _fill(layer: StoredLayer, modules: Mapping[str, nn.Module]) -> None:
    """Set a layer and the normalisation behind it."""
    module: Any = modules[layer.path]
    if layer.weights_of is not None:  # its neuron may have taken in another scale
        module.weight = nn.Parameter(module.weight.detach().clone())
    weight, channels = levels_of(layer), layer.shape[0]
    slope = torch.ones(channels, dtype=torch.float64)
    offset = torch.zeros_like(slope)
    if layer.bias is not None:
        offset = torch.from_numpy(layer.bias.real())
    if layer.threshold is not None:
        assert layer.neuron is not None
        fires_at = neuron_threshold(modules[layer.neuron])
        gain = fires_at / torch.from_numpy(layer.threshold.real())
        slope, offset = gain / layer.unit, offset * gain
    else:
        weight = weight * _scale(layer).view(-1, *[1] * (weight.ndim - 1))
        if layer.multiplier is not None:
            slope = torch.from_numpy(layer.multiplier.copy()).double()
    norms = layer.norm.split("+") if layer.norm else []
    if not norms:
        weight = weight * slope.view(-1, *[1] * (weight.ndim - 1))
    module.weight.copy_(weight)
    if module.bias is not None:
        module.bias.copy_(torch.zeros_like(offset) if norms else offset)
    for index, path in enumerate(norms):
        first = index == 0
        ones, zeros = torch.ones_like(slope), torch.zeros_like(slope)
        _set_norm(modules[path], slope if first else ones, offset if first else zeros)


def _scale(layer: StoredLayer) -> Tensor:
    """``float64`` scales ``[C]``; ones where there are none."""
    if layer.exponent is not None:
        return torch.from_numpy(np.ldexp(1.0, layer.exponent.astype(np.int32)))
    if layer.scale is not None:
        return torch.from_numpy(layer.scale.copy()).double()
    return torch.ones(layer.shape[0], dtype=torch.float64)


def _set_norm(norm: Any, slope: Tensor, offset: Tensor) -> None:
    """Make ``norm(x)`` in evaluation ``slope * x + offset``, channel by channel."""
    if norm.weight is not None:
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.weight.copy_(slope * (1.0 + norm.eps) ** 0.5)
        norm.bias.copy_(offset)
    else:
        norm.running_var.copy_(slope**-2.0 - norm.eps)
        norm.running_mean.copy_(-offset / slope)
