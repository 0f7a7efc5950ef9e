"""What a trained model can be exported as, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hqsearch.errors import DefinitionError, InputError, UnknownName
from hqsearch.export.c_source import c_source
from hqsearch.export.packed_file import write_packed
from hqsearch.export.trained import TrainedModel


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        format: its name.
        path: the file, or the folder.
        bytes: of it, by what they are spent on; ``tensors`` is what was reported as storage.
    """

    format: str
    path: Path
    bytes: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch export --json`` prints."""
        return {"format": self.format, "path": str(self.path), "bytes": dict(self.bytes)}


def export_packed(model: TrainedModel, path: Path) -> Exported:
    """One file, ``.hq``: see :mod:`hqsearch.export.packed_file`.

    Raises:
        InputError: it cannot be written.
    """
    sizes = write_packed(model.packed, path)
    parts = {"tensors": sizes.tensors, "graph": sizes.graph, "header": sizes.header}
    return Exported("hq", path, {**parts, "file": sizes.file})


def export_c(model: TrainedModel, folder: Path) -> Exported:
    """A folder of C99: see :mod:`hqsearch.export.c_source`.

    Raises:
        ExportError: a part of the network has no integer form.
        InputError: it cannot be written there.
    """
    about = model.about
    source = c_source(model.integers(), f"{about['study']}, trial {about['trial']}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; -o takes a folder for C.")
    try:
        source.write(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error}).") from error
    return Exported(
        "c", folder, {"weights": source.weights, "constants": source.constants, "ram": source.ram}
    )


#: Name → writes a model to a path.
FORMATS: Final[Mapping[str, Callable[[TrainedModel, Path], Exported]]] = {
    "hq": export_packed,
    "c": export_c,
}


def export_model(model: Any, path: str | Path, format: str = "hq") -> Exported:
    """Write a trained model to ``path``.

    Args:
        model: as ``Study.train`` or ``load_model`` gives it.
        path: of the file, or of the folder.
        format: one of :data:`FORMATS`.

    Raises:
        UnknownName: there is no such format.
        DefinitionError: what is given is no trained model.
        InputError: it cannot be written there.
    """
    require_format(format)
    if not isinstance(model, TrainedModel):
        raise DefinitionError(
            f"export needs what Study.train or hqsearch.load_model returns, not a "
            f"{type(model).__name__}: only a trained model knows its choices and its input."
        )
    if not isinstance(path, str | Path):
        raise InputError(f"export needs a path to write to, not a {type(path).__name__}.")
    return FORMATS[format](model, Path(path))


def require_format(name: str) -> None:
    """Refuse a format that does not exist, before anything is made.

    Raises:
        UnknownName: naming those that do.
    """
    if name not in FORMATS:
        raise UnknownName("format", name, FORMATS, "export")
