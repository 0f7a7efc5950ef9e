"""A network that is given as a Python object: a callable, or a module.

Such a network is in no file that workers could read: it goes to them by serialisation, is never
stored, and is known again by what it is made of (:meth:`GivenModel.identity`).
"""

from __future__ import annotations

import ast
import copy
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hqsearch.errors import HqsearchError, PluginError, closest
from hqsearch.models.layers import weight_layers
from hqsearch.wording import described

#: Hexadecimal digits of a digest that are kept: what it tells apart is not hostile.
DIGITS = 32

#: Keys of ``[model]`` that are none of the network's own.
KEYS = ("timesteps", "neurons", "unknown", "readout", "weights", "rename")

Builder = Callable[..., nn.Module]


def _meant(options: Mapping[str, Any], named: set[str]) -> str:
    """Of the first option that a function does not take, the key of ``[model]`` nearest to it."""
    for key in options:
        near = None if key in named else closest(key, {*named, *KEYS})
        if near is not None:
            return f"; did you mean {near!r} for {key!r}?"
    return ""


@dataclass(frozen=True)
class GivenModel:
    """A callable that builds a network, or a network.

    A callable's network starts from a seed; a module's own weights are where its training starts.
    """

    source: Builder | nn.Module

    @property
    def name(self) -> str:
        """For messages."""
        if isinstance(self.source, nn.Module):
            return f"a {type(self.source).__name__}"
        name = getattr(self.source, "__qualname__", type(self.source).__name__)
        return name.rpartition("<locals>.")[2]

    def build(self, options: Mapping[str, Any], given: Mapping[str, Any], seed: int) -> nn.Module:
        """A network of its own, on the CPU; the same for the same arguments.

        Args:
            options: of the callable.
            given: what the data decide: ``timesteps``, ``size``, ``classes``, ``in_channels``.
            seed: of a callable's initial weights; the global generator stays untouched.

        Raises:
            PluginError: it cannot be called so, returns no module, or cannot be copied.
        """
        if not isinstance(self.source, nn.Module):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return call_builder(self.source, self.name, given, options)
        if options:
            raise PluginError(
                f"{self.name} is a network already: options ({', '.join(options)}) are for a "
                "function that builds one."
            )
        try:
            return copy.deepcopy(self.source).cpu()
        except (RuntimeError, TypeError) as error:
            raise PluginError(
                f"{self.name} cannot be copied ({error}). Reset the state of its neurons first, or "
                "give a function that builds it."
            ) from error

    def identity(
        self, options: Mapping[str, Any], given: Mapping[str, Any], seed: int
    ) -> dict[str, Any]:
        """What tells it from another one, as JSON values; see :meth:`build`.

        Returns:
            ``name``, ``source`` (SHA-256 of its source text, where there is one), ``layers``
            (path and shape of every weight layer) and ``weights`` (SHA-256 of the initial ones).
        """
        network = self.build(options, given, seed)
        return {
            "name": self.name,
            "source": _source_digest(self.source),
            "layers": {layer.path: list(layer.shape) for layer in weight_layers(network)},
            "weights": weights_digest(network.state_dict()),
        }


def call_builder(
    build: Builder, name: str, given: Mapping[str, Any], options: Mapping[str, Any]
) -> nn.Module:
    """The network that ``build`` makes from those of the ``given`` keywords that it accepts.

    Raises:
        PluginError: it does not accept the options, raises, or returns no module.
    """
    try:
        signature = inspect.signature(build)
    except ValueError:
        arguments = {**given, **options}
    else:
        parameters = signature.parameters.values()
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        taken = {k: v for k, v in given.items() if open_ended or k in named}
        arguments = {**taken, **options}
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise PluginError(
                f"{name} cannot be called with the keywords {', '.join(arguments)}: {error}"
                f"{_meant(options, named)}."
            ) from error
    try:
        model = build(**arguments)
    except HqsearchError:
        raise
    except Exception as error:
        raise PluginError(f"{name} fails to build a network: {described(error)}") from error
    if not isinstance(model, nn.Module):
        raise PluginError(
            f"{name} returned a {type(model).__name__}; it must return a torch.nn.Module."
        )
    return model


def file_reference(builder: Any) -> str | None:
    """``path/to/file.py:name`` of a callable that a file can be asked for; None of any other.

    It must be defined at the top level of a module that is not ``__main__`` and that can be
    loaded from its file alone, without relative imports.
    """
    name, place = getattr(builder, "__name__", ""), getattr(builder, "__module__", "__main__")
    module = sys.modules.get(place)
    file = getattr(module, "__file__", None)
    if place == "__main__" or file is None or not file.endswith(".py"):
        return None
    if getattr(module, name, None) is not builder or not Path(file).is_file():
        return None
    text = Path(file).read_text(encoding="utf-8")
    relative = any(isinstance(n, ast.ImportFrom) and n.level for n in ast.walk(ast.parse(text)))
    return None if relative else f"{Path(file).resolve()}:{name}"


def _source_digest(source: Any) -> str | None:
    """Of the text that defines a callable or a module's class, without its indentation."""
    defined = source if inspect.isroutine(source) or inspect.isclass(source) else type(source)
    try:
        text = textwrap.dedent(inspect.getsource(defined))
    except (OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def weights_digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of the tensors of a state by name, type, shape and value."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        if isinstance(value, torch.Tensor):
            values = value.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {list(values.shape)}".encode())
            # Flat: channels-last layers of 1 x 1 are contiguous with strides that no view takes.
            flat = values.flatten().view(torch.uint8)
            digest.update(flat.numpy().tobytes() if values.dim() else b"")
            digest.update(b"" if values.dim() else repr(values.item()).encode())
    return digest.hexdigest()[:DIGITS]
