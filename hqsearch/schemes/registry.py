"""Every scheme there is: built in, from installed packages, or from a user's file.

Built-in ones are found by walking this package; third parties register a class under the entry
points ``hqsearch.schemes``, which are read only where no other scheme knows a choice; a space's
``schemes = ["path/to/file.py:Class"]`` loads files. A name or a choice means one thing for as
long as a process lives: another scheme of the same name is refused, not exchanged.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from hqsearch.errors import PluginError
from hqsearch.plugins import file_identity, load_from_file, same_identity
from hqsearch.schemes.base import Choice, Scheme

GROUP = "hqsearch.schemes"
#: Name → the scheme, and where it comes from.
_registered: dict[str, tuple[Scheme, str]] = {}
#: Choices are parts of candidates' keys and of module paths.
_TEXT = re.compile(r"[a-z0-9]+")


def schemes() -> tuple[Scheme, ...]:
    """Every scheme; those with most widths first, the ones without codes last."""
    _walk()
    _read_entry_points()
    return _ordered()


def find_choice(text: str) -> Choice | None:
    """The choice written as ``text``, by whichever scheme has it."""
    _walk()
    choice = _parsed(text)
    if choice is None:
        _read_entry_points()
        choice = _parsed(text)
    return choice


def register(kind: object, origin: str = "") -> Scheme:
    """Make a scheme known to this process.

    Args:
        kind: a subclass of :class:`Scheme` that is made without arguments.
        origin: where it comes from; another class from the very same origin is the same scheme.

    Raises:
        PluginError: it is no scheme, lacks something, or has a name or a choice of another one.
    """
    _walk()
    return _add(kind, origin)


def load_scheme(reference: str, folder: Path) -> Scheme:
    """Register the scheme ``path/to/file.py:Class``, relative to ``folder``.

    Raises:
        PluginError: no such file or class, or one that cannot be registered.
    """
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py") or not name:
        raise PluginError(f"scheme {reference!r}: expected path/to/file.py:Class")
    kind = load_from_file(reference, folder)
    return register(kind, file_identity(reference, folder))


@cache
def _walk() -> None:
    package = importlib.import_module("hqsearch.schemes")
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"hqsearch.schemes.{module_info.name}")
        for value in vars(module).values():
            own = inspect.isclass(value) and value.__module__ == module.__name__
            if own and issubclass(value, Scheme) and not inspect.isabstract(value):
                _add(value, "hqsearch")


@cache
def _read_entry_points() -> None:
    for point in entry_points(group=GROUP):
        origin = f"entry point {point.name} = {point.value}"
        try:
            kind = point.load()
        except Exception as error:
            raise PluginError(
                f"{origin} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        _add(kind, origin)


def _ordered() -> tuple[Scheme, ...]:
    every = [scheme for scheme, _ in _registered.values()]
    return tuple(sorted(every, key=lambda s: (not s.has_codes, -len(s.widths), s.name)))


def _parsed(text: str) -> Choice | None:
    parsed = (scheme.parse(text) for scheme, _ in _registered.values())
    return next((choice for choice in parsed if choice is not None), None)


def _add(kind: object, origin: str) -> Scheme:
    if not (inspect.isclass(kind) and issubclass(kind, Scheme)):
        raise PluginError(f"{origin or kind}: not a subclass of hqsearch.schemes.Scheme")
    origin = origin or f"{kind.__module__}.{kind.__qualname__}"
    missing = [a for a in ("name", "letter", "widths") if not hasattr(kind, a)]
    missing += sorted(kind.__abstractmethods__)
    if missing:
        raise PluginError(f"{origin}: not defined yet: {', '.join(missing)}")
    scheme = kind()
    if scheme.name in _registered:
        present, source = _registered[scheme.name]
        if type(present) is kind or same_identity(source, origin):
            return present
        raise PluginError(
            f"{origin}: there is a scheme {scheme.name!r} already, from {source}; give this one "
            "another name or, if its file was edited, start a new process"
        )
    for choice in scheme.choices():
        if not _TEXT.fullmatch(choice.text):
            raise PluginError(
                f"{origin}: {choice.text!r} cannot be a choice; use small letters and digits"
            )
        if scheme.has_codes and not 1 <= choice.bits <= 8:
            raise PluginError(f"{origin}: codes have 1 to 8 bits, not {choice.bits}")
        if _parsed(choice.text):
            taken = next(s for s, _ in _registered.values() if s.parse(choice.text))
            raise PluginError(f"{origin}: {choice.text!r} is a choice of {taken.name!r} already")
    _registered[scheme.name] = (scheme, origin)
    return scheme
