"""Terminals and pipes as they come: whole commands, as a person starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hqsearch.cli import cli
from hqsearch.cli.streams import readable

#: Tables, plain lines, and what click prints.
READING = ["front --study toy", "trials --study toy", "--help"]
QUESTION = "show --study toy --trial 99"


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    words = ["run", "--study", "toy", "--strategy", "random", "--evaluations", "12"]
    done = CliRunner().invoke(cli, [*words, "--studies-dir", str(folder)])
    assert done.exit_code == 0, done.output
    text = (folder.parent / "x").with_name("title.toml")
    text.write_text('title = "µ ± 漢 [/128] :smile: é"\n')
    text.rename(folder / "mine.toml")
    return folder


def shell(studies: Path, command: str, rest: str, **more: str) -> tuple[int, bytes, bytes]:
    """Exit code of the command, standard output and error of the line that it is part of."""
    place = "" if "help" in command else f" --studies-dir '{studies}'"
    line = f"'{sys.executable}' -m hqsearch {command}{place} {rest}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env={**os.environ, **more}, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("rest", ["| true", ">&- 2>&- <&-"])
def test_a_stream_that_is_gone_is_no_failure(studies: Path, command: str, rest: str) -> None:
    code, _, told = shell(studies, command, rest)
    assert (code, told) == (0, b"")


@pytest.mark.parametrize("rest", ["| head -1", ">&-", "2>&-", "2</dev/null"])
def test_nor_is_one_that_is_half_gone(studies: Path, rest: str) -> None:
    code, _, told = shell(studies, "trials --study toy --json", rest)
    assert (code, told) == (0, b"")


@pytest.mark.parametrize("rest", ["2>&-", "2>/dev/full"])
def test_a_refusal_stays_one(studies: Path, rest: str) -> None:
    code, _, told = shell(studies, QUESTION, rest)
    assert code == 2
    assert b"Traceback" not in told


@pytest.mark.parametrize("command", READING)
def test_a_full_disk_is_told(studies: Path, command: str) -> None:
    code, _, told = shell(studies, command, ">/dev/full")
    assert code == 1
    assert told.startswith(b"error: ")
    assert told.count(b"\n") == 1
    assert b"No space left on device" in told


def test_a_search_goes_on_where_nobody_follows_it(tmp_path: Path) -> None:
    words = "run --study toy --strategy nsga2 --evaluations 12"
    code, _, _ = shell(tmp_path, words, "2>&1 >/dev/null | true")
    assert code == 0
    _, out, _ = shell(tmp_path, "trials --study toy --json", "")
    assert len(json.loads(out)) == 12


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r"])
def test_any_encoding_will_do(studies: Path, encoding: str) -> None:
    for command in ("front --study toy", "status --study toy"):
        code, out, told = shell(studies, command, "", PYTHONIOENCODING=encoding)
        assert (code, told) == (0, b"")
        assert out.decode(encoding)
    _, out, _ = shell(studies, "studies", "", PYTHONIOENCODING=encoding, COLUMNS="200")
    shown = "µ ± 漢 [/128] :smile: é"
    if encoding == "ascii":
        shown = "u +/- ? [/128] :smile: e"
    elif encoding == "latin-1":
        shown = shown.replace("漢", "?")
    if encoding in ("ascii", "latin-1"):
        assert shown in out.decode(encoding)


def test_json_is_escaped_where_it_cannot_be_shown(studies: Path) -> None:
    _, plain, _ = shell(studies, "studies --json", "")
    _, escaped, _ = shell(studies, "studies --json", "", PYTHONIOENCODING="latin-1")
    assert json.loads(escaped.decode("latin-1")) == json.loads(plain)


def test_the_c_locale_will_do(studies: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    code, out, told = shell(studies, "studies", "", **locale)
    assert (code, told) == (0, b"")
    assert b"u +/- ? [/128]" in out
    code, _, told = shell(studies / "é", "front --study toy", "", **locale)
    assert code == 2
    assert "é".encode() in told  # the name of a file, byte for byte


@pytest.mark.parametrize("columns", ["20", "40"])
def test_numbers_are_whole_on_narrow_terminals(studies: Path, columns: str) -> None:
    _, wide, _ = shell(studies, "front --study toy --json", "")
    code, out, _ = shell(studies, "front --study toy", "", COLUMNS=columns)
    assert code == 0
    for row in json.loads(wide):
        assert f"{100 * row['values']['accuracy']:.1f} %" in out.decode()
        assert f"{row['values']['energy']:.4g}" in out.decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("µ", "u"),
        ("≤", "<="),
        ("é", "e"),
        ("漢", "?"),
        ("1…2", "1...2"),
        ("½", "1/2"),
        ("ﬁ²", "fi^2"),
        ("\ud800", "?"),
    ],
)
def test_what_stands_for_a_character(text: str, shown: str) -> None:
    error = UnicodeEncodeError("ascii", text, 0, len(text), "")
    plain, end = readable(error)
    assert end == len(text)
    assert plain == shown
