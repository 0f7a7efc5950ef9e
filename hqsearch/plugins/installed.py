"""An object from an installed package, ``package.module:name``: loading it, and who it is."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from hqsearch.errors import PluginError, closest
from hqsearch.plugins.identity import code_digest
from hqsearch.plugins.neighbours import UserCode


def is_installed_reference(reference: str) -> bool:
    """Whether a text is ``package.module:name``, and no file.

    >>> is_installed_reference("snn.models:build"), is_installed_reference("net.py:build")
    (True, False)
    """
    module, separator, name = reference.rpartition(":")
    parts = module.split(".")
    dotted = bool(separator) and all(part.isidentifier() for part in parts)
    return dotted and name.isidentifier() and parts[-1] != "py"


def load_installed(reference: str) -> Any:
    """The object ``name`` of ``package.module:name``.

    Raises:
        PluginError: no such module is installed, it fails to import, or has no such object.
    """
    place, _, name = reference.rpartition(":")
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise PluginError(
            f"{reference}: no module {error.name!r} is installed here; a file is named "
            "'path/to/file.py:function'"
        ) from None
    except Exception as error:
        raise PluginError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        near = closest(name, known)
        raise PluginError(
            f"{place} does not define {name!r}" + (f"; did you mean {near!r}?" if near else "")
        )
    return getattr(module, name)


def installed_identity(reference: str) -> str:
    """``package.module:name``, the version of its distribution and a hash of the module's code.

    Raises:
        PluginError: no such module is installed.
    """
    place = reference.rpartition(":")[0]
    try:
        spec = importlib.util.find_spec(place)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise PluginError(f"{reference}: no module {place!r} is installed here")
    told = [reference]
    names = importlib.metadata.packages_distributions().get(place.partition(".")[0], ())
    told += [f"{n} {importlib.metadata.version(n)}" for n in sorted(set(names))[:1]]
    if spec.origin is not None and spec.origin.endswith(".py"):
        file = Path(spec.origin)
        code = UserCode(file.parent, file.name, {file.name: file.read_bytes()})
        told.append(f"code {code_digest(code)}")
    return " ".join(told)
