"""A study of 50,000 trials: what a proposal and its record cost there, memory, and reading.

    python tests/benchmarks/many_trials.py [--trials 5000 50000] [--strategy random nsga2]

The log is not searched for but written: trials of the study ``synthetic`` with details as a run
records them, straight into Optuna's tables. Figures to hold: CPU per evaluation the same at both
sizes (the evaluator is included, and the same), and ``front``, ``trials --json``, ``status`` and
``studies`` within 3 s each once the tables have caught up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.study.running import Request, start

STUDY = "synthetic"
#: Real trials that the written ones are copies of, apart from candidate and values.
TEMPLATES = 12
#: Evaluations that are measured.
MORE = 60
READERS = (
    ("front",), ("front", "--json"), ("trials", "--json"), ("status",), ("studies",),
)  # fmt: skip


def write_log(studies: Path, count: int) -> None:
    """A study whose one run has ``count`` complete trials."""
    start(Request(STUDY, "random", evaluations=TEMPLATES, studies_dir=studies))
    evaluator = make_evaluator(Setup(load_study(embedded("studies")[STUDY]), studies / STUDY))
    space = evaluator.space
    generator = np.random.default_rng(0)
    codes = np.column_stack([generator.integers(0, n, count) for n in space.cardinalities])
    costs = evaluator.cheap_codes(codes) if hasattr(evaluator, "cheap_codes") else None
    with closing(sqlite3.connect(studies / STUDY / "study.db")) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        columns = {t: _columns(db, t) for t in ("trials", "trial_params", "trial_values")}
        template = db.execute(f"SELECT {columns['trials']} FROM trials LIMIT 1").fetchone()
        (proposal,), (result,) = (
            db.execute(
                "SELECT value_json FROM trial_user_attributes WHERE key = ? "
                "ORDER BY trial_id DESC LIMIT 1",
                (key,),
            ).fetchone()
            for key in ("proposal", "result")
        )
        proposal, result = json.loads(proposal), json.loads(result)
        params = db.execute(
            "SELECT param_name, distribution_json FROM trial_params WHERE trial_id = 1"
        ).fetchall()
        rows: dict[str, list[tuple[Any, ...]]] = {t: [] for t in (*columns, "attributes")}
        for number in range(TEMPLATES, count):
            trial, candidate = number + 1, space.decode(codes[number : number + 1])[0]
            rows["trials"].append((trial, number, *template[2:]))
            for (name, distribution), code in zip(params, codes[number], strict=True):
                rows["trial_params"].append((trial, name, float(code), distribution))
            cost = costs[number, :2] if costs is not None else generator.uniform(1.0, 100.0, 2)
            values = (float(generator.uniform(0.5, 0.95)), *map(float, cost))
            rows["trial_values"] += [(trial, o, v) for o, v in enumerate(values)]
            own = {**proposal, "slot": number, "seen": number, "key": candidate.key}
            rows["attributes"].append((trial, "proposal", json.dumps({**own, "kind": "search"})))
            rows["attributes"].append((trial, "result", json.dumps({**result, "order": number})))
        _insert(db, "trials", columns["trials"].split(", "), rows["trials"])
        _insert(
            db, "trial_params",
            ("trial_id", "param_name", "param_value", "distribution_json"), rows["trial_params"],
        )  # fmt: skip
        typed = [(*row, "FINITE") for row in rows["trial_values"]]
        _insert(db, "trial_values", ("trial_id", "objective", "value", "value_type"), typed)
        _insert(db, "trial_user_attributes", ("trial_id", "key", "value_json"), rows["attributes"])
        _lengthen(db, count)


def _lengthen(db: sqlite3.Connection, count: int) -> None:
    """Let the run have asked for so many evaluations."""
    key = "run:0"
    query = "SELECT value_json FROM study_user_attributes WHERE key = ?"
    run = json.loads(db.execute(query, (key,)).fetchone()[0])
    text = json.dumps({**run, "evaluations": count})
    db.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = ?", (text, key))


def _columns(db: sqlite3.Connection, table: str) -> str:
    return ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})"))


def _insert(
    db: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def search(studies: Path, strategy: str, evaluations: int) -> None:
    """In a process of its own: go on with a run, and print what that cost."""
    from hqsearch.store.log import StudyLog

    marks: list[float] = []
    finish = StudyLog.finish

    def marked(self: StudyLog, *args: Any) -> Any:
        done = finish(self, *args)
        marks.append(time.process_time())
        return done

    StudyLog.finish = marked  # type: ignore[method-assign]
    overrides = {"strategy.nsga2.assist": False} if strategy == "nsga2" else {}
    request = Request(
        STUDY, strategy, evaluations=evaluations, studies_dir=studies, overrides=overrides
    )
    start(request)
    each = 1e3 * (marks[-1] - marks[0]) / (len(marks) - 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"opening": marks[0], "each": each, "memory": memory}))


def reading(studies: Path, words: Sequence[str]) -> tuple[float, float, float]:
    """CPU and wall seconds of a command in a process of its own, and its memory in MiB."""
    named = () if words[0] == "studies" else ("--study", STUDY)
    command = [
        sys.executable, "-m", "hqsearch", *words, *named, "--studies-dir", str(studies)
    ]  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    spent = used.ru_utime + used.ru_stime
    return spent, time.perf_counter() - began, used.ru_maxrss / 1024


def measured(studies: Path, strategy: str, count: int) -> Iterator[str]:
    for words in (("status",), *READERS):
        cpu, wall, memory = reading(studies, words)
        yield f"  {' '.join(words):<16} {cpu:6.2f} s of CPU, {wall:6.2f} s, {memory:5.0f} MiB"
    for name in strategy.split(","):
        # random goes on with the run that is there; another strategy begins one beside it.
        evaluations = count + MORE if name == "random" else MORE
        words = ["--worker", str(studies), name, str(evaluations)]
        done = subprocess.run(
            [sys.executable, __file__, *words], check=True, capture_output=True, text=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
        yield (
            f"  {name:<16} {told['each']:6.2f} ms of CPU an evaluation, {told['opening']:.1f} s "
            f"until the first, {told['memory']:.0f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--strategy", default="random,nsga2", help="comma-separated")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        search(Path(given.worker[0]), given.worker[1], int(given.worker[2]))
        return
    for count in given.trials:
        with tempfile.TemporaryDirectory(prefix="hqsearch-many-") as name:
            studies = Path(name)
            began = time.perf_counter()
            write_log(studies, count)
            size = (studies / STUDY / "study.db").stat().st_size / 2**20
            took = time.perf_counter() - began
            load = os.getloadavg()[0]
            print(f"{count} trials, {size:.0f} MiB, written in {took:.0f} s; load {load:.1f}")
            for line in measured(studies, given.strategy, count):
                print(line, flush=True)


if __name__ == "__main__":
    main()
