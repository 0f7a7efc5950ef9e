"""What a search, and everything around it, tells whoever follows it; silent by default."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hqsearch.problem.objective import Objective
from hqsearch.store.records import RunRecord, TaskRecord, TrialRecord


@dataclass(frozen=True)
class SearchState:
    """How far a search is.

    The records are the search's own, not copies: they are read while one is told, not kept.

    Attributes:
        run: what is run.
        evaluations: how many trials the run is to have.
        objectives: of the study.
        folder: of the study.
        trials: of this run, in the order of their proposals.
        records: trials of the study, by number; of this run those with a result.
        tasks: the strategy's own tasks in this run.
        planned_tasks: how many of those there will have been.
        finished: how many of this run's trials have ended.
        copies: how many of this run's trials were answered from the log.
    """

    run: RunRecord
    evaluations: int
    objectives: tuple[Objective, ...]
    folder: Path
    trials: Sequence[TrialRecord]
    records: Mapping[int, TrialRecord]
    tasks: Sequence[TaskRecord]
    planned_tasks: int
    finished: int
    copies: int


class Listener:
    """Is told what happens. Override what is of interest; each method here does nothing."""

    def note(self, text: str) -> None:
        """A line for a person: what was assumed, refused, moved aside."""

    def started(self, title: str) -> None:
        """The next of several runs begins; what is told from now on is about it."""

    def prepared(self, label: str, done: int, total: int) -> None:
        """How far a preparation (data, parent, cost tables) or a count of replicates is."""

    def changed(self, state: SearchState) -> None:
        """How far a search is: told of its last change, and of as many others as fit into a
        twentieth of the time."""


class Guarded(Listener):
    """Passes everything on; work goes on without a listener that raises, after a warning."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def note(self, text: str) -> None:
        self._tell(lambda: self._listener.note(text))

    def started(self, title: str) -> None:
        self._tell(lambda: self._listener.started(title))

    def prepared(self, label: str, done: int, total: int) -> None:
        self._tell(lambda: self._listener.prepared(label, done, total))

    def changed(self, state: SearchState) -> None:
        self._tell(lambda: self._listener.changed(state))

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            name, self._listener = type(self._listener).__name__, Listener()
            reason = f"{type(error).__name__}: {error}"
            warnings.warn(
                f"listener {name} failed ({reason}) and is told nothing more; the work goes on",
                RuntimeWarning,
                stacklevel=3,
            )


def guarded(listener: Listener | None) -> Listener:
    """A listener whose failures cost nothing but itself; a silent one where none is given."""
    if listener is None:
        return Listener()
    return listener if isinstance(listener, Guarded) else Guarded(listener)


@contextmanager
def every_second(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` at once, every second, also while this very process trains, and at the end."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            tell()

    tell()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    tell()
