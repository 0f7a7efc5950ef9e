"""Weights and checkpoints on disk: safetensors and JSON, written atomically, never unpickled."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hqsearch.atomic import is_full
from hqsearch.errors import DiskFull, RunFailed

#: Bytes free on a disk that a failed write may have filled: less is none.
ROOM = 1 << 16
#: The file of a checkpoint folder that names its tensors; replaced last.
#: File whose presence in a checkpoint folder says that a checkpoint is finished.
CHECKPOINT_INDEX = "checkpoint.json"


def save_state(model: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of ``model`` to ``path``, replacing it at once.

    Raises:
        DiskFull: no space left; ``path`` is as before.
    """
    save_tensors(model.state_dict(), path)


def load_state(model: nn.Module, path: Path) -> None:
    """Fill ``model`` with the parameters and buffers of ``path``.

    Raises:
        RunFailed: the file is missing, damaged, or of another network.
    """
    tensors = load_tensors(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunFailed(f"{path} holds the weights of another network: {error}") from error


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors as safetensors, replacing ``path`` at once.

    Raises:
        DiskFull: no space left; ``path`` is as before.
    """
    dense, places = {}, set()
    for name, tensor in tensors.items():
        values = tensor.detach().cpu().contiguous()
        # The format holds every tensor by itself, also where layers share one.
        dense[name] = values.clone() if values.untyped_storage()._cdata in places else values
        places.add(values.untyped_storage()._cdata)
    _replace(path, lambda draft: save_file(dense, draft))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a safetensors file.

    Raises:
        RunFailed: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise RunFailed(f"there is no file {path}.") from error
    except SafetensorError as error:
        raise RunFailed(f"{path} is damaged ({error}); delete it to make it again.") from error


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Make ``tensors`` and the JSON values ``about`` the checkpoint of ``folder``.

    The index is replaced last and names the tensor file, so a crash at any point leaves either
    the old checkpoint or the new one.

    Raises:
        DiskFull: no space left; the old checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"epoch-{about['epoch']}.safetensors"
    save_tensors(tensors, folder / name)
    text = json.dumps({**about, "tensors": name}, indent=1)
    _replace(folder / CHECKPOINT_INDEX, lambda draft: draft.write_text(text, encoding="utf-8"))
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The checkpoint of ``folder``, or None where none was finished.

    Raises:
        RunFailed: there is one, and it is damaged.
    """
    index = folder / CHECKPOINT_INDEX
    if not index.is_file():
        return None
    try:
        about = json.loads(index.read_text(encoding="utf-8"))
        name = Path(about["tensors"]).name
    except (ValueError, KeyError, TypeError) as error:
        raise RunFailed(f"{index} is damaged; delete {folder} to start again.") from error
    return load_tensors(folder / name), about


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]
) -> dict[str, Tensor]:
    """Tensors of an optimizer's state, keyed ``optimizer/<parameter>/<quantity>``."""
    return {
        f"optimizer/{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], tensors: Mapping[str, Tensor]
) -> None:
    """Inverse of :func:`optimizer_tensors`; keeps the memory layout of every parameter.

    The layout matters for bit-for-bit resumption: vector and scalar loops round differently.
    """
    by_name = {name: parameter for parameter, name in names.items()}
    for key, value in tensors.items():
        kind, _, rest = key.partition("/")
        if kind != "optimizer":
            continue
        name, _, quantity = rest.rpartition("/")
        parameter = by_name[name]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else value.clone()
        optimizer.state[parameter][quantity] = like.detach().copy_(value)


def _replace(path: Path, write: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        if is_full(error) or (isinstance(error, SafetensorError) and not _has_room(path.parent)):
            raise DiskFull(f"no space left for {path}; free some and resume.") from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def _has_room(folder: Path) -> bool:
    """Asked while the draft is there: the writer of tensors says of no error what it was."""
    return shutil.disk_usage(folder).free >= ROOM
