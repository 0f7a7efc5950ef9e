"""A user's file is the same while its code and that of its neighbours is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hqsearch.plugins import code_alone, file_identity, same_identity

CODE = '''"""What it is."""
import helpers


class Mine:
    """A class."""

    def value(self, x):
        # why
        return f"{x} {helpers.SCALE!r:>{x}}" + "text"
'''
SAME = [
    CODE.replace("# why", "# another reason"),
    CODE.replace('"""A class."""\n', ""),
    "#!/usr/bin/python\n# -*- coding: utf-8 -*-\n" + CODE,
    CODE.replace("\n\n", "\n\n\n"),
    CODE.replace("    ", "  "),
    CODE.replace("\n", "\r\n"),
    CODE.replace("(self, x)", "(  # so\n        self,\n\n x)"),
    "\ufeff" + CODE,
]
OTHER = [
    CODE.replace('"text"', '"texts"'),
    CODE.replace("{x} ", "{x}  "),
    CODE.replace("import helpers", "import helpers as h"),
    CODE.replace("return", "yield"),
    CODE + "Mine.more = 1\n",
    CODE.replace("        return", "        if x:\n            return"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "helpers.py").write_text("SCALE = 1.0\n")
    return tmp_path


def identity(folder: Path) -> str:
    return file_identity("own.py:Mine", folder)


def test_it_begins_as_0_1_wrote_it(folder: Path) -> None:
    raw = hashlib.sha256(CODE.encode()).hexdigest()
    assert identity(folder).startswith(f"own.py:Mine sha256 {raw} code ")
    assert same_identity(f"own.py:Mine sha256 {raw}", identity(folder))
    assert not same_identity(f"own.py:Mine sha256 {raw[::-1]}", identity(folder))
    assert not same_identity(f"own.py:Other sha256 {raw}", identity(folder))


def test_a_name_is_itself(folder: Path) -> None:
    assert file_identity("toy", folder) == "toy"
    assert same_identity("toy", "toy")
    assert not same_identity("toy", identity(folder))
    assert not same_identity(identity(folder), "toy")


@pytest.mark.parametrize("text", SAME)
def test_what_is_no_code_does_not_count(folder: Path, text: str) -> None:
    before = identity(folder)
    (folder / "own.py").write_bytes(text.encode())
    assert identity(folder) != before
    assert same_identity(before, identity(folder))
    assert code_alone(before) == code_alone(identity(folder))
    assert same_identity([before, "toy"], [identity(folder), "toy"])


@pytest.mark.parametrize("text", OTHER)
def test_code_counts(folder: Path, text: str) -> None:
    before = identity(folder)
    (folder / "own.py").write_text(text)
    assert not same_identity(before, identity(folder))
    assert not same_identity([before], [identity(folder)])


@pytest.mark.parametrize(
    ("text", "same"),
    [("SCALE = 1.0  # of all\n", True), ("SCALE = 2.0\n", False), ("SCALE = 1.0\nB = 1\n", False)],
)
def test_neighbours_count_as_the_file_does(folder: Path, text: str, same: bool) -> None:
    before = identity(folder)
    (folder / "helpers.py").write_text(text)
    assert same_identity(before, identity(folder)) == same


def test_who_imports_whom_counts_and_where_it_lies_does_not(folder: Path, tmp_path: Path) -> None:
    before = identity(folder)
    (folder / "unused.py").write_text("x = 1")
    assert identity(folder) == before
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("own.py", "helpers.py"):
        (folder / name).rename(moved / name)
    assert identity(moved) == before
    (moved / "helpers.py").write_text("import more\nSCALE = 1.0\n")
    without = identity(moved)
    (moved / "more.py").write_text("")
    assert not same_identity(without, identity(moved))


def test_what_is_no_python_is_its_bytes(folder: Path) -> None:
    (folder / "own.py").write_bytes(b"\xff(")
    before = identity(folder)
    (folder / "own.py").write_bytes(b"\xff(#")
    assert not same_identity(before, identity(folder))
