"""``hqsearch guide``."""

from __future__ import annotations

import importlib

import pytest
from click.testing import CliRunner
from rich.console import Console

from hqsearch import guide
from hqsearch.cli import cli
from hqsearch.errors import UnknownName


def call(*words: str) -> str:
    return CliRunner().invoke(cli, ["guide", *words], catch_exceptions=False).stdout


def test_it_lists_the_pages() -> None:
    text = call()
    for name, page in guide.pages().items():
        assert f"{name} " in text
        assert page.about in text


def test_a_page_in_a_pipe_is_plain() -> None:
    assert call("first-steps") == guide.page("first-steps").text


def test_a_page_on_a_terminal_is_rendered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("hqsearch.cli.guide")
    monkeypatch.setattr(module, "out", Console(force_terminal=True, width=80))
    module._show("# Title\n\nsome *text* and `code`\n")
    shown = capsys.readouterr().out
    assert "Title" in shown
    assert "# Title" not in shown
    assert "*text*" not in shown
    assert "\x1b[" in shown


def test_an_unknown_page() -> None:
    with pytest.raises(UnknownName, match="did you mean 'strategies'"):
        call("strategys")
