"""Load an object from a user's file, which finds the modules that lie beside it.

The files of one folder are the modules of a package with a private name, made from their contents
as they were when the file was loaded. ``import helpers`` in one of them is taken for an import
from that package: their ``__import__`` looks there first. So nothing is added to ``sys.path``, two
folders may both have a ``helpers.py``, and an edited file is loaded anew.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from hqsearch.errors import InputError, PluginError, closest
from hqsearch.plugins.neighbours import RESERVED, UserCode, read_user_code

PREFIX = "hqsearch_plugin_"


def load_from_file(reference: str, folder: Path) -> Any:
    """The object ``name`` of ``path/to/file.py:name``.

    Raises:
        PluginError: no such file, the file fails to import, or does not define the name.
    """
    place, _, name = reference.rpartition(":")
    path = folder / Path(place).expanduser()
    if not path.is_file():
        raise PluginError(f"{reference}: there is no file {path}")
    code = read_user_code(path)
    try:
        module = importlib.import_module(_package_of(code).module_of(code.name))
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        near = closest(name, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise PluginError(f"{path} does not define {name!r}{hint}")
    return getattr(module, name)


class _Package:
    """The user's files of one folder, in one state, as modules of a package.

    Files are added as they are asked for; none is exchanged.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.files: dict[str, bytes] = {}
        self._modules: dict[str, str] = {}
        root = ModuleType(name)
        root.__path__ = []  # nobody else shall look for its modules
        sys.modules[name] = root

    def holds(self, files: Mapping[str, bytes]) -> bool:
        """Whether ``files`` can be among its own."""
        return all(self.files.get(path, content) == content for path, content in files.items())

    def add(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            if path not in self.files:
                self.files[path] = content
                self._modules[self._module_name(path)] = path

    def module_of(self, path: str) -> str:
        """Name of the module that a file is."""
        return next(f"{self.name}.{m}" for m, p in self._modules.items() if p == path)

    def find(self, module: str) -> ModuleSpec:
        """How the module of a full name is made.

        Raises:
            ModuleNotFoundError: no file of this package is that module.
        """
        below = module.removeprefix(f"{self.name}.")
        path = self._modules.get(below)
        if path is None:
            place = self.folder.joinpath(*below.split("."))
            if any(m.startswith(f"{below}.") for m in self._modules):  # without __init__.py
                spec = ModuleSpec(module, None, is_package=True)
                spec.submodule_search_locations = [str(place)]
                return spec
            more = ""
            if place.with_suffix(".py").exists():
                more = ": it is there, but only import statements make a file belong to another"
            raise ModuleNotFoundError(f"No module named {below!r}{more}", name=module)
        located = str(self.folder / path)
        spec_of = importlib.util.spec_from_file_location(
            module,
            located,
            loader=_Loader(self, located, self.files[path]),
            submodule_search_locations=(
                [str(Path(located).parent)] if path.endswith("/__init__.py") else None
            ),
        )
        assert spec_of is not None
        return spec_of

    def import_(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """``__import__`` of the modules of this package."""
        top, _, _ = name.partition(".")
        asking = globals.get("__name__") if globals else None
        mine = any(m == top or m.startswith(f"{top}.") for m in self._modules)
        # In x.py beside the installed x, ``import x`` means the installed one.
        itself = asking == f"{self.name}.{top}" and self._modules.get(top) == f"{top}.py"
        if level or not mine or itself or top in RESERVED:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        full = f"{self.name}.{name}"
        importlib.import_module(full)
        if fromlist:
            return builtins.__import__(full, globals, locals, fromlist, 0)
        return sys.modules[f"{self.name}.{top}"]

    def _module_name(self, path: str) -> str:
        """A file's path with points; a name that no import has where a package has that one."""
        parts = PurePosixPath(path.removesuffix("/__init__.py")).with_suffix("").parts
        name = ".".join(part.replace(".", "-dot-") for part in parts)
        hidden = "/" not in path and (self.folder / name / "__init__.py").is_file()
        return f"{name}-file" if hidden else name


class _Loader(importlib.abc.SourceLoader):
    """Makes a module from the content that was read, not from what the file holds by now."""

    def __init__(self, package: _Package, path: str, content: bytes) -> None:
        self._package, self._path, self._content = package, path, content

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str) -> bytes:
        return self._content if path == self._path else Path(path).read_bytes()

    def exec_module(self, module: ModuleType) -> None:
        own = {**vars(builtins), "__import__": self._package.import_}
        module.__dict__["__builtins__"] = own
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of private packages."""

    def __init__(self) -> None:
        self.packages: dict[str, _Package] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = self.packages.get(fullname.partition(".")[0])
        return package.find(fullname) if package is not None else None


_finder = _Finder()
sys.meta_path.insert(0, _finder)
#: Folder → its package in the latest state, and how many there were.
_latest: dict[Path, tuple[_Package, int]] = {}


def _package_of(code: UserCode) -> _Package:
    package, states = _latest.get(code.folder, (None, 0))
    if package is None or not package.holds(code.files):
        place = hashlib.sha256(code.folder.as_posix().encode("utf-8", "surrogateescape"))
        package = _Package(f"{PREFIX}{place.hexdigest()[:8]}_{states}", code.folder)
        _finder.packages[package.name] = package
        _latest[code.folder] = package, states + 1
    package.add(code.files)
    return package
