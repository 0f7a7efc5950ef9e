"""Tables for a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from hqsearch.cli import cli
from hqsearch.show import tables
from hqsearch.show.live import LiveProgress
from hqsearch.study.running import Request, start


def test_a_long_front_is_printed_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LiveProgress(Console(quiet=True)) as progress:
        start(Request("toy", "random", 40, studies_dir=tmp_path), progress)
    where = ["--study", "toy", "--studies-dir", str(tmp_path)]
    front = json.loads(CliRunner().invoke(cli, ["front", *where, "--json"]).stdout)
    monkeypatch.setattr(tables, "LONG_FRONT", len(front) - 1)
    printed = CliRunner().invoke(cli, ["front", *where]).stdout.splitlines()
    assert printed[0] == f"Front of toy: {len(front)} of 40 trials"
    assert printed[1].split()[:3] == ["trial", "run", "state"]
    rows = printed[2 : 2 + len(front)]
    assert [int(row.split()[0]) for row in rows] == [trial["number"] for trial in front]
    assert printed[2 + len(front)].startswith("Verdict")
