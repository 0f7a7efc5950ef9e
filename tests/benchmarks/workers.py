"""Candidates per minute with one and with two Ray workers of one thread each.

Prepares the gesture study once (a parent of one epoch: its quality changes no running time),
copies it, and runs the same evaluations with one and with two workers, alternating. Rates are
taken from the log: from the first proposal to the last result, so starting Ray is not counted.

    python tests/benchmarks/workers.py [--evaluations 8] [--repeats 1] [--folder DIR]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import optuna
from rich.console import Console

from hqsearch.show.live import LiveProgress
from hqsearch.study.running import Request, start

SETTINGS = {"evaluation.parent_epochs": 1}


def rate(folder: Path, workers: int, evaluations: int) -> float:
    """Candidates per minute of a fresh run in ``folder``."""
    request = Request(
        "gesture",
        "random",
        evaluations=evaluations,
        workers=workers,
        executor="ray",
        studies_dir=folder,
        overrides=SETTINGS,
    )
    with LiveProgress(Console(quiet=True)) as progress:
        start(request, progress)
    url = f"sqlite:///{folder / 'gesture' / 'study.db'}"
    trials = optuna.load_study(study_name="gesture", storage=url).trials
    begun = min(t.datetime_start for t in trials if t.datetime_start)
    ended = max(t.datetime_complete for t in trials if t.datetime_complete)
    return 60 * len(trials) / (ended - begun).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep the prepared study here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        prepared = (given.folder or Path(temporary)) / "prepared"
        if not (prepared / "gesture" / "prepared.json").exists():
            rate(prepared, 2, 1)
        rates: dict[int, list[float]] = {1: [], 2: []}
        for repeat in range(given.repeats):
            for workers in rates:
                folder = Path(temporary) / f"{workers}-{repeat}"
                shutil.copytree(
                    prepared, folder, ignore=shutil.ignore_patterns("*.db*", "results", "driver.*")
                )
                rates[workers].append(rate(folder, workers, given.evaluations))
    print("workers  candidates/min")
    for workers, found in rates.items():
        print(f"{workers:7d}  {statistics.median(found):14.2f}")
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    print(f"two workers: {ratio:.2f} × one worker")


if __name__ == "__main__":
    main()
