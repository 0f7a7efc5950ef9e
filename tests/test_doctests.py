"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import hqsearch.evaluators
import pytest

import hqsearch


def _with_examples() -> list[str]:
    """Modules of the engine and of the evaluators that show an example."""
    packages = (
        (hqsearch.__path__[:1], "hqsearch."),
        (hqsearch.evaluators.__path__, "hqsearch.evaluators."),
    )
    names = []
    for folders, prefix in packages:
        for module in pkgutil.walk_packages(folders, prefix, onerror=lambda _: None):
            relative = Path(*module.name.removeprefix(prefix).split("."))
            files = [
                file
                for folder in folders
                for file in (
                    (Path(folder) / relative).with_suffix(".py"),
                    Path(folder) / relative / "__init__.py",
                )
                if file.is_file()
            ]
            if any(">>> " in file.read_text() for file in files):
                names.append(module.name)
    return sorted(set(names))


@pytest.mark.parametrize("name", _with_examples())
def test_examples(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0
