"""Whole runs on Ray: one worker, two, and a killed driver give one table, nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SLOW = """
import time, zlib
from hqsearch.evaluators.toy import Toy

class Slow(Toy):
    costly = True

    def evaluate(self, candidate, seed, *rest, **more):
        # Longer for some, so that two workers finish out of order.
        time.sleep(0.1 + 0.5 * (zlib.crc32(candidate.key.encode()) % 3))
        done = super().evaluate(candidate, seed, *rest, **more)
        with (self.setup.folder / "evaluated").open("a") as log:
            log.write(candidate.key + "\\n")
        return done
"""


@pytest.fixture
def study(tmp_path: Path, study_file: Callable[..., Path]) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    return study_file("slow", "[strategy.nsga2]\npopulation = 6", evaluator="slow.py:Slow")


def command(study: Path, folder: Path, workers: int, count: int) -> list[str]:
    return [
        sys.executable, "-m", "hqsearch", "run", "--study", str(study), "--strategy", "nsga2",
        "--evaluations", str(count), "--studies-dir", str(folder), "--executor", "ray",
        "--workers", str(workers),
    ]  # fmt: skip


def table(folder: Path) -> list[tuple[Any, ...]]:
    words = ["trials", "--study", "slow", "--studies-dir", str(folder), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "hqsearch", *words], capture_output=True, text=True, check=True
    )
    keys = ("number", "state", "choices", "values", "seed")
    return [tuple(row[k] for k in keys) for row in json.loads(done.stdout)]


def test_one_and_two_workers_and_a_killed_driver_give_one_table(
    tmp_path: Path, study: Path
) -> None:
    subprocess.run(command(study, tmp_path / "one", 1, 16), check=True, capture_output=True)
    expected = table(tmp_path / "one")
    assert len(expected) == 16

    cut = tmp_path / "two"
    driver = subprocess.Popen(
        command(study, cut, 2, 16), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    evaluated = cut / "slow" / "evaluated"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if evaluated.exists() and len(evaluated.read_text().splitlines()) >= 7:
            break
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    time.sleep(3)  # Ray notices that its driver is gone; evaluations in flight end or are killed
    before = table(cut)
    finished = {json.dumps(row[2]) for row in before if row[1] == "COMPLETE"}
    assert 0 < len(before) < 16

    subprocess.run(command(study, cut, 2, 16), check=True, capture_output=True)
    assert table(cut) == expected
    times = Counter(evaluated.read_text().splitlines())
    assert len(times) == 16
    for key, count in times.items():
        choices = json.dumps(dict(part.split("=") for part in key.split(";")))
        assert count == 1 or choices not in finished
