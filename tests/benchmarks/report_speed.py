"""What the report and the dashboard's first page of many trials cost; prints a table.

    python tests/benchmarks/report_speed.py [TRIALS]

A random run of the study ``synthetic`` is made once under ``/tmp/hqsearch-report-speed``;
seconds are of the processor, for a machine that others use as well.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import hqsearch
from hqsearch.analysis.pictures.facts import study_facts
from hqsearch.show.dashboard.view import StudyView
from hqsearch.show.report.page import report_html


def measured(what: str, make: Callable[[], str]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    size = len(make().encode())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{what:<28} {cpu:>8.2f} {wall:>8.2f} {size / 1e6:>8.2f}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    place = Path("/tmp/hqsearch-report-speed") / str(count)
    study = hqsearch.Study("synthetic", studies_dir=place)
    study.run("random", evaluations=count, executor="in-process")
    url = f"sqlite:///{study.folder / 'study.db'}"
    print(f"{count} trials{'':<17} {'CPU s':>8} {'wall s':>8} {'MB':>8}")
    measured("report", lambda: report_html(study_facts("synthetic", place)))
    view = StudyView(url, "synthetic", study.folder)
    measured("dashboard, first page", lambda: view.detail(0))
    measured("dashboard, the same again", lambda: view.detail(0))
    measured("dashboard, what is new", lambda: view.detail(count))
    view.engine.dispose()


if __name__ == "__main__":
    main()
