"""Evaluators by name: built-in, from installed packages, or from a user's file.

Built-in ones are found by walking ``hqsearch.evaluators`` (module ``short_qat`` is the
evaluator ``short-qat``; one that starts with an underscore is none); third parties register
under the entry points ``hqsearch.evaluators``; ``path/to/file.py:Class`` loads a file.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from pathlib import Path

from hqsearch.errors import PluginError, UnknownName
from hqsearch.evaluator.contract import Evaluator, Setup
from hqsearch.plugins import load_from_file


def evaluator_names() -> list[str]:
    """Every evaluator that can be named."""
    package = importlib.import_module("hqsearch.evaluators")
    modules = [m.name for m in pkgutil.iter_modules(package.__path__)]
    built_in = [m.replace("_", "-") for m in modules if not m.startswith("_")]
    return sorted({*built_in, *entry_points(group="hqsearch.evaluators").names})


def evaluator_class(reference: str, folder: Path) -> type[Evaluator]:
    """The class behind a name or behind ``file.py:Class`` (relative to ``folder``)."""
    if ":" in reference and ".py" in reference:
        found = load_from_file(reference, folder)
    else:
        points = entry_points(group="hqsearch.evaluators")
        if reference in points.names:
            found = points[reference].load()
        elif reference in evaluator_names():
            module = importlib.import_module(f"hqsearch.evaluators.{reference.replace('-', '_')}")
            found = next(
                value
                for value in vars(module).values()
                if inspect.isclass(value)
                and issubclass(value, Evaluator)
                and value.__module__ == module.__name__
            )
        else:
            raise UnknownName("evaluator", reference, evaluator_names())
    if not (inspect.isclass(found) and issubclass(found, Evaluator)):
        raise PluginError(f"{reference}: not a subclass of hqsearch.evaluator.Evaluator")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise PluginError(f"{reference}: these methods are not defined yet: {missing}")
    return found


def make_evaluator(setup: Setup) -> Evaluator:
    """The evaluator that a study names, made for ``setup``."""
    return evaluator_class(setup.definition.evaluator, setup.definition.folder)(setup)
