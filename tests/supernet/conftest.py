"""One thread, as for other tests of training; and a relaxation with trained weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def linear() -> Any:
    """The module of the benchmarks' regression problem."""
    path = Path(__file__).parents[1] / "benchmarks" / "linear_relaxation.py"
    spec = importlib.util.spec_from_file_location("linear_relaxation", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
