"""Whatever an evaluation does, it fails alone, with its reason, and the search ends normally."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAULTY = """
import os, resource, time, zlib
from hqsearch.evaluators.toy import Toy

FAULTS = {"2u": "exception", "4u": "nan", "2l": "hang", "4l": "exit", "fp32": "hog"}

class Faulty(Toy):
    costly = True

    def __init__(self, setup):
        super().__init__(setup)
        time.sleep(0.5)  # a slow start

    def evaluate(self, candidate, seed, *rest, **more):
        choices = set(candidate.choices.values())
        fault = FAULTS[choices.pop()] if len(choices) == 1 else ""
        first = self.setup.folder / f"first-{zlib.crc32(candidate.key.encode())}"
        if not fault and zlib.crc32(candidate.key.encode()) % 4 == 0 and not first.exists():
            first.touch()
            os._exit(9)  # dies once, and is well when it is tried again
        if fault == "exception":
            raise ValueError("a made-up fault")
        if fault == "hang":
            time.sleep(3600)
        if fault == "exit":
            os._exit(1)
        if fault == "hog":
            held = []
            limit = resource.getrlimit(resource.RLIMIT_AS)
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, limit[1]))
            try:
                while True:
                    held.append(bytearray(2**26))
            finally:
                held.clear()
                resource.setrlimit(resource.RLIMIT_AS, limit)
        done = super().evaluate(candidate, seed, *rest, **more)
        if fault == "nan":
            done.values["accuracy"] = float("nan")
        return done
"""


def hqsearch(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hqsearch", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_fault_stays_with_its_evaluation(
    tmp_path: Path, study_file: Callable[..., Path], launched: Any
) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    study = study_file("faulty", evaluator="faulty.py:Faulty")
    place = ["--studies-dir", str(tmp_path / "studies")]
    hqsearch(
        "run", "--study", str(study), "--strategy", "random", "--evaluations", "17",
        "--executor", "ray", "--workers", "2", "--set", "evaluation.time_limit=10",
        "--set", "evaluation.retries=1", *place,
    )  # fmt: skip
    rows = json.loads(hqsearch("trials", "--study", "faulty", "--json", *place))
    assert len(rows) == 17
    found = {r["details"]["origin"]: r for r in rows if r["kind"] == "baseline"}
    failures = {o: (r["details"]["failure"], r["details"]["attempts"]) for o, r in found.items()}
    assert failures == {
        "2u": ("exception", 1),
        "4u": ("nan", 1),
        "2l": ("time-limit", 2),
        "4l": ("died", 2),
        "fp32": ("exception", 1),
    }
    assert found["2u"]["details"]["reason"] == "ValueError: a made-up fault"
    assert found["fp32"]["details"]["reason"].startswith("MemoryError")
    others = [r for r in rows if r["kind"] == "search"]
    assert {r["state"] for r in others} == {"COMPLETE"}
    assert {r["details"]["attempts"] for r in others} == {1, 2}
    # The values are those of an untroubled evaluation, retried or not.
    launched.run(tmp_path / "toy", strategy="random", evaluations=17)
    untroubled = {key: values for _, _, key, values, *_ in launched.table(tmp_path / "toy")}
    for row in others:
        key = ";".join(f"{name}={value}" for name, value in row["choices"].items())
        assert tuple(row["values"].values()) == untroubled[key]
    status = json.loads(hqsearch("status", "--study", "faulty", "--json", *place))
    assert json.dumps(status).count("time-limit") >= 1
