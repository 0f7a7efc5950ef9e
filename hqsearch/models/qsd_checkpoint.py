"""Weights that the public code of QSD-Transformer (or Meta-SpikeFormer) saved, for our network.

The names are those of bollossom/QSD-Transformer's classification code; its published files could
not be had, so they were read from the code and never tried on one. Quantized files bring a step
size per output channel of each layer (``alpha``); fp32 networks of the same lineage have the
same names without it, and the second spike-driven transformer has no layer scales.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor, ones_like

from hqsearch.errors import DefinitionError, closest
from hqsearch.models.qsd import Qsd
from hqsearch.models.repconv import RepConv

#: Pattern of their key -> our name, one after the other; None: nothing reads it in their forward
#: pass, or it marks that a step was initialised. Steps are kept apart.
PUBLIC_NAMES: Final[tuple[tuple[str, str | None], ...]] = (
    (r"\.act\.|\.init_state$|\.signed$", None),
    (r"^downsample1_1\.", "stem."),
    (r"^downsample1_2\.", "down1."),
    (r"^downsample([234])\.", r"down\1."),
    (r"\.encode_conv\.", ".conv."),
    (r"\.encode_bn\.", ".norm."),
    (r"^ConvBlock([12]_[12])\.0\.Conv\.pwconv1\.", r"conv\1.separable.expand."),
    (r"^ConvBlock([12]_[12])\.0\.Conv\.bn1\.", r"conv\1.separable.expand_norm."),
    (r"^ConvBlock([12]_[12])\.0\.Conv\.dwconv\.", r"conv\1.separable.depthwise."),
    (r"^ConvBlock([12]_[12])\.0\.Conv\.pwconv2\.", r"conv\1.separable.reduce."),
    (r"^ConvBlock([12]_[12])\.0\.Conv\.bn2\.", r"conv\1.separable.reduce_norm."),
    (r"^ConvBlock([12]_[12])\.0\.conv([12])\.", r"conv\1.conv\2."),
    (r"^ConvBlock([12]_[12])\.0\.bn([12])\.", r"conv\1.norm\2."),
    (r"^block([34])\.(\d+)\.layer_scale1$", r"blocks\1.\2.attention_scale"),
    (r"^block([34])\.(\d+)\.layer_scale2$", r"blocks\1.\2.mlp_scale"),
    (r"^block([34])\.(\d+)\.attn\.", r"blocks\1.\2.attention."),
    (r"^block([34])\.(\d+)\.mlp\.", r"blocks\1.\2.mlp."),
    (r"\.(q|k|v|proj)_conv\.0\.body\.0\.", r".\1.point1."),
    (r"\.(q|k|v|proj)_conv\.0\.body\.1\.bn\.", r".\1.norm1."),
    (r"\.(q|k|v|proj)_conv\.0\.body\.2\.0\.", r".\1.depthwise."),
    (r"\.(q|k|v|proj)_conv\.0\.body\.2\.1\.", r".\1.point2."),
    (r"\.(q|k|v|proj)_conv\.0\.body\.2\.2\.", r".\1.norm2."),
    (r"\.(q|k|v|proj)_conv\.1\.", r".\1_norm."),
    (r"\.fc([12])_conv\.", r".fc\1."),
    (r"\.fc([12])_bn\.", r".fc\1_norm."),
)
_STEPS = ".alpha"


@dataclass(frozen=True)
class PublishedState:
    """A published state in our names.

    Attributes:
        weights: for ``load_state_dict`` of a network in parts (``fold = false``).
        steps: layer path -> step sizes ``[C]`` of its uniform quantizer; empty of an fp32 file.
    """

    weights: dict[str, Tensor]
    steps: dict[str, Tensor]


def from_published(state: Mapping[str, Tensor], model: Qsd) -> PublishedState:
    """Rename a published state, and check it against ``model``.

    Layer scales are 1 where the file has none, as the networks without them compute.

    Args:
        state: what lies under ``model`` in a published file.
        model: of the same size, in parts.

    Raises:
        DefinitionError: ``model`` is folded; a key that the public code does not have, a tensor
            that is missing, of another size, or a step that was never initialised; named.
    """
    if not any(isinstance(module, RepConv) for module in model.modules()):
        raise DefinitionError(
            "a published state is that of a network in parts; build it with fold = false."
        )
    ours = model.state_dict()
    weights: dict[str, Tensor] = {}
    steps: dict[str, Tensor] = {}
    for key, value in state.items():
        name = public_name(key)
        if name is None:
            continue
        path = name.removesuffix(_STEPS)
        if path != name and f"{path}.weight" in ours:
            steps[path] = _checked_step(key, value, ours[f"{path}.weight"].shape[0])
        else:
            weights[name] = _fitting(key, name, value, ours)
    scales = [name for name in ours if name.endswith(("attention_scale", "mlp_scale"))]
    if not any(name in weights for name in scales):
        weights |= {name: ones_like(ours[name]) for name in scales}
    missing = [name for name in ours if name not in weights]
    if missing:
        raise DefinitionError(
            f"the published state lacks {len(missing)} tensors of this network, first "
            f"{missing[0]!r}."
        )
    return PublishedState(weights, steps)


def public_name(key: str) -> str | None:
    """Our name of a published key; None where it is of no use.

    >>> public_name("block3.0.attn.q_conv.0.body.1.bn.running_var")
    'blocks3.0.attention.q.norm1.running_var'
    """
    for pattern, ours in PUBLIC_NAMES:
        if ours is None:
            if re.search(pattern, key):
                return None
        else:
            key = re.sub(pattern, ours, key)
    return key


def _fitting(key: str, name: str, value: Tensor, ours: Mapping[str, Tensor]) -> Tensor:
    """``value`` in the shape of ours; a Conv1d's weights are those of a 1x1 Conv2d."""
    if name not in ours:
        near = closest(name, ours)
        hint = f" (read as {name!r}; the nearest of ours is {near!r})" if near else ""
        raise DefinitionError(f"{key!r} is no tensor of a published QSD-Transformer{hint}.")
    wanted = ours[name].shape
    if [n for n in value.shape if n != 1] != [n for n in wanted if n != 1]:
        raise DefinitionError(
            f"{key!r} is {list(value.shape)}, and {name!r} of this network {list(wanted)}: the "
            "state is of another size."
        )
    return value.detach().reshape(wanted)


def _checked_step(key: str, value: Tensor, channels: int) -> Tensor:
    step = value.detach().reshape(-1)
    if step.numel() != channels:
        raise DefinitionError(
            f"{key!r} has {step.numel()} step sizes, and its layer {channels} output channels."
        )
    if not bool((step > 0).all() and step.isfinite().all()):
        raise DefinitionError(f"{key!r} holds a step size that was never initialised.")
    return step
