"""A person's Ctrl-C, told from a ``KeyboardInterrupt`` that an evaluator raises itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def persons_interrupt() -> Iterator[None]:
    """What a person interrupts is interrupted, even where somebody's code has caught it.

    Signals arrive in the main thread; elsewhere nobody can press Ctrl-C.

    Raises:
        KeyboardInterrupt: SIGINT came meanwhile, in place of whatever else was raised.
    """
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return
    handler, pressed = before, False

    def told(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        handler(number, frame)

    signal.signal(signal.SIGINT, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt
