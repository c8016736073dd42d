"""Handle SIGTERM and SIGHUP as Ctrl-C: raise a KeyboardInterrupt, on which a training keeps what was reached."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Ended(KeyboardInterrupt):
    """Raised where a signal asks the process to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextmanager
def as_interrupts(wanted: bool = True) -> Iterator[None]:
    """Raise `Ended` at those of SIGTERM and SIGHUP with the default handler while the block runs, in the main thread.

    The handler is restored afterwards. A signal that is ignored, as SIGHUP under nohup, stays ignored.
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
