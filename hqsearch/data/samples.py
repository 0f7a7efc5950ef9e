"""What is to be framed: the samples of each split, before any of them is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hqsearch.data.files import as_events
from hqsearch.data.framing import Events
from hqsearch.errors import DataError

#: ``progress(label, done, total)`` after each sample.
Progress = Callable[[str, int, int], None]
#: Where a recording comes from, and why it cannot be used.
Problem = tuple[str, str]
#: So many files are named at once, at most.
_NAMED = 500


@dataclass(frozen=True)
class Sample:
    """One sample: where it comes from (for messages), its label, and how to get its events.

    They are read from several threads at once; they raise DataError, naming
    ``origin``, for events that cannot be used.

    Attributes:
        read: its events.
        columns: its events as they are in the file, times in ``unit``; None: as ``read``.
        unit: of the times in the file; None where the file does not say it.
        group: what must not be torn apart by splits; None: nothing is said.
        window: start and length in microseconds of a sample that is a part of a recording.
        cut: its events, where it is a part of a recording, given the unit.
    """

    origin: str
    label: int
    read: Callable[[], Events]
    columns: Callable[[], NDArray[Any]] | None = None
    unit: str | None = "us"
    group: str | None = None
    window: tuple[int, int] | None = None
    cut: Callable[[str | None], Events] | None = None

    def events(self, unit: str | None) -> Events:
        """Its events; ``unit`` is that of files that do not say theirs."""
        if self.cut is not None:
            return self.cut(unit)
        if self.columns is None:
            return self.read()
        return as_events(self.columns(), self.unit or unit, self.origin)


@dataclass(frozen=True)
class SampleList:
    """All samples of a data set.

    Attributes:
        activity: For the progress display, such as "simulating gestures".
        sensor: (width, height) that all events lie within.
        identity: Text that changes when the samples do; it costs no reading of events.
        warnings: What a person should know about these samples.
    """

    activity: str
    splits: Mapping[str, Sequence[Sample]]
    classes: tuple[str, ...]
    sensor: tuple[int, int]
    identity: str
    simulated: bool
    warnings: tuple[str, ...] = ()


def refuse_all(problems: Sequence[Problem], what: str = "recordings") -> None:
    """Name all unusable recordings, or other things, at once, those with the same fault together.

    Raises:
        DataError: there is one.
    """
    if not problems:
        return
    alike: dict[str, list[str]] = {}
    for origin, text in sorted(problems)[:_NAMED]:
        alike.setdefault(text.removeprefix(f"{origin}: "), []).append(origin)
    lines = [f"{', '.join(origins)}: {reason}" for reason, origins in alike.items()]
    if len(problems) > _NAMED:
        lines.append(f"and {len(problems) - _NAMED:,} more.")
    if len(problems) > 1:
        lines = [f"{len(problems):,} {what} cannot be used:", *lines]
    raise DataError("\n  ".join(lines))
