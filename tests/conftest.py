"""Shared fixtures: the toy study, and the recordings that some tests need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.registry import make_evaluator


@pytest.fixture
def recordings() -> Path:
    """The folder of real recordings that HQSEARCH_DATA names."""
    folder = os.environ.get("HQSEARCH_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real recordings: set HQSEARCH_DATA to their folder")
    return Path(folder)


@pytest.fixture
def toy(tmp_path: Path) -> Evaluator:
    """The embedded toy study's evaluator."""
    return make_evaluator(Setup(load_study(embedded("studies")["toy"]), tmp_path))


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a variant of the toy study: ``study_file(evaluator="mine.py:Mine")``."""

    def write(name: str = "mine", extra: str = "", **top: Any) -> Path:
        keys = {"title": "a test", "space": "toy", "evaluator": "toy", **top}
        lines = [f"{key} = {value!r}" for key, value in keys.items()]
        for objective in ("accuracy", "energy", "storage"):
            lines += ["[[objective]]", f'name = "{objective}"']
        path = tmp_path / f"{name}.toml"
        path.write_text("\n".join([*lines, extra]) + "\n")
        return path

    return write
