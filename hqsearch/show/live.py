"""Progress of a run on standard error: evaluations, failures, time left, the front so far."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from hqsearch.search.loop import Search
from hqsearch.show.tables import front_table
from hqsearch.store.records import TrialRow, front_of

#: Rows of the front that the live display shows.
SHOWN = 10
#: Seconds between lines where standard error is no terminal.
QUIET = 20.0


class LiveProgress:
    """Follows preparations and a search; draws on a terminal, else prints a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._live: Live | None = None
        self._front_at = -1
        self._told: dict[str, float] = {}
        self._started = time.monotonic()
        self._finished_at_start: int | None = None

    def __enter__(self) -> LiveProgress:
        if self.console.is_terminal:
            self._live = Live(self._progress, console=self.console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, traceback)
            self._live = None

    def prepared(self, label: str, done: int, total: int) -> None:
        """Progress of a preparation: data, parent, cost tables."""
        self._advance(label, done, total, "")

    def changed(self, search: Search) -> None:
        """Progress of a search."""
        finished = search.finished
        if self._finished_at_start is None:
            self._finished_at_start, self._started = finished, time.monotonic()
        failures = sum(t.state == "FAIL" for t in search.trials)
        # How many candidates a strategy's own tasks give is known when they end.
        left = "" if search.tasks else self._time_left(search, finished)
        stopped = sum(t.state == "PRUNED" for t in search.trials)
        notes = [f"{failures} failed", f"{stopped} stopped early", f"{search.copies} copies"]
        notes = [n for n in notes if not n.startswith("0 ")]
        note = ", ".join([*notes, *([f"about {left} left"] if left else [])])
        if self._live is not None and finished != self._front_at:
            self._front_at = finished
            rows = [TrialRow.of(t, search.plan.objectives) for t in search.records.values()]
            front = front_of(rows, search.plan.objectives, search.plan.run.budgets)
            title = f"Front so far: {len(front)} candidates"
            table = front_table(front[:SHOWN], search.plan.objectives, title)
            self._live.update(Group(table, self._progress))
        self._advance("evaluations", finished, search.plan.evaluations, note)
        self._tasks_changed(search)

    def _tasks_changed(self, search: Search) -> None:
        """The strategy's own tasks: how many have ended, and how far those running are."""
        if not search.tasks:
            return
        done = 0.0
        labels = []
        for task in search.tasks:
            if task.finished:
                done += 1.0
                continue
            part = _progress_of(search.plan.results_folder.parent / task.folder)
            done += part if self._live is not None else 0.0  # a bar moves on, a line counts
            labels.append(f"{task.label} {100 * part:.0f} %".strip())
        kinds = " and ".join(sorted({t.kind for t in search.tasks}))
        self._advance(f"{kinds} tasks", done, search.planned_tasks, ", ".join(labels))

    def _time_left(self, search: Search, finished: int) -> str:
        done = finished - (self._finished_at_start or 0)
        remaining = search.plan.evaluations - finished
        if done < 1 or remaining < 1:
            return ""
        seconds = (time.monotonic() - self._started) / done * remaining
        return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"

    def _advance(self, label: str, done: float, total: int, note: str) -> None:
        if self._live is not None:
            if label not in self._tasks:
                self._tasks[label] = self._progress.add_task(label, total=total, note=note)
            self._progress.update(
                self._tasks[label],
                completed=done,
                total=total,
                note=note,
            )
            return
        now = time.monotonic()
        last = self._told.get(label)
        if last is None or done >= total or now - last >= QUIET:
            if done >= total and last is not None and last < 0:
                return
            self._told[label] = -1.0 if done >= total else now
            self.console.print(f"{label}: {int(done)}/{total} {note}".rstrip(), highlight=False)


def _progress_of(folder: Path) -> float:
    """How much of a task is done, 0 to 1, by the file that it keeps."""
    try:
        told = json.loads((folder / "progress.json").read_text())
        return min(1.0, float(told["done"]) / float(told["total"]))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0
