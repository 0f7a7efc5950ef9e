"""Listening to work: what it said is kept, and shown while it runs where that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hqsearch.api.describing import require
from hqsearch.search.events import Guarded, Listener, SearchState, guarded


class Notes(Listener):
    """Keeps the notes, each once, and passes everything on to another listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._said: dict[str, None] = {}

    @property
    def said(self) -> tuple[str, ...]:
        """Every line that was said, in order."""
        return tuple(self._said)

    def note(self, text: str) -> None:
        self._said.setdefault(text)
        self._listener.note(text)

    def started(self, title: str) -> None:
        self._listener.started(title)

    def prepared(self, label: str, done: int, total: int) -> None:
        self._listener.prepared(label, done, total)

    def changed(self, state: SearchState) -> None:
        self._listener.changed(state)


@contextmanager
def following(listener: Listener | None, progress: bool) -> Iterator[Notes]:
    """A listener for work that is about to start.

    Args:
        listener: of the caller; it may fail, the work goes on without it.
        progress: shows the live display on standard error, if there is no listener.

    Raises:
        DefinitionError: another object as a listener.
    """
    require(listener, Listener, "listener", "an object of a class made from hqsearch.Listener")
    if listener is not None or not progress:
        yield Notes(_kept(listener))
        return
    from hqsearch.show.live import standard_error

    with standard_error() as live:
        yield Notes(_kept(live))


def _kept(listener: Listener | None) -> Guarded | Listener:
    return guarded(listener)
