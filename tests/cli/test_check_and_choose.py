"""``hqsearch check`` and ``hqsearch choose``: output, JSON, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hqsearch


def call(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hqsearch", *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the toy study was run."""
    path = tmp_path_factory.mktemp("choose")
    hqsearch.Study("toy", studies_dir=path / "studies").run(evaluations=40)
    return path


def test_choose_by_limits_and_without(folder: Path) -> None:
    knee = call(folder, "choose", "--study", "toy").stdout
    assert "it is the knee of the front" in knee
    words = ("--energy", "<= 0.5 fp32", "--storage", "<= 2 MiB", "--limit", "average_bits<=20")
    told = json.loads(call(folder, "choose", "--study", "toy", *words, "--json").stdout)
    assert told["limits"] == {
        "energy": "<= 0.5 fp32",
        "storage": "<= 2 MiB",
        "average_bits": "<=20",
    }
    assert told["values"]["storage"] <= 2048
    assert "it is the most accurate of them" in told["reason"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--accuracy", ">= 99.9 %"), "The nearest is trial"),
        (("--energy", "<= 3 kg"), "with a unit of"),
        (("--limit", "energy"), "expected NAME LIMIT"),
        (("--limit", "enregy <= 3"), "did you mean 'energy'"),
        (("--storage", "<= 1 MB", "--storage", "<= 2 MB"), "the same limit"),
    ],
)
def test_choose_refuses(folder: Path, words: tuple[str, ...], told: str) -> None:
    assert told in call(folder, "choose", "--study", "toy", *words, code=2).stderr


def test_check_exits_by_what_it_finds(folder: Path) -> None:
    assert "no problems found" in call(folder, "check", "--study", "gesture").stdout
    wrong = ("--set", "constraints.energy=much", "--device", "cuda", "--json")
    told = json.loads(call(folder, "check", "--study", "toy", *wrong, code=2).stdout)
    assert not told["ok"]
    assert "CPU only" in told["problems"][0]
    text = call(folder, "check", "--study", "tyo", code=2).stdout
    assert "did you mean 'toy'" in text


WRONG = """
space = "spikfomer"
evaluator = "short-qat"
seeed = 3
[data]
dataset = "pictures"
path = "."
siz = 32
[model]
name = "convformer"
widths = [16, 32, 64]
depth = 1
heads = 4
timesteps = 1
[evaluation]
batchsize = 32
epochs = -3
[strategy.nsga2]
populaton = 8
[[objective]]
name = "accuracy"
[[objective]]
name = "energy"
unt = "uJ"
"""


def test_check_tells_wrong_keys_of_all_tables_at_once(tmp_path: Path) -> None:
    """One look, not one for every mistake; a run names the first."""
    (tmp_path / "wrong.toml").write_text(WRONG)
    told = json.loads(call(tmp_path, "check", "--study", "wrong.toml", "--json", code=2).stdout)
    hints = ("'seed'", "'size'", "'batch_size'", "'population'", "'spikformer'")
    for hint in (f"did you mean {name}?" for name in hints):
        assert sum(hint in problem for problem in told["problems"]) == 1
    assert any(p.endswith("epochs: Input should be greater than or equal to 0 (given: -3)")
               for p in told["problems"])  # fmt: skip
    assert any("unknown key 'unt'" in p and "Known: name." in p for p in told["problems"])
    assert sum("holds no pictures" in problem for problem in told["problems"]) == 1
    assert len(told["problems"]) == 8
    first = call(tmp_path, "run", "--study", "wrong.toml", "--strategy", "nsga2", code=2).stderr
    assert first.count("unknown key") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wrong.toml"]
