"""``.hq``: a trained, quantized network in one safetensors file; reads and writes need no torch.

The tensors are those of :meth:`hqsearch.export.layers.StoredLayer.tensors`, called
``<layer>/<tensor>``, and ``/<name>`` for what belongs to no weight layer. Together they take the
bytes that the cost model reports as storage, and not one more. The safetensors header holds one
text, ``hqsearch``: a JSON object with

* ``format``: :data:`FORMAT`, the version of this layout; a reader refuses a newer one;
* ``layers``: path, and what the tensors do not say, in the order of execution;
* ``loose``: names of what belongs to no weight layer;
* ``about``: what was trained on what, and how good it is;
* ``graph``: how the layers are connected, with a version of its own, or null;
* ``digest``: SHA-256 of all that and of every tensor.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hqsearch.errors import DefinitionError, InputError
from hqsearch.export.layers import SHARED, Array, StoredLayer

#: Version of the layout. Raise it with every change that a reader of today would misread.
FORMAT: Final = 1
_KEY: Final = "hqsearch"


@dataclass(frozen=True)
class PackedModel:
    """What a ``.hq`` file holds.

    Attributes:
        layers: by path, in the order of execution.
        loose: state that belongs to no weight layer, by name: ``float32`` or ``int32``, any
            shape; of a normalisation behind no weight layer, ``[2, C]``: multipliers and biases.
        about: JSON values; see :mod:`hqsearch.export.packed_model`.
        graph: JSON values, with a version of their own; None where there is none.
    """

    layers: Mapping[str, StoredLayer]
    loose: Mapping[str, Array]
    about: Mapping[str, Any]
    graph: Mapping[str, Any] | None = None

    def tensors(self) -> dict[str, Array]:
        """Every tensor, by its name in the file."""
        found = {
            f"{path}/{name}": np.asarray(value, order="C")
            for path, layer in self.layers.items()
            for name, value in layer.tensors().items()
        }
        return found | {f"/{name}": np.asarray(v, order="C") for name, v in self.loose.items()}

    @property
    def choices(self) -> dict[str, str]:
        """The choice of every weight layer, by path."""
        return {path: layer.choice for path, layer in self.layers.items()}


@dataclass(frozen=True)
class Sizes:
    """Bytes of a ``.hq`` file.

    tensors: what the cost model reports as storage. graph: text of the graph. header: names,
    shapes, and where the model comes from.
    """

    tensors: int
    graph: int
    header: int

    @property
    def file(self) -> int:
        """All of it."""
        return self.tensors + self.graph + self.header


def write_packed(model: PackedModel, path: Path) -> Sizes:
    """Write ``model`` to ``path``, replacing it at once.

    Raises:
        InputError: the folder does not exist or cannot be written to.
    """
    if path.is_dir() or not path.parent.is_dir():
        why = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(f"{path} cannot be written: {why}.")
    tensors, text = model.tensors(), _description(model)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, draft, metadata={_KEY: text})
        allowed = os.umask(0)
        os.umask(allowed)
        draft.chmod(0o666 & ~allowed)  # safetensors lets nobody else read it
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return sizes_of(model, path)


def sizes_of(model: PackedModel, path: Path) -> Sizes:
    """What the bytes of ``path``, which holds ``model``, are spent on."""
    tensors = sum(value.nbytes for value in model.tensors().values())
    graph = 0 if model.graph is None else len(_json(model.graph).encode())
    return Sizes(tensors, graph, path.stat().st_size - tensors - graph)


def read_packed(path: Path) -> PackedModel:
    """The model in a ``.hq`` file.

    Raises:
        InputError: no such file; it is truncated or damaged, no packed model of hqsearch, or of a
            newer version.
    """
    text, tensors = _read(path)
    try:
        told = json.loads(text)
        version = told["format"]
        if not isinstance(version, int) or version < 1:
            raise ValueError(f"format {version!r}")
        if version > FORMAT:
            raise InputError(
                f"{path} has format {version}; this version of hqsearch reads up to format "
                f"{FORMAT}. Use the version that wrote it, or a later one."
            )
        layers = {
            layer: StoredLayer.of_tensors(layer, about, _with_shared(tensors, layer, about))
            for layer, about in told["layers"].items()
        }
        loose = {name: tensors[f"/{name}"] for name in told["loose"]}
        model = PackedModel(layers, loose, told["about"], told["graph"])
    except DefinitionError as error:
        raise InputError(f"{path} cannot be read here: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error}. Export it again.") from error
    if told.get("digest") != _digest(model) or set(model.tensors()) != set(tensors):
        raise InputError(f"{path} is damaged: it does not hold what was written. Export it again.")
    return model


def _read(path: Path) -> tuple[str, dict[str, Array]]:
    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise InputError(
                    f"{path} is no packed model of hqsearch: it is a safetensors file of "
                    "something else. hqsearch export --format hq writes one."
                )
            return text, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no packed model of hqsearch, or damaged or cut off ({error})."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _of(tensors: Mapping[str, Array], layer: str) -> dict[str, Array]:
    """The tensors of a layer, by their own names."""
    start = f"{layer}/"
    return {
        name.removeprefix(start): value
        for name, value in tensors.items()
        if name.startswith(start) and "/" not in name.removeprefix(start)
    }


def _with_shared(
    tensors: Mapping[str, Array], layer: str, about: Mapping[str, Any]
) -> dict[str, Array]:
    """The same, and what another layer holds for it."""
    own, owner = _of(tensors, layer), about.get("weights_of")
    held = {} if owner is None else _of(tensors, owner)
    return {**{name: held[name] for name in SHARED if name in held}, **own}


def _description(model: PackedModel) -> str:
    return _json({**_told(model), "digest": _digest(model)})


def _told(model: PackedModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "layers": {path: layer.about() for path, layer in model.layers.items()},
        "loose": list(model.loose),
        "about": dict(model.about),
        "graph": None if model.graph is None else dict(model.graph),
    }


def _digest(model: PackedModel) -> str:
    digest = hashlib.sha256(json.dumps(_told(model), sort_keys=True).encode())
    for name, value in sorted(model.tensors().items()):
        digest.update(f"{name} {value.dtype.str} {list(value.shape)} ".encode() + value.tobytes())
    return digest.hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)
