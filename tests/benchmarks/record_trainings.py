"""Train every candidate of the space ``recorded``, with two seeds each, and keep the results.

    nice -n 19 python tests/benchmarks/record_trainings.py --out FOLDER --workers 2
    python tests/benchmarks/record_trainings.py --out FOLDER --table evaluators

The study is ``recorded_trainings.toml`` next to this file; the evaluator is ``short-qat``
itself, so a result is what a search on that study would have recorded. The first command
takes 2 x 625 trainings of about 3.5 seconds of one core. Every result is appended to
``FOLDER/trainings.jsonl`` and forced to disk before the next one is awaited: after a kill, the
same command goes on and repeats only what was being trained. Candidates come in a seeded random
order, the uniform ones first, so that an unfinished file is a fair sample.

The second command turns a finished file into ``recorded.csv.gz`` (one row per training) and
``recorded.json`` (where the rows come from, and a scoring pass over the parent) for the evaluator
``recorded``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.definition import load_study
from hqsearch.evaluator import Evaluator, PrepareContext, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.evaluator.tasks import ScoresTask, checked_answer
from hqsearch.problem.candidate import Candidate

STUDY = Path(__file__).with_name("recorded_trainings.toml")
SEEDS = (0, 1)
LIBRARIES = ("hqsearch", "numpy", "safetensors", "torch")
COLUMNS = ("seed", "right", "loss", "energy", "seconds", "correct")

_evaluator: Evaluator | None = None


def evaluator_in(folder: Path) -> Evaluator:
    return make_evaluator(Setup(load_study(STUDY), folder / "study"))


def prepare(evaluator: Evaluator, workers: int) -> dict[str, str]:
    """Frames and the parent, both kept and resumed."""

    def run_task(payload: dict[str, Any], _: Any, __: Any) -> dict[str, Any]:
        return evaluator.prepare_task(payload)

    return evaluator.prepare(PrepareContext(lambda *_: None, print, workers, run_task))


def start_worker(folder: Path, driver: int) -> None:
    """Make this worker's evaluator; end with the driver, however that ends."""
    global _evaluator
    import torch

    torch.set_num_threads(1)
    _evaluator = evaluator_in(folder)

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(2.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def train(key: str, seed: int) -> dict[str, Any]:
    """One training, as a line of ``trainings.jsonl``."""
    assert _evaluator is not None
    wall, cpu = time.perf_counter(), time.process_time()
    found = _evaluator.evaluate(Candidate.from_key(key), seed)
    details = found.details
    return {
        "key": key,
        "seed": seed,
        "right": round(found.values["accuracy"] * details["validation_samples"]),
        "loss": details["validation_loss"],
        "energy": found.values["energy"],
        "storage": found.values["storage"],
        "correct": details["correct"],
        "training_loss": details["training_loss"],
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The trainings of a file; a line that a kill cut off is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a line, on disk when this returns. It begins on a fresh line, whatever was cut off."""
    with path.open("a+b") as file:
        whole = file.tell() == 0
        if not whole:
            file.seek(-1, os.SEEK_END)
            whole = file.read(1) == b"\n"
        file.write((b"" if whole else b"\n") + json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def in_order(evaluator: Evaluator) -> list[tuple[str, int]]:
    """Every (candidate, seed): the uniform ones, then the others shuffled."""
    space = evaluator.space
    codes = np.indices(tuple(space.cardinalities)).reshape(len(space.dimensions), -1).T
    shuffled = np.random.default_rng(0).permutation(codes)
    keys = [c.key for c in (*space.baselines().values(), *space.decode(shuffled))]
    return [(key, seed) for key in dict.fromkeys(keys) for seed in SEEDS]


def record(folder: Path, workers: int, most: int | None) -> None:
    """Train what is missing."""
    evaluator, path = evaluator_in(folder), folder / "trainings.jsonl"
    prepared = prepare(evaluator, workers)
    (folder / "about.json").write_text(json.dumps(about(evaluator, prepared), indent=1))
    known = read(path)
    done = {(row["key"], row["seed"]) for row in known}
    missing = [task for task in in_order(evaluator) if task not in done][:most]
    total, began, count = len(known) + len(missing), time.monotonic(), 0
    print(f"{len(known)} trainings are there, {len(missing)} to do", flush=True)
    with ProcessPoolExecutor(
        workers, get_context("spawn"), start_worker, (folder, os.getpid())
    ) as pool:
        tasks: Iterator[tuple[str, int]] = iter(missing)
        running: set[Future[dict[str, Any]]] = {
            pool.submit(train, *task) for task in islice(tasks, workers)
        }
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                append(path, future.result())
                count += 1
                running |= {pool.submit(train, *task) for task in islice(tasks, 1)}
            if count % 10 == 0:
                left = (time.monotonic() - began) / count * (len(missing) - count)
                print(f"{len(known) + count}/{total}, {left / 60:.0f} min left", flush=True)


def about(evaluator: Evaluator, prepared: dict[str, str]) -> dict[str, Any]:
    """Where the rows come from."""
    definition = evaluator.setup.definition.model_dump(mode="json", exclude={"name", "folder"})
    return {
        "recipe": evaluator.recipe,
        "study": definition,
        "space": {d.name: list(d.values) for d in evaluator.space.dimensions},
        "layers": [[layer.path, layer.weights] for layer in evaluator.layers()],
        "metrics": list(evaluator.metrics),
        "reference": dict(evaluator.reference()),
        "prepared": prepared,
        "parent": parent(evaluator),
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in LIBRARIES}},
        "machine": f"{platform.system()} {platform.machine()}, {processor()}",
        "notes": evaluator.notes(),
    }


def cheap(evaluator: Evaluator) -> dict[str, list[float]]:
    """The cheap metrics of every candidate."""
    candidates = [Candidate.from_key(key) for key, seed in in_order(evaluator) if seed == SEEDS[0]]
    rows = evaluator.cheap(candidates).tolist()
    return {c.key: row for c, row in zip(candidates, rows, strict=True)}


def parent(evaluator: Evaluator) -> dict[str, Any]:
    (path,) = evaluator.setup.folder.glob("parents/*/parent.json")
    return dict(json.loads(path.read_text()))


def commit() -> str:
    """The commit that is checked out, marked where files differ from it."""
    place = Path(__file__).parent
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=place, capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return head + (" with changes" if changed else "")


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def write_table(folder: Path, to: Path, partial: bool) -> None:
    """``recorded.csv.gz`` and ``recorded.json``, from what was trained."""
    origin = json.loads((folder / "about.json").read_text())
    evaluator = evaluator_in(folder)
    space = evaluator.space
    rows = {(row["key"], row["seed"]): row for row in read(folder / "trainings.jsonl")}
    estimates = cheap(evaluator)
    missing = len(SEEDS) * len(estimates) - len(rows)
    if missing and not partial:
        sys.exit(f"{missing} trainings are missing; --partial writes the table without them")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*space.names, "energy_estimate", "storage", "average_bits", *COLUMNS])
    for key, seed in sorted(rows):
        choices = Candidate.from_key(key).choices
        measured = [rows[key, seed][name] for name in COLUMNS]
        # What is estimated in full, for strategies check whether it is a sum over layers.
        estimated = [f"{n:.14g}" for n in estimates[key]]
        found = [f"{n:.7g}" if isinstance(n, float) else n for n in measured]
        writer.writerow([*choices.values(), *estimated, *found])
    (to / "recorded.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    ends = sorted(row["ended"] for row in rows.values())
    del origin["space"]
    if "scores" in evaluator.strategy_tasks:
        origin["scores"] = scores(evaluator, folder / "scores")
    origin |= {
        "groups": {d.name: list(d.layers) for d in space.dimensions},
        "pinned": dict(space.pinned),
        "trainings": len(rows),
        "seeds": list(SEEDS),
        "from": ends[0],
        "to": ends[-1],
    }
    (to / "recorded.json").write_text(json.dumps(origin, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(rows)} trainings, {(to / 'recorded.csv.gz').stat().st_size / 1024:.0f} KiB")


def scores(evaluator: Evaluator, folder: Path) -> dict[str, Any]:
    """The scoring pass over the parent, and how long it took."""
    folder.mkdir(exist_ok=True)
    began = time.perf_counter()
    answer = checked_answer("scores", evaluator.strategy_task(ScoresTask(), SEEDS[0], folder))
    return {**answer.to_json(), "training_seconds": round(time.perf_counter() - began, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the study and the file")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--most", type=int, help="stop after so many trainings")
    parser.add_argument("--table", type=Path, help="write the table into this folder instead")
    parser.add_argument("--partial", action="store_true", help="even if trainings are missing")
    asked = parser.parse_args()
    if asked.table:
        write_table(asked.out, asked.table, asked.partial)
    else:
        asked.out.mkdir(parents=True, exist_ok=True)
        record(asked.out, asked.workers, asked.most)


if __name__ == "__main__":
    main()
