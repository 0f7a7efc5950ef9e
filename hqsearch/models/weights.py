"""Trained weights from a file, into a network: strictly, and nothing is unpickled but tensors.

``.safetensors`` and PyTorch files (``torch.load(weights_only=True)``) are read. Around
the state dict, what people save is understood: ``{"model": …}``, ``{"state_dict": …}``, options
beside it, and prefixes ``module.`` (DataParallel) and ``_orig_mod.`` (torch.compile).
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.models.qsd_checkpoint import PUBLIC_NAMES

#: Keys under which people save a state dict; the first that is there.
WRAPPERS: Final = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "model_state",
    "weights",
)
_PREFIXES: Final = ("module.", "_orig_mod.")
_LISTED: Final = 6

#: Pattern of a key → its replacement; None drops the key.
Rename = Sequence[tuple[str, str | None]]

#: Mappings that come along. ``public-spikformer``: the state dict of the published definition
#: (Zhou et al., ICLR 2023, event cameras); it carries a position embedding and norms that its
#: forward pass never uses. ``public-qsd``: that of QSD-Transformer's public code, without its step
#: sizes (:mod:`hqsearch.models.qsd_checkpoint`).
NAMED: Final[Mapping[str, Rename]] = {
    "public-spikformer": (
        (r"^(pos_embed|norm\..*|block\.\d+\.norm[12]\..*)$", None),
        (r"^patch_embed\.proj_conv\.", "tokenizer.conv1."),
        (r"^patch_embed\.proj_bn\.", "tokenizer.norm1."),
        (r"^patch_embed\.proj_conv1\.", "tokenizer.conv2."),
        (r"^patch_embed\.proj_bn1\.", "tokenizer.norm2."),
        (r"^patch_embed\.proj_conv2\.", "tokenizer.conv3."),
        (r"^patch_embed\.proj_bn2\.", "tokenizer.norm3."),
        (r"^patch_embed\.proj_conv3\.", "tokenizer.conv4."),
        (r"^patch_embed\.proj_bn3\.", "tokenizer.norm4."),
        (r"^patch_embed\.pos_embed$", None),
        (r"^patch_embed\.rpe_conv\.", "tokenizer.position."),
        (r"^patch_embed\.rpe_bn\.", "tokenizer.position_norm."),
        (r"^block\.(\d+)\.attn\.(q|k|v|proj)_(?:conv|linear)\.", r"blocks.\1.attention.\2."),
        (r"^block\.(\d+)\.attn\.(q|k|v|proj)_bn\.", r"blocks.\1.attention.\2_norm."),
        (r"^block\.(\d+)\.mlp\.(fc[12])_(?:conv|linear)\.", r"blocks.\1.mlp.\2."),
        (r"^block\.(\d+)\.mlp\.(fc[12])_bn\.", r"blocks.\1.mlp.\2_norm."),
    ),
    "public-qsd": (*PUBLIC_NAMES, (r"\.alpha$", None)),
}


def rename_of(rename: str | Sequence[Sequence[str]]) -> Rename:
    """What ``[model] rename`` means: a name of :data:`NAMED`, or pairs of regex and replacement.

    Raises:
        UnknownName: no mapping of that name.
        DefinitionError: a pattern that is none.
    """
    if isinstance(rename, str):
        if rename not in NAMED:
            raise UnknownName("mapping", rename, NAMED, "[model] rename")
        return NAMED[rename]
    pairs = [(str(pair[0]), str(pair[1])) for pair in rename]
    for pattern, _ in pairs:
        try:
            re.compile(pattern)
        except re.error as error:
            raise DefinitionError(f"[model] rename: {pattern!r} is no pattern: {error}") from None
    return pairs


def fill_network(model: nn.Module, path: Path, rename: Rename = ()) -> list[str]:
    """Fill ``model`` with the weights of ``path``, in place; all of them, and no other.

    Args:
        rename: of the keys in the file, one after the other.

    Returns:
        What a person should know: weights that were rounded to the network's type.

    Raises:
        DefinitionError: the file cannot be used, or its keys or shapes are not the network's;
            every one of them is named, with the nearest.
    """
    tensors = _renamed(read_weights(path), rename, path)
    wanted = model.state_dict()
    problems, notes, given = [], [], {}
    for name, value in tensors.items():
        if name not in wanted:
            if not _is_state(model, name) and not name.endswith("num_batches_tracked"):
                problems.append(f"unexpected {name!r}{_nearest(name, set(wanted) - set(tensors))}")
            continue
        target = wanted[name]
        if value.shape != target.shape and not _is_state(model, name):
            if [n for n in value.shape if n != 1] == [n for n in target.shape if n != 1]:
                value = value.reshape(target.shape)  # Conv1d [O, I, 1] in a Conv2d, say
            else:
                shapes = f"{list(value.shape)}, the network has {list(target.shape)}"
                problems.append(f"{name!r} is {shapes}")
                continue
        elif value.shape != target.shape:
            continue
        if value.is_floating_point() != target.is_floating_point() or value.is_complex():
            problems.append(f"{name!r} holds {value.dtype}, the network {target.dtype}")
        elif value.dtype != target.dtype:
            notes.append(f"{value.dtype} in the file, {target.dtype} in the network")
        given[name] = value
    for name in wanted:
        counts = name.endswith("num_batches_tracked") or _is_state(model, name)
        if name not in tensors and not counts:
            problems.append(f"missing {name!r}{_nearest(name, set(tensors) - set(wanted))}")
    if problems:
        more = len(problems) - _LISTED
        listed = "; ".join(problems[:_LISTED]) + (f"; and {more} more" if more > 0 else "")
        raise DefinitionError(
            f"the weights in {path} do not fit the network: {listed}. [model] rename = "
            '[["regex", "replacement"]] changes the names in the file'
        )
    model.load_state_dict(given, strict=False)
    return list(dict.fromkeys(notes))


def content_identity(path: Path) -> str:
    """``sha256 HASH`` of a file of weights, wherever it lies.

    Raises:
        DefinitionError: there is none.
    """
    if not path.is_file():
        raise DefinitionError(f"[model] weights: there is no file {path}")
    with path.open("rb") as file:
        return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file.

    Raises:
        DefinitionError: there is none, or it holds something else; it says what.
    """
    if not path.is_file():
        raise DefinitionError(f"[model] weights: there is no file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise DefinitionError(f"{path} is damaged, or no safetensors file: {error}") from None
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DefinitionError(
            f"{path} holds Python objects ({_object_in(str(error))}), which are never unpickled: "
            "save model.state_dict() alone, with safetensors.torch.save_file or torch.save"
        ) from None
    except (RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise DefinitionError(
            f"{path} is no file of weights ({str(error).splitlines()[0]}): .safetensors, or what "
            "torch.save makes of model.state_dict()"
        ) from None
    return _state_dict(loaded, path)


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what people save."""
    for _ in range(3):
        if not isinstance(loaded, Mapping):
            raise DefinitionError(
                f"{path} holds a {type(loaded).__name__}, not a state dict: save model.state_dict()"
            )
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
        inner = next((w for w in WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            break
        loaded = loaded[inner]
    if not tensors:
        keys = ", ".join(map(str, list(loaded)[:_LISTED])) or "nothing"
        raise DefinitionError(
            f"{path} holds no tensors, but {keys}: a state dict is looked for at the top, or under "
            f"{', '.join(WRAPPERS)}"
        )
    return tensors


def _renamed(tensors: Mapping[str, Tensor], rename: Rename, path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    came: dict[str, str] = {}
    prefix = next((p for p in _PREFIXES if tensors and all(n.startswith(p) for n in tensors)), "")
    for name, value in tensors.items():
        new: str | None = name.removeprefix(prefix)
        for pattern, replacement in rename:
            if new is None:
                break
            if replacement is None:
                new = None if re.search(pattern, new) else new
            else:
                new = re.sub(pattern, replacement, new)
        if new is None:
            continue
        if new in found:
            raise DefinitionError(
                f"[model] rename makes {new!r} of both {came[new]!r} and {name!r} in {path}"
            )
        found[new], came[new] = value, name
    return found


def _is_state(model: nn.Module, name: str) -> bool:
    """Whether a key is the state of a neuron, which every batch starts without."""
    from hqsearch.models.recognition import is_neuron

    path, _, leaf = name.rpartition(".")
    try:
        module = model.get_submodule(path)
    except AttributeError:
        return False
    buffer = module._buffers.get(leaf)
    return buffer is not None and buffer.numel() == 0 and is_neuron(module)


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" (nearest: {near[0]!r})" if near else ""


def _object_in(message: str) -> str:
    """The class that torch refuses to unpickle, in its message."""
    match = re.search(r"(?:GLOBAL|global) ([\w.]+)", message)
    return match.group(1) if match else "not tensors alone"
