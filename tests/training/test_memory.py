"""What the C library is told, and that another one is left alone."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from hqsearch.training import memory


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """Set up once per process: every test starts before that."""
    memory.keep_freed_memory.cache_clear()
    yield
    memory.keep_freed_memory.cache_clear()


class Library:
    """A C library that takes settings, or refuses those above 64 MiB."""

    def __init__(self, refuses: bool = False) -> None:
        self.asked: dict[int, int] = {}
        self._refuses = refuses

    def mallopt(self, number: int, value: int) -> int:
        self.asked[number] = value
        return 0 if self._refuses and value > 64 << 20 else 1


def use(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)


def test_large_blocks_are_kept_and_it_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    use(monkeypatch, library)
    assert memory.keep_freed_memory()
    # Numbers of mallopt(3): M_TRIM_THRESHOLD -1, M_TOP_PAD -2, M_MMAP_THRESHOLD -3.
    assert library.asked == {-3: 32 << 20, -1: (1 << 31) - 1, -2: 64 << 20}
    library.asked.clear()
    assert memory.keep_freed_memory()
    assert library.asked == {}


def test_a_refusal_and_another_library_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Library(refuses=True))
    assert not memory.keep_freed_memory()
    memory.keep_freed_memory.cache_clear()
    use(monkeypatch, object())
    assert not memory.keep_freed_memory()
