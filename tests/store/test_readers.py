"""Readers that poll a study while it runs, as the dashboard and ``status`` do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, storage_url
from hqsearch.study.running import Request, start

#: Loads the study in both ways until told to stop; prints how often it did.
READER = """
import sys
from pathlib import Path
import optuna
from hqsearch.errors import StudyMissing
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.results import Results

folder, stop = Path(sys.argv[1]), Path(sys.argv[2])
url = storage_url(None, folder)
loads = seen = 0
while not stop.exists():
    try:
        reader = LogReader(url, "toy")
    except StudyMissing:
        continue  # the driver has not made it yet
    results = Results(folder, reader)
    for row in results.trials():
        # A finished trial is never seen without what belongs to it.
        assert row.state != "COMPLETE" or (row.values and row.details), row
    seen = max(seen, len(results.trials()))
    results.close()
    reader.close()
    study = optuna.load_study(study_name="toy", storage=url)
    study.get_trials(deepcopy=False)
    study._storage.remove_session()
    loads += 1
print(loads, seen)
"""


def test_polling_readers_lock_nobody_out(tmp_path: Path) -> None:
    folder, stop = tmp_path / "toy", tmp_path / "stop"
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(folder), str(stop)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        request = Request(
            "toy",
            "nsga2",
            evaluations=80,
            studies_dir=tmp_path,
            overrides={"evaluation.seconds": 0.03, "strategy.nsga2.population": 20},
        )
        with LiveProgress(Console(quiet=True)) as progress:
            assert start(request, progress).finished == 80
    finally:
        stop.touch()
        ended = [(*reader.communicate(timeout=60), reader.returncode) for reader in readers]
    for told, complaint, code in ended:
        assert code == 0, complaint
        loads, seen = map(int, told.split())
        assert loads > 0
        assert seen > 0
    reader = LogReader(storage_url(None, folder), "toy")
    assert [t.state for t in reader.trials()] == ["COMPLETE"] * 80
    reader.close()
