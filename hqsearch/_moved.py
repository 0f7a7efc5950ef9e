"""Modules by the names that they had in 0.1, for evaluators and strategies written then.

A study's fingerprint holds the hash of a user's file, so such a file cannot follow a move
without locking its study. The old names go in 0.3.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

#: Name in 0.1 → name now.
MOVED = {
    "hqsearch.budgets": "hqsearch.problem.budgets",
    "hqsearch.candidate": "hqsearch.problem.candidate",
    "hqsearch.choice": "hqsearch.schemes",
    "hqsearch.objective": "hqsearch.problem.objective",
    "hqsearch.pareto": "hqsearch.problem.pareto",
    "hqsearch.registry": "hqsearch.evaluator.registry",
    "hqsearch.space": "hqsearch.problem.space",
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name and says where it is now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in MOVED:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        warnings.warn(
            f"{name} is {MOVED[name]} since 0.2; the old name goes in 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[name] = importlib.import_module(MOVED[name])


def install() -> None:
    """Let the old names be imported; once per process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
