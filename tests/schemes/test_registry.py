"""Schemes are found by walking, by entry points and in users' files; clashes are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hqsearch.errors import DefinitionError, PluginError
from hqsearch.schemes import all_choices, load_scheme, parse_choice, register, registry, schemes
from hqsearch.schemes.fp32 import Float32

HERE = Path(__file__).parent
pytestmark = pytest.mark.usefixtures("registered")


def test_built_in_schemes_in_the_order_of_messages() -> None:
    assert [s.name for s in schemes()] == ["uniform", "power-of-two", "binary", "float"]
    assert all_choices()[0] == "1b"
    assert all_choices()[-1] == "fp32"


def test_a_new_file_of_the_package_is_all_that_a_scheme_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hqsearch.schemes as package

    source = (HERE / "ternary.py").read_text().split("class Half")[0]
    (tmp_path / "ternary.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    registry._walk.cache_clear()
    assert parse_choice("2t").scheme.name == "ternary"
    del sys.modules["hqsearch.schemes.ternary"]


def test_a_file(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="unknown choice '2t'"):
        parse_choice("2t")
    ternary = load_scheme("ternary.py:Ternary", HERE)
    assert parse_choice("2t").scheme is ternary
    assert "2t" in all_choices()
    with pytest.raises(DefinitionError, match=r"2t \(ternary\) or fp32"):
        parse_choice("3t")
    # The same contents elsewhere are the same scheme; others of that name are not.
    (tmp_path / "ternary.py").write_text((HERE / "ternary.py").read_text())
    assert load_scheme("ternary.py:Ternary", tmp_path) is ternary
    (tmp_path / "ternary.py").write_text((HERE / "ternary.py").read_text() + "EDITED = True\n")
    with pytest.raises(PluginError, match=r"there is a scheme 'ternary' already, from ternary\.py"):
        load_scheme("ternary.py:Ternary", tmp_path)


def installed(folder: Path, target: str) -> None:
    """A distribution with one entry point, as an installer leaves it."""
    (folder / "their_schemes.py").write_text((HERE / "ternary.py").read_text())
    info = folder / "their_schemes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-schemes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hqsearch.schemes]\nternary = {target}\n")


def test_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "their_schemes:Ternary")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._read_entry_points.cache_clear()
    assert parse_choice("2t").scheme.name == "ternary"
    assert "ternary" in [s.name for s in schemes()]


def test_a_broken_entry_point_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "no_such_module:Ternary")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._read_entry_points.cache_clear()
    assert parse_choice("4u").bits == 4
    with pytest.raises(PluginError, match="entry point ternary = no_such_module:Ternary cannot"):
        parse_choice("2t")


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("ternary.py:Half", r"not defined yet: adder, code_to_level, ratio_to_code"),
        ("ternary.py:nothing", "not a subclass of"),
        ("ternary.py:Nameless", "'2u' is a choice of 'uniform' already"),
        ("ternary.py:Wide", "codes have 1 to 8 bits, not 9"),
        ("ternary.py:Loud", "'2;' cannot be a choice"),
        ("ternary.py:Ternery", "did you mean 'Ternary'"),
        ("absent.py:Ternary", "there is no file"),
        ("ternary", r"expected path/to/file\.py:Class"),
    ],
)
def test_what_is_no_scheme_is_refused(reference: str, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        load_scheme(reference, HERE)
    assert [s.name for s in schemes()] == ["uniform", "power-of-two", "binary", "float"]


def test_the_same_class_again_changes_nothing() -> None:
    assert register(Float32) is parse_choice("fp32").scheme


def test_schemes_are_light() -> None:
    code = (
        "import sys, hqsearch.schemes as s; s.parse_choice('4l'); s.all_choices()\n"
        "s.parse_choice('4u').scheme.pack([1, 2, 3], 4)\n"
        "assert not {'torch', 'ray', 'pydantic'} & set(sys.modules), 'heavy import'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
