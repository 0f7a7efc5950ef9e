"""Progress of a run on standard error: evaluations, failures, time left, the front so far."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from hqsearch.analysis.words import one_line
from hqsearch.problem.resolution import unmodelled
from hqsearch.search.events import Listener, SearchState
from hqsearch.show.scatter import scatter
from hqsearch.show.tables import front_table
from hqsearch.store.fronts import front_of
from hqsearch.store.records import TrialRecord, TrialRow

#: Rows of the front that the live display shows.
SHOWN = 10
#: Lines of a terminal that the table's head and the bars take.
ROOM = 12
#: Seconds between lines where standard error is no terminal.
QUIET = 20.0


class LiveProgress(Listener):
    """Follows preparations and searches; draws on a terminal, else prints a line now and then.

    A line is said once, for every run of a study has the same things to say of it; how many
    evaluations are done is said for every run.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._said: set[str] = set()
        self._live: Live | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget the run before."""
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("elapsed", markup=False),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._front_at = -1
        self._told: dict[str, float] = {}
        self._lines: dict[str, str] = {}
        self._first: dict[str, tuple[float, int]] = {}
        self._started = time.monotonic()
        self._finished_at_start: int | None = None
        self._failed_before: set[int] | None = None
        self._failure_told = False

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
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                self._stopped()
            self._live.__exit__(kind, error, traceback)
            self._live = None

    def _stopped(self) -> None:
        """What the last picture says: nothing runs any more."""
        for task in self._progress.tasks:
            if not task.finished:
                self._progress.stop_task(task.id)
                self._progress.update(task.id, note="interrupted")

    def note(self, text: str) -> None:
        self._say(text)

    def started(self, title: str) -> None:
        """What was drawn of the run before stays; the next one is drawn below it."""
        if self._live is None or not self._tasks:
            self._say(title)
            self._begin()
            if self._live is not None:
                self._live.update(self._progress)
            return
        self.__exit__(None, None, None)
        self._say(title)
        self._begin()
        self.__enter__()

    def prepared(self, label: str, done: int, total: int) -> None:
        started, before = self._first.setdefault(label, (time.monotonic(), done))
        self._advance(label, done, total, _left(started, done - before, total - done))

    def changed(self, state: SearchState) -> None:
        if self._finished_at_start is None:
            self._finished_at_start, self._started = state.finished, time.monotonic()
        self._failed([t for t in state.trials if t.state == "FAIL"])
        failures = sum(t.state == "FAIL" for t in state.trials)
        # How many candidates a strategy's own tasks give is known when they end.
        left = "" if any(not t.finished for t in state.tasks) else self._time_left(state)
        stopped = sum(t.state == "PRUNED" for t in state.trials)
        notes = [f"{failures} failed", f"{stopped} stopped early", f"{state.copies} copies"]
        notes = [n for n in notes if not n.startswith("0 ")]
        note = ", ".join([*notes, *([left] if left else [])])
        if self._live is not None and state.finished != self._front_at:
            self._front_at = state.finished
            rows = [TrialRow.of(t, state.objectives) for t in state.records.values()]
            front = front_of(rows, unmodelled(state.objectives), state.run.budgets)
            title = f"Front so far: {len(front)} candidates"
            table = front_table(front[:SHOWN], state.objectives, title)
            more = len(front) - SHOWN
            rest = [Text(f"… {more} more: {_asked(state)}")] if more > 0 else []
            drawn = [Text(line) for line in scatter(front, rows, state.objectives)]
            fits = self.console.height >= SHOWN + len(drawn) + ROOM
            self._live.update(Group(*(drawn if fits else ()), table, *rest, self._progress))
        self._advance("evaluations", state.finished, state.evaluations, note)
        self._tasks_changed(state)

    def _failed(self, failed: Sequence[TrialRecord]) -> None:
        """Why an evaluation failed is told at once, for the first: the others often fail alike."""
        if self._failed_before is None:
            self._failed_before = {t.number for t in failed}
        new = [t for t in failed if t.number not in self._failed_before and t.outcome is not None]
        if new and not self._failure_told and new[0].outcome is not None:
            self._failure_told = True
            why = f"({new[0].outcome.failure}): {one_line(new[0].outcome.reason)}"
            self._say(f"trial {new[0].number} failed {why}")

    def _tasks_changed(self, state: SearchState) -> None:
        """The strategy's own tasks: how many have ended, and how far those running are."""
        if not state.tasks:
            return
        done = 0.0
        labels = []
        for task in state.tasks:
            if task.finished:
                done += 1.0
                continue
            part = _progress_of(state.folder / task.folder)
            done += part if self._live is not None else 0.0  # a bar moves on, a line counts
            labels.append(f"{task.label} {100 * part:.0f} %".strip())
        kinds = " and ".join(sorted({t.kind for t in state.tasks}))
        self._advance(f"{kinds} tasks", done, state.planned_tasks, ", ".join(labels))

    def _time_left(self, state: SearchState) -> str:
        done = state.finished - (self._finished_at_start or 0)
        return _left(self._started, done, state.evaluations - state.finished)

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
            line = f"{label}: {int(done)}/{total} {note}".rstrip()
            if self._lines.get(label) != line:
                self._lines[label] = line
                self._say(line, again=label == "evaluations")

    def _say(self, line: str, again: bool = False) -> None:
        if line in self._said and not again:
            return
        self._said.add(line)
        # As it stands: brackets in a note are not rich's markup, and a line is one line.
        self.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _left(started: float, done: int, remaining: int) -> str:
    """How long what remains takes, by how long what is done took; empty where nothing is."""
    if done < 1 or remaining < 1:
        return ""
    seconds = (time.monotonic() - started) / done * remaining
    told = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    return f"about {told} left"


def _asked(state: SearchState) -> str:
    """The command that shows the whole front."""
    folder = state.folder
    return f"hqsearch front --study {folder.name} --studies-dir {folder.parent}"


def _progress_of(folder: Path) -> float:
    """How much of a task is done, 0 to 1, by the file that it keeps."""
    try:
        told = json.loads((folder / "progress.json").read_text())
        return min(1.0, float(told["done"]) / float(told["total"]))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0


def standard_error() -> LiveProgress:
    """On standard error, whatever that is."""
    return LiveProgress(Console(stderr=True, markup=False, emoji=False))
