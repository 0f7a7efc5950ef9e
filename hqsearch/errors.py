"""Every error a user can meet, one tree.

::

    HqsearchError                exit code 1
    ├── RunFailed                a run broke down after it had started
    ├── DiskFull                 no space left; everything finished is saved
    └── InputError               exit code 2: bad usage or bad input, nothing was lost or created
        ├── UnknownName          a study, strategy, evaluator, choice, key … that does not exist
        ├── DefinitionError      a TOML file, or a value in it, that cannot be used
        ├── DataError            event data that is missing, empty, truncated or foreign
        ├── BudgetError          a budget that no candidate can meet
        ├── LimitsNotMet         limits that no member of a front meets
        ├── StudyMismatch        a study whose fingerprint differs from the one asked for
        ├── StorageError         a log that is not one, or that someone else is writing
        │   ├── StudyMissing     a study that is not there (yet)
        │   └── StudyDamaged     a log that is there and cannot be read
        ├── DeviceError          a device or resource that this machine does not have
        ├── ImportRefused        results from elsewhere with mistakes in them, all of them named
        ├── ExportError          a network, or a part of it, that has no integer form
        └── PluginError          a user's file that does not define what it should

The command line prints ``str(error)`` and exits with ``error.exit_code``; no traceback.
Messages say what is wrong, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class HqsearchError(Exception):
    """Base of all errors that are meant for a person."""

    exit_code = 1


class RunFailed(HqsearchError):
    """A run broke down after it had started; what had finished is in the log."""


class TrialFailed(Exception):
    """One evaluation came to nothing: its trial fails with this text, and the search goes on.

    Not an :class:`HqsearchError`, which would end the run.
    """


class DiskFull(HqsearchError):
    """No space left on a device; free some and resume."""


class InputError(HqsearchError):
    """Bad usage or bad input; nothing was lost or created."""

    exit_code = 2


class DefinitionError(InputError):
    """A definition file, or a value in it, that cannot be used."""


class DataError(InputError):
    """Event data that is missing, empty, truncated or foreign."""


class BudgetError(InputError):
    """A budget that no candidate can meet."""


class LimitsNotMet(InputError):
    """No member of a front meets the limits; the message tells the nearest one."""


class StudyMismatch(InputError):
    """The study on disk has another fingerprint than the one asked for."""


class StorageError(InputError):
    """A log that is not one, or that another process is writing."""


class StudyMissing(StorageError):
    """A study that is not there, or was cut off while it was made."""


class StudyDamaged(StorageError):
    """A log that is there and cannot be read, or is not one of hqsearch's."""


class ImportRefused(InputError):
    """Results from elsewhere with mistakes in them, each of them named; nothing was imported."""

    #: Problems that are told; more are counted.
    SHOWN = 30

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.name, self.problems = name, tuple(problems)
        told = list(problems[: self.SHOWN])
        if len(problems) > self.SHOWN:
            told.append(f"and {len(problems) - self.SHOWN} more")
        single = len(problems) == 1
        text = told[0] if single else "\n  ".join([f"{len(problems)} problems:", *told])
        super().__init__(f"{name}: {text}")

    def __reduce__(self) -> tuple[type[ImportRefused], tuple[str, tuple[str, ...]]]:
        return type(self), (self.name, self.problems)


class DeviceError(InputError):
    """A device or resource that this machine does not have."""


class ExportError(InputError):
    """A network, or a part of it, that has no integer form; names the part."""


class PluginError(InputError):
    """A user's file that does not define what it should."""


class UnknownName(InputError):
    """A name that does not exist; suggests the closest known one.

    >>> str(UnknownName("strategy", "nsga", ["nsga2", "random"]))
    "unknown strategy 'nsga'; did you mean 'nsga2'? Known: nsga2, random."
    """

    def __init__(self, what: str, name: str, known: Iterable[str], where: str = "") -> None:
        self.what, self.name, self.known, self.where = what, name, sorted(set(known)), where
        place = f" in {where}" if where else ""
        close = closest(name, self.known)
        hint = f"; did you mean {close!r}?" if close else "."
        listing = f" Known: {', '.join(self.known)}." if self.known else ""
        super().__init__(f"unknown {what} {name!r}{place}{hint}{listing}")

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str], str]]:
        """So that it can come back from a worker."""
        return type(self), (self.what, self.name, self.known, self.where)


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to ``name``, or None where nothing is near."""
    candidates = list(known)
    found = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    if found:
        return found[0]
    folded = {k.lower().replace("_", "-"): k for k in candidates}
    found = difflib.get_close_matches(name.lower().replace("_", "-"), folded, n=1, cutoff=0.5)
    return folded[found[0]] if found else None
