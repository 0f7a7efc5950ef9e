"""What is to be framed: the samples of each split, before any of them is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hqsearch.data.framing import Events


@dataclass(frozen=True)
class Sample:
    """One sample: where it comes from (for messages), its label, and how to get its events.

    ``read`` is called from several threads at once; it raises DataError, naming ``origin``, for
    events that cannot be used.
    """

    origin: str
    label: int
    read: Callable[[], Events]


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
