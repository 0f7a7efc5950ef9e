"""SIGKILL at random points over the whole life of a run: nothing finished is lost or repeated.

A few points by default; ``pytest tests/test_kills.py --kills 40`` for as many as one likes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.store.log import LogReader, storage_url

EVALUATIONS = 40
SLOW = """
import time
from hqsearch.evaluators.toy import Toy

class Slow(Toy):
    costly = True

    def evaluate(self, candidate, *rest, **more):
        with (self.setup.folder / "started").open("a") as log:
            log.write(candidate.key + "\\n")
        time.sleep(0.02)
        return super().evaluate(candidate, *rest, **more)
"""
# Imports once, then lets every driver be a fork, so that a kill finds it at work.
FORKS = """
import os, sys
from hqsearch.cli import main
import hqsearch.study.running, optuna, pymoo.algorithms.moo.nsga2
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.stdin = open(os.devnull)
        os.dup2(2, 1)
        try:
            main()
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def words(study: Path, folder: Path, strategy: str) -> list[str]:
    return [
        "run", "--study", str(study), "--strategy", strategy, "--studies-dir", str(folder),
        "--evaluations", str(EVALUATIONS), "--executor", "in-process",
        "--set", "strategy.nsga2.population=8",
    ]  # fmt: skip


def rows(folder: Path) -> list[tuple[Any, ...]]:
    reader = LogReader(storage_url(None, folder.resolve() / "slow"), "slow")
    found = [
        (t.number, t.state, t.proposal.key, t.values, t.proposal.seed) for t in reader.trials()
    ]
    reader.close()
    return found


@pytest.mark.parametrize("strategy", ["nsga2", "random"])
def test_kills_at_random_points_change_nothing(
    tmp_path: Path,
    study_file: Callable[..., Path],
    pytestconfig: pytest.Config,
    strategy: str,
) -> None:
    kills = int(pytestconfig.getoption("--kills"))
    (tmp_path / "slow.py").write_text(SLOW)
    study = study_file("slow", evaluator="slow.py:Slow")
    whole = subprocess.run(
        [sys.executable, "-m", "hqsearch", *words(study, tmp_path / "whole", strategy)],
        capture_output=True,
        text=True,
    )
    assert whole.returncode == 0, whole.stderr
    expected = rows(tmp_path / "whole")
    assert len(expected) == EVALUATIONS

    generator = np.random.default_rng([kills, len(strategy)])
    # The life of a run, in evaluations: each driver gets to a random point of its share.
    begun = tmp_path / "killed" / "slow" / "started"
    points = np.sort(generator.uniform(0.0, EVALUATIONS - 1.0, kills))
    told = tmp_path / "told"
    with (
        told.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", FORKS, *words(study, tmp_path / "killed", strategy)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as forks,
    ):
        assert forks.stdin is not None
        assert forks.stdout is not None
        landed = 0
        for point in points:
            forks.stdin.write("go\n")
            forks.stdin.flush()
            driver = int(forks.stdout.readline())
            # Either the start of the run itself, or so far into its evaluations.
            early = float(generator.uniform(0.0, 0.3)) if point < 2 else None
            deadline = time.monotonic() + (60.0 if early is None else early)
            while time.monotonic() < deadline:
                # Evaluations begun, repeated ones included.
                seen = begun.read_text().count("\n") if begun.exists() else 0
                if early is None and seen > point:
                    break
                time.sleep(0.002)
            time.sleep(float(generator.uniform(0.0, 0.05)))
            with suppress(ProcessLookupError):  # it was through
                os.kill(driver, signal.SIGKILL)
            landed += os.WIFSIGNALED(int(forks.stdout.readline()))
        forks.stdin.write("go\n")
        forks.stdin.flush()
        forks.stdout.readline()
        assert int(forks.stdout.readline()) == 0, told.read_text()
        forks.stdin.close()
    assert landed >= kills - 1
    assert rows(tmp_path / "killed") == expected
    starts = Counter(begun.read_text().split())
    assert set(starts) == {key for _, _, key, _, _ in expected}
    # One worker: a kill finds at most one evaluation in flight.
    assert sum(starts.values()) - len(starts) <= landed
