"""Build a network by its name, from ``path/to/file.py:function`` or ``package.module:function``,
from an explicit seed.

A built-in network is a configuration class, whose fields are the options that a definition may
set, and a module class that is made from it. A user's function gets what the data decide and
the user's own options::

    def build(*, timesteps, size, classes, in_channels, **options) -> torch.nn.Module

It may leave out what it does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hqsearch.errors import DefinitionError, PluginError, UnknownName
from hqsearch.models.convformer import Convformer, ConvformerConfig
from hqsearch.models.given import call_builder
from hqsearch.models.qsd import PUBLISHED, Qsd, QsdConfig
from hqsearch.models.spikformer import Spikformer, SpikformerConfig
from hqsearch.plugins import is_installed_reference, load_from_file, load_installed
from hqsearch.sides import Size

#: Set by the study's data, never by ``[model]``.
FROM_DATA = ("timesteps", "size", "classes", "in_channels")


@dataclass(frozen=True)
class Builtin:
    """A network of this package: its configuration (a dataclass), its module, and what a name
    fixes of the configuration."""

    config: Callable[..., Any]
    module: Callable[[Any], nn.Module]
    fixed: Mapping[str, Any] = field(default_factory=dict)


MODELS: dict[str, Builtin] = {
    "spikformer": Builtin(SpikformerConfig, Spikformer),
    "convformer": Builtin(ConvformerConfig, Convformer),
    "qsd": Builtin(QsdConfig, Qsd),
    **{name: Builtin(QsdConfig, Qsd, size) for name, size in PUBLISHED.items()},
}


def build_model(
    name: str,
    options: Mapping[str, Any],
    *,
    timesteps: int,
    size: Size,
    classes: int,
    in_channels: int = 2,
    seed: int = 0,
    deployed: bool = True,
) -> nn.Module:
    """A freshly initialised network, the same for the same arguments.

    Args:
        name: a key of :data:`MODELS`, ``path/to/file.py:function``, or
            ``package.module:function`` of an installed package.
        options: settings of this network.
        timesteps: T of the frames ``[T, N, C, H, W]``.
        size: height and width of the frames in pixels, or (height, width) where they differ; a
            user's function is given it so.
        classes: number of logits.
        in_channels: C of the frames.
        seed: seed of the initial weights; the global generator stays untouched.
        deployed: in the form that is quantized; else in that which a parent is trained in, of
            which :func:`deploy` makes it. They differ where the option ``fold`` is true.

    Raises:
        UnknownName: no such network or option.
        DefinitionError: an option with a value that cannot be built, or a missing one.
        PluginError: the user's file or function is missing, broken, or returns no module.
    """
    given = {"timesteps": timesteps, "size": size, "classes": classes, "in_channels": in_channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if ".py:" in name:
            return _build_user(load_from_file(name, Path()), name, given, options)
        if is_installed_reference(name):
            return _build_user(load_installed(name), name, given, options)
        if name not in MODELS:
            raise UnknownName("model", name, MODELS, "[model]")
        builtin = MODELS[name]
        _check_options(name, builtin, options)
        model = builtin.module(builtin.config(**given, **builtin.fixed, **options))
    if deployed:
        deploy(model)
    return model


def deploy(model: nn.Module) -> None:
    """Give a trained network the form that is quantized, in place; most have one form."""
    if isinstance(model, Qsd) and model.config.fold:
        model.fold()


def _check_options(name: str, builtin: Builtin, options: Mapping[str, Any]) -> None:
    taken = {*FROM_DATA, *builtin.fixed}
    settings = {field.name: field for field in fields(builtin.config) if field.name not in taken}  # type: ignore[arg-type]
    for key in options:
        if key not in settings:
            raise UnknownName("key", key, settings, f"[model] of {name!r}")
    missing = [
        key
        for key, field in settings.items()
        if field.default is MISSING and field.default_factory is MISSING and key not in options
    ]
    if missing:
        raise DefinitionError(f"[model] of {name!r} lacks {', '.join(missing)}; add them.")


def _build_user(
    build: Any, target: str, given: Mapping[str, Any], options: Mapping[str, Any]
) -> nn.Module:
    if not callable(build):
        raise PluginError(
            f"{target} is no function; write `def build(*, timesteps, size, classes, in_channels, "
            f"**options)` there, returning a torch.nn.Module."
        )
    return call_builder(build, target, given, options)
