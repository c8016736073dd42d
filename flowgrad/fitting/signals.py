"""Signals that ask a process to end, answered as Ctrl-C is: what runs is interrupted, and keeps what it has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Ended(KeyboardInterrupt):
    """A signal asks for the end; `number` says which."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextmanager
def as_interrupts(wanted: bool = True) -> Iterator[None]:
    """Raise `Ended` at SIGTERM and SIGHUP while the block runs, in the main thread, where nobody handles them yet.

    What was there before is put back. A signal that is ignored, as SIGHUP under nohup, stays so.
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    try:
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _raise)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Ended(number)
