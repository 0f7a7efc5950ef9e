"""The driver keeps what the dashboard shows up to date, once a generation at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hqsearch.analysis.pictures.facts import Facts, facts_of, study_facts
from hqsearch.search.events import Listener, SearchState
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import StudyLog, storage_url
from hqsearch.store.published import Published

#: How a study's facts become what is shown.
Publisher = Callable[[Facts], Published]
#: Finished evaluations between two updates, for strategies that have no generations.
GENERATION = 12
#: An update waits so many times as long as the last one took.
REST = 20.0


class Publishing(Listener):
    """Passes everything on, and writes note and figures when a generation has passed.

    What goes wrong in drawing costs the update, never the search.
    """

    def __init__(
        self, listener: Listener, log: StudyLog, folder: Path, publisher: Publisher, every: int
    ) -> None:
        self._listener, self._log, self._folder = listener, log, folder
        self._publisher, self._every = publisher, every
        self._finished = -1
        self._next = 0.0
        self._broken = False
        self._state: SearchState | None = None

    def note(self, text: str) -> None:
        self._listener.note(text)

    def started(self, title: str) -> None:
        self._listener.started(title)

    def prepared(self, label: str, done: int, total: int) -> None:
        self._listener.prepared(label, done, total)

    def changed(self, state: SearchState) -> None:
        self._listener.changed(state)
        self._state = state
        passed = state.finished - self._finished
        if passed >= self._every and time.monotonic() >= self._next:
            self._publish(state)

    def finish(self) -> None:
        """The last update of a run."""
        if self._state is not None and self._state.finished != self._finished:
            self._publish(self._state)

    def _publish(self, state: SearchState) -> None:
        if self._broken:
            return
        started, self._finished = time.monotonic(), state.finished
        log = self._log
        try:
            records = sorted(state.records.values(), key=lambda r: r.number)
            attributes, tasks = log.attributes(), log.tasks()
            facts = facts_of(log.name, self._folder, attributes, log.runs(), tasks, records)
            log.publish(self._publisher(facts))
        except Exception as error:  # of any kind: it is only a picture
            self._broken = True
            reason = f"{type(error).__name__}: {error}"
            self._listener.note(f"note: the dashboard's note and figures stay behind ({reason})")
        ended = time.monotonic()
        self._next = ended + REST * (ended - started)


def refresh(
    study: str, studies_dir: Path, storage: str | None, publisher: Publisher, lock: bool = True
) -> None:
    """Bring note and figures of a study that nobody drives up to date.

    Args:
        lock: whether to take the driver's lock; not for a private copy.

    Raises:
        StorageError: somebody drives it, or its log cannot be written.
    """
    facts = study_facts(study, studies_dir, storage)
    url = storage_url(storage, facts.folder)
    if not lock:
        _write(url, facts, publisher)
        return
    with DriverLock(facts.folder, url, facts.name) as held:
        # Somebody may have driven it since it was read.
        _write(url, study_facts(study, studies_dir, storage), publisher, held.check)


def _write(
    url: str, facts: Facts, publisher: Publisher, guard: Callable[[], None] | None = None
) -> None:
    log = StudyLog(url, facts.name, facts.space, facts.objectives, guard)
    try:
        log.publish(publisher(facts))
    finally:
        log.close()
