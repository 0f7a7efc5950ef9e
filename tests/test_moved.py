"""Files that were written for 0.1 still import; each old name says where it went."""

from __future__ import annotations

import importlib
import sys

import pytest

from hqsearch._moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_moved_module(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} is {MOVED[old]} since 0.2"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])


def test_names_that_never_were_are_still_missing() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hqsearch.objectives")
