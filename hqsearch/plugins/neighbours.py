"""Which files beside a user's file belong to it: those that it imports, and what they import.

As for a script, a module is looked for in the folder of the file first, then among installed
ones; but Python's own modules and hqsearch cannot be replaced. Imports are read from the source,
wherever they stand in it, and nothing is run: what is imported by other means than a statement
(``importlib.import_module("helpers")``) does not belong.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hqsearch.errors import PluginError

#: Modules that a file beside a user's file never replaces.
RESERVED = frozenset({*sys.stdlib_module_names, "hqsearch"})
_PACKAGE = "__init__.py"


@dataclass(frozen=True)
class UserCode:
    """A user's file and its neighbours, as they are now.

    Attributes:
        folder: of the file; neighbours lie in it or below.
        name: of the file.
        files: POSIX path below ``folder`` → content, of the file and all its neighbours.
    """

    folder: Path
    name: str
    files: Mapping[str, bytes]

    @property
    def neighbours(self) -> tuple[str, ...]:
        """POSIX paths below ``folder`` of all files but the one itself."""
        return tuple(path for path in self.files if path != self.name)


def read_user_code(path: Path) -> UserCode:
    """Read a user's file and, from one to the next, the neighbours that are imported.

    Raises:
        PluginError: there is no such file, or one of them cannot be read.
    """
    if not path.is_file():
        raise PluginError(f"there is no file {path}")
    path = path.resolve()
    files: dict[str, bytes] = {}
    waiting = [path.name]
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        try:
            files[name] = (path.parent / name).read_bytes()
        except OSError as error:
            raise PluginError(f"{path.parent / name} cannot be read: {error.strerror}") from None
        for module in _imported(files[name], PurePosixPath(name)):
            waiting += module_files(path.parent, module)
    return UserCode(path.parent, path.name, dict(sorted(files.items())))


def module_files(folder: Path, module: tuple[str, ...]) -> list[str]:
    """Files below ``folder`` that an import of ``module`` (its dotted name's parts) runs."""
    if not module or module[0] in RESERVED:
        return []
    files: list[str] = []
    here = PurePosixPath()
    for part in module:
        if (folder / here / part / _PACKAGE).is_file():
            files.append(str(here / part / _PACKAGE))
        elif (folder / here / f"{part}.py").is_file():
            files.append(str(here / f"{part}.py"))
            break
        elif not (folder / here / part).is_dir():
            break
        here /= part
    # A folder without __init__.py comes last: an installed module of that name is the one meant.
    bare = bool(files) and files[0] not in (f"{module[0]}.py", f"{module[0]}/{_PACKAGE}")
    return [] if bare and _installed(module[0], folder) else files


def _imported(source: bytes, path: PurePosixPath) -> Iterator[tuple[str, ...]]:
    """Modules that may be meant by the import statements of a file at ``path``."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # importing it will tell
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = tuple(node.module.split(".")) if node.module else ()
            if node.level > 0:
                package = path.parent.parts
                base = (*package[: len(package) - node.level + 1], *base)
            names = [base, *((*base, alias.name) for alias in node.names)]
        else:
            continue
        yield from names


def _installed(name: str, folder: Path) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    if spec is None:
        return False
    places = spec.submodule_search_locations or ()
    return spec.origin is not None or any(Path(p).resolve() != folder / name for p in places)
