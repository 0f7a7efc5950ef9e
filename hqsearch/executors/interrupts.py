"""What ends this process from outside, told from an exception that an evaluator raises itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

#: Ctrl-C; what systems send before they kill, and Ray to the workers of a driver or node that goes.
ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_get_through() -> Iterator[None]:
    """Where a signal ends a task by an exception, it ends it, even if somebody's code caught that.

    Else a worker that is told to go would write down a failure that is none of the evaluator's.
    Signals arrive in the main thread; elsewhere none can.

    Raises:
        BaseException: what the signal's handler raised meanwhile, in place of whatever else was:
            Python's for SIGINT a KeyboardInterrupt, Ray's for SIGTERM a SystemExit.
    """
    raised: list[BaseException] = []
    with ExitStack() as handlers:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                before = signal.getsignal(number)
                if callable(before):
                    signal.signal(number, _noting(before, raised))
                    handlers.callback(signal.signal, number, before)
        try:
            yield
        finally:
            if raised:
                raise raised[0]


def _noting(
    handler: Callable[[int, FrameType | None], Any], raised: list[BaseException]
) -> Callable[[int, FrameType | None], None]:
    """A handler that does what ``handler`` does, and notes what that raises."""

    def noting(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    return noting
