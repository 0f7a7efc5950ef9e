"""TOML files as people's editors leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.analysis.overview import studies_overview
from hqsearch.definition import embedded, load_study, parse_override
from hqsearch.errors import DefinitionError
from hqsearch.hardware import load_profile
from hqsearch.toml import check_values, read_toml

DIGITS = "1" * 5000
DEEP = "[" * 3000 + "]" * 3000
UNUSABLE = [
    ("a = 1".encode("utf-16"), "UTF-16"),
    ("a = 1".encode("utf-32"), "UTF-32"),
    ("a = 1".encode("utf-16-le"), "NUL bytes"),
    ("# é\nb = 1\na = 'ü'".encode("latin-1"), r"not in UTF-8 \(line 1\)"),
    (b"a = 1\0", "NUL bytes"),
    (b'a = "\\u0000"', "control character"),
    (b'a = "\\u001b[2J"', "control character"),
    (b'a = ["\\u009b"]', "control character"),
    (b'"\\u0007" = 1', "a key.*control character"),
    (f"a = {DIGITS}".encode(), "too long"),
    (b"a = -9223372036854775809", "too long"),
    (b"b.c = [9223372036854775808]", "b.c: the number is too long"),
    (f"a = {DEEP}".encode(), "nested too deep"),
    (f"a = {'[' * 100}{']' * 100}".encode(), "nested too deep"),
    (("a." * 3000 + "a = 1").encode(), "nested too deep"),
    (f"[{'a.' * 3000}a]".encode(), "nested too deep"),
    (b"a = 2024-13-45", "not valid TOML"),
    (b"a = \nb = 1", "not valid TOML.*line 1"),
    (b"\xef\xbb\xbf\xef\xbb\xbfa = 1", "not valid TOML"),
]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_utf8_is_read_with_and_without_a_mark(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(mark + 'title = "µ [/128]\\n"\r\nseed = 9223372036854775807\n'.encode())
    assert read_toml(path) == {"title": "µ [/128]\n", "seed": 2**63 - 1}


@pytest.mark.parametrize(("content", "told"), UNUSABLE)
def test_what_cannot_be_used_is_one_message(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(DefinitionError, match=told) as raised:
        read_toml(path)
    assert str(raised.value).startswith(f"{path}: ")
    with pytest.raises(DefinitionError, match=told):
        load_study(path)
    with pytest.raises(DefinitionError, match=told):
        load_profile(path)
    row = next(row for row in studies_overview(tmp_path) if row["name"] == "a")
    assert row["title"].startswith(f"cannot be read: {path}: ")


@pytest.mark.parametrize("path", ["absent.toml", "nul\0.toml", "."])
def test_paths_that_cannot_be_read(tmp_path: Path, path: str) -> None:
    with pytest.raises(DefinitionError):
        read_toml(tmp_path / path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"seed={DIGITS}", "--set seed=1+….*too long"),
        (f"seed={2**63}", "too long"),
        (f"evaluation.epochs={DEEP}", "nested too deep"),
        ("title=a\0b", "control character"),
        ("title=\x1b[2J", "control character"),
        ('space="a\\u0000.toml"', "control character"),
    ],
)
def test_overrides_are_read_as_strictly(text: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        parse_override(text)


def test_an_override_may_not_nest_too_deep() -> None:
    key, value = parse_override("evaluation." + "a." * 3000 + "a=1")
    with pytest.raises(DefinitionError, match="nested too deep"):
        load_study(embedded("studies")["toy"], {key: value})


@pytest.mark.parametrize("value", [True, 1.5, -(2**63) + 1, "a\tb\r\n", {"a": [{"b": "µ"}]}, None])
def test_ordinary_values_pass(value: object) -> None:
    check_values(value, "here")
