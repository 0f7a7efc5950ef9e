"""Loading a user's file, and what lies beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hqsearch.errors import DataError, PluginError
from hqsearch.plugins import load_from_file


def write(folder: Path, **files: str) -> None:
    """``a__b=text`` is the file ``a/b.py``."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "own",
    [
        "import helpers\nvalue = helpers.SCALE",
        "from helpers import *\nvalue = SCALE",
        "from . import helpers\nvalue = helpers.SCALE",
        "from .helpers import SCALE as value",
        "import lib.net\nvalue = lib.net.SCALE",
        "import lib.net as n\nvalue = n.SCALE",
        "from lib import net\nvalue = net.SCALE",
        "from lib.deep.part import SCALE as value",
        "import bare.one\nvalue = bare.one.SCALE",
        "def get():\n    import helpers\n    return helpers.SCALE\nvalue = get()",
        "import circle\nvalue = circle.later()\n",
    ],
)
def test_neighbours_are_found(tmp_path: Path, own: str) -> None:
    write(
        tmp_path, own=own, helpers="SCALE = 3", bare__one="from helpers import SCALE",
        lib__net="from .deep.part import SCALE\nimport lib.deep\nassert lib.deep.part.SCALE == 3",
        lib__deep__part="import helpers\nSCALE = helpers.SCALE",
        circle="import own\ndef later():\n    import helpers\n    return helpers.SCALE",
    )  # fmt: skip
    for package in ("lib", "lib/deep"):
        (tmp_path / package / "__init__.py").write_text("")
    before, modules = list(sys.path), set(sys.modules)
    assert load_from_file("own.py:value", tmp_path) == 3
    assert sys.path == before
    assert all(name.startswith("hqsearch_plugin_") for name in set(sys.modules) - modules)


def test_two_folders_do_not_mix(tmp_path: Path) -> None:
    own = "import helpers\ndef value():\n    import late\n    return helpers.SCALE, late.SCALE"
    for name in ("a", "b"):
        write(tmp_path / name, own=own, helpers=f"SCALE = '{name}'", late=f"SCALE = '{name}!'")
    first, second = (load_from_file(f"{name}/own.py:value", tmp_path) for name in ("a", "b"))
    assert (first(), second(), first()) == (("a", "a!"), ("b", "b!"), ("a", "a!"))
    with pytest.raises(ModuleNotFoundError):
        __import__("helpers")


def test_an_edited_neighbour_is_loaded_anew_and_an_unchanged_file_is_shared(tmp_path: Path) -> None:
    write(tmp_path, own="import helpers\nclass Mine:\n    scale = helpers.SCALE", helpers="SCALE=1")
    write(tmp_path, other="from own import Mine", net="from helpers import SCALE")
    first = load_from_file("own.py:Mine", tmp_path)
    assert load_from_file("own.py:Mine", tmp_path) is first
    assert load_from_file("other.py:Mine", tmp_path) is first
    write(tmp_path, helpers="SCALE=2")  # of the same size, within the same second
    assert load_from_file("own.py:Mine", tmp_path).scale == 2
    assert load_from_file("net.py:SCALE", tmp_path) == 2
    assert first.scale == 1
    assert not list(tmp_path.rglob("*.pyc"))


def test_python_and_installed_modules_stay_what_they_are(tmp_path: Path) -> None:
    write(tmp_path, own="import random, hqsearch.errors, numpy\nvalue = random.Random, numpy.pi")
    write(tmp_path, random="", hqsearch__errors="")
    import random

    assert load_from_file("own.py:value", tmp_path)[0] is random.Random
    write(tmp_path, numpy="import numpy\nvalue = numpy.pi")  # itself beside the installed one
    assert load_from_file("numpy.py:value", tmp_path) == pytest.approx(3.14159, abs=1e-5)


@pytest.mark.parametrize("name", ["my-eval", "v1.2", "__init__", "own"])
def test_names_that_are_no_identifiers(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("import helpers, own.part\nvalue = own.part.SCALE")
    write(tmp_path, helpers="", own__part="SCALE = 5")
    (tmp_path / "own" / "__init__.py").write_text("")
    assert load_from_file(f"{name}.py:value", tmp_path) == 5


@pytest.mark.parametrize(
    ("helpers", "told"),
    [
        ("1/0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import nothing_there", "No module named 'nothing_there'"),
        ("x = (", "SyntaxError"),
        ("(" * 3000, "cannot be imported"),
        ("import importlib; importlib.import_module('.unseen', __package__)", "import statements"),
    ],
)
def test_a_broken_neighbour_is_one_message(tmp_path: Path, helpers: str, told: str) -> None:
    write(tmp_path, own="import helpers\nvalue = 1", helpers=helpers, unseen="")
    with pytest.raises(PluginError, match=r"own\.py cannot be imported") as raised:
        load_from_file("own.py:value", tmp_path)
    assert told in str(raised.value)
    write(tmp_path, helpers="")
    assert load_from_file("own.py:value", tmp_path) == 1


def test_input_errors_pass(tmp_path: Path) -> None:
    write(tmp_path, own="from hqsearch.errors import DataError\nraise DataError('no data')")
    with pytest.raises(DataError, match="no data"):
        load_from_file("own.py:value", tmp_path)
