"""Which files belong to a user's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.errors import PluginError
from hqsearch.plugins import read_user_code


def write(folder: Path, **files: str) -> Path:
    """``a__b=text`` is the file ``a/b.py``; the one to be read is ``own.py``."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "own.py"


@pytest.mark.parametrize(
    ("statement", "belongs"),
    [
        ("import helpers", {"helpers.py"}),
        ("import helpers as h, os", {"helpers.py"}),
        ("from helpers import SCALE", {"helpers.py"}),
        ("from . import helpers", {"helpers.py"}),
        ("def f():\n    import helpers", {"helpers.py"}),
        ("try:\n    import helpers\nexcept ImportError: pass", {"helpers.py"}),
        ("import chain", {"chain.py", "helpers.py"}),
        ("import lib.net", {"lib/init.py", "lib/net.py", "lib/parts.py"}),
        ("from lib import net", {"lib/init.py", "lib/net.py", "lib/parts.py"}),
        ("from lib import net as n, other", {"lib/init.py", "lib/net.py", "lib/parts.py"}),
        ("import lib", {"lib/init.py"}),
        ("import bare.one", {"bare/one.py", "helpers.py"}),
        ("from .helpers import *", {"helpers.py"}),
        ("from .lib.net import x", {"lib/init.py", "lib/net.py", "lib/parts.py"}),
        ("async def f():\n    from helpers import A", {"helpers.py"}),
        ("class C:\n    import chain as c", {"chain.py", "helpers.py"}),
        ("if True:\n    import absent\nelse:\n    import helpers", {"helpers.py"}),
        ("from .. import helpers", {"helpers.py"}),
        ("from .absent import helpers", set()),
        ("__import__('helpers')", set()),
        ("import json, numpy, hqsearch.errors", set()),
        ("import random", set()),  # Python's own
        ("import absent", set()),
        ("import own", set()),
        ("x = (", set()),
    ],
)
def test_what_is_imported_belongs(tmp_path: Path, statement: str, belongs: set[str]) -> None:
    path = write(
        tmp_path, own=statement, helpers="SCALE = 1", unused="", chain="import helpers, own",
        lib__net="from . import parts", lib__parts="from .net import x", lib__unused="",
        bare__one="import helpers", random="", hqsearch__errors="",
    )  # fmt: skip
    (tmp_path / "lib" / "__init__.py").write_text("")
    code = read_user_code(path)
    expected = {name.replace("lib/init.py", "lib/__init__.py") for name in belongs}
    assert set(code.neighbours) == expected
    assert set(code.files) == expected | {"own.py"}


def test_an_installed_module_is_meant_before_a_folder_without_init(tmp_path: Path) -> None:
    path = write(tmp_path, own="import numpy.linalg", numpy__linalg="")
    assert read_user_code(path).neighbours == ()
    (tmp_path / "numpy" / "__init__.py").write_text("")  # a package: as for a script
    assert read_user_code(path).neighbours == ("numpy/__init__.py", "numpy/linalg.py")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"there is no file .*own\.py"):
        read_user_code(tmp_path / "own.py")


@pytest.mark.parametrize("content", [b"\0", b"\xff\xfei\0", b"(" * 3000, b"\xe9 = 1"])
def test_what_is_no_python_has_no_neighbours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.py").write_bytes(content)
    assert read_user_code(tmp_path / "own.py").files == {"own.py": content}
