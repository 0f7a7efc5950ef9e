"""Load an object from a user's Python file: ``path/to/file.py:name``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from hqsearch.errors import InputError, PluginError, closest
from hqsearch.wording import described


def file_identity(reference: str, folder: Path) -> str:
    """A name as it is; ``path/to/file.py:name`` as file name, name and hash of the contents."""
    place, separator, name = reference.rpartition(":")
    if not separator or not place.endswith(".py"):
        return reference
    path = folder / Path(place).expanduser()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{path.name}:{name} sha256 {digest}"


def load_from_file(reference: str, folder: Path) -> Any:
    """The object ``name`` of ``path/to/file.py:name``.

    Raises:
        PluginError: no such file, the file fails to import, or does not define the name.
    """
    place, _, name = reference.rpartition(":")
    path = Path(place).expanduser()
    path = path if path.is_absolute() else (folder / path)
    if not path.is_file():
        raise PluginError(f"{reference}: there is no file {path}")
    # Named by content, so that an edited file is a new module and an unchanged one is shared.
    digest = hashlib.sha256(path.resolve().as_posix().encode() + path.read_bytes()).hexdigest()
    module_name = f"hqsearch_plugin_{path.stem}_{digest[:12]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            if isinstance(error, InputError):
                raise
            raise PluginError(f"{path} cannot be imported: {described(error)}") from error
    if not hasattr(module, name):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        near = closest(name, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise PluginError(f"{path} does not define {name!r}{hint}")
    return getattr(module, name)
