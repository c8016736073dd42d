"""Where helpers run, on Linux: away from their caller, and ahead of threads that only spin.

A thread that is woken is often put beside the one that woke it, though another core is idle; and idle threads of
BLAS and OpenMP spin for milliseconds after their work. Either would cost a short step its second core. Elsewhere,
and where a kernel knows nothing of it, nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

SLICE = 100_000
"""Nanoseconds that a helper asks to run at a time: who asks for less is let in sooner (Linux 6.12 and later)."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}


def available() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _library() -> Any:
    """The C library of a Linux that has what is asked of it here, else None."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "sched_getcpu") else None


def keep_away(threads: Iterable[threading.Thread]) -> None:
    """Let threads run on every core of the process but the caller's, as long as there is another."""
    library = _library()
    if library is None:
        return
    others = os.sched_getaffinity(0) - {library.sched_getcpu()}
    for thread in threads if others else ():
        if thread.native_id is not None:
            try:
                os.sched_setaffinity(thread.native_id, others)
            except OSError:  # the thread has ended, or the cores have changed meanwhile: it runs where it may
                return


def ask_for_short_slices() -> None:
    """Of this thread; priority and policy stay what they are."""
    library, number = _library(), _SCHED_SETATTR.get(platform.machine())
    if library is None or number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
    request = struct.pack("IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, SLICE, 0, 0)
    library.syscall(ctypes.c_long(number), 0, request, 0)
