"""Standard output is for answers: what evaluators print meanwhile goes to standard error."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from hqsearch.cli.output import err
from hqsearch.show.live import LiveProgress


@contextmanager
def answers_alone() -> Iterator[None]:
    """Send what anything here prints to standard error: Python, C libraries, subprocesses."""
    ours = sys.stdout
    kept = _swapped()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            # What was printed around the redirection is still in buffers.
            for stream in (ours, sys.__stdout__):
                with suppress(OSError, ValueError):
                    if stream is not None:
                        stream.flush()
            _flush_c()
            os.dup2(kept, 1)
            os.close(kept)


@contextmanager
def following() -> Iterator[LiveProgress]:
    """Progress on standard error, and nothing on standard output."""
    with answers_alone(), LiveProgress(err) as progress:
        yield progress


def _swapped() -> int | None:
    """Let descriptor 1 be 2; returns a copy of what it was, None where one of them is closed."""
    with suppress(OSError, ValueError):
        if sys.stdout is not None:
            sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:
        return None
    try:
        os.dup2(2, 1)
    except OSError:
        os.close(kept)
        return None
    return kept


def _flush_c() -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
