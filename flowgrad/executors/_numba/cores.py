"""Where helpers run, on Linux: away from their caller, ahead of threads that only spin, and not behind them at the end.

A thread that is woken is often put beside the one that woke it, though another core is idle; and idle threads of
BLAS and OpenMP spin for milliseconds after their work. Either would cost a short step its second core. A helper that
such a thread has put off its core finishes on its caller's, which has nothing left to do but wait. Elsewhere, and where
a kernel knows nothing of it, nothing happens.
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

import numpy as np

from flowgrad.executors._numba.frame import record
from flowgrad.executors._numba.memory import call_address, i32_at, put_i32, record_type

SLICE = 100_000
"""Nanoseconds that a helper asks to run at a time: who asks for less is let in sooner (Linux 6.12 and later)."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_FUTEX = {"x86_64": 202, "aarch64": 98}
_WAIT, _WAKE = 128, 129  # FUTEX_WAIT and FUTEX_WAKE, of one process
MASK = 128
"""Bytes of a set of cores."""

RECORD = record(
    # functions of the C library, 0 where it lacks one; the number of the call futex; whether all are there
    "sched_yield getcpu sched_setaffinity clock_gettime syscall futex complete",
    # what they say: a core; seconds and nanoseconds
    "core seconds nanoseconds",
    # sets of cores: the caller's alone, and those where helpers belong
    "here away",
)

system_at = record_type(RECORD)
CORE, SAID = (8 * (RECORD.names or ()).index(name) for name in ("core", "seconds"))


# ---- compiled -----------------------------------------------------------------------------------------------


def give_way(system: int) -> None:
    """Let another thread that wants this core have it for a while."""
    s = system_at(system)
    if s.sched_yield != 0:
        call_address(s.sched_yield)


def core_time(system: int, thread: int) -> Any:
    """How long a thread has had a core, in ns."""
    s = system_at(system)
    call_address(s.clock_gettime, (-thread - 1) * 8 + 6, system + SAID)  # a thread's clock, as Linux numbers it
    return s.seconds * 1_000_000_000 + s.nanoseconds


def bring_here(system: int, thread: int) -> None:
    """Let a thread run on this core and no other."""
    s = system_at(system)
    call_address(s.getcpu, system + CORE, 0)
    core, bit = i32_at(system + CORE, 0), 1
    for _ in range(core % 32):
        bit = bit + bit
    for k in range(MASK // 4):
        put_i32(s.here, k, bit if k == core // 32 else 0)
    call_address(s.sched_setaffinity, thread, MASK, s.here)


def send_away(system: int, thread: int) -> None:
    """Let a thread run where helpers belong."""
    s = system_at(system)
    call_address(s.sched_setaffinity, thread, MASK, s.away)


def sleep_while(system: int, word: int, value: int) -> None:
    """Sleep until another thread calls `wake`, or something else ends it, if a word has this value."""
    s = system_at(system)
    call_address(s.syscall, s.futex, word, _WAIT, value, 0, 0, 0)


def wake(system: int, word: int) -> None:
    """Wake the thread that sleeps on a word."""
    s = system_at(system)
    call_address(s.syscall, s.futex, word, _WAKE, 1, 0, 0, 0)


# ---- Python -------------------------------------------------------------------------------------------------


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


def keep_away(threads: Iterable[threading.Thread]) -> set[int]:
    """Let threads run on every core of the process but the caller's, as long as there is another; gives these cores."""
    library = _library()
    if library is None:
        return set()
    mine = os.sched_getaffinity(0)
    others = mine - {library.sched_getcpu()} or mine
    for thread in threads:
        if thread.native_id is not None:
            try:
                os.sched_setaffinity(thread.native_id, others)
            except OSError:  # the thread has ended, or the cores have changed meanwhile: it runs where it may
                break
    return others


def ask_for_short_slices() -> None:
    """Of this thread; priority and policy stay what they are."""
    library, number = _library(), _SCHED_SETATTR.get(platform.machine())
    if library is None or number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
    request = struct.pack("IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, SLICE, 0, 0)
    library.syscall(ctypes.c_long(number), 0, request, 0)


@cache
def _function(name: str) -> int:
    """The address of a function of the C library; 0 where it has none of that name."""
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    except (OSError, AttributeError, TypeError):
        return 0


class System:
    """What compiled code needs of the system; `complete` says whether it can move helpers between cores."""

    def __init__(self) -> None:
        self._here, self._away = np.zeros(MASK, np.uint8), np.zeros(MASK, np.uint8)
        self._record = np.zeros(1, RECORD)
        names = ("sched_yield", "getcpu", "sched_setaffinity", "clock_gettime", "syscall")
        for name in names:
            self._record[name] = _function(name)
        self._record["futex"] = _FUTEX.get(platform.machine(), 0) if _library() else 0
        self.complete = all(self._record[name][0] for name in (*names, "futex"))
        self._record["complete"] = self.complete
        self._record["here"], self._record["away"] = self._here.ctypes.data, self._away.ctypes.data
        self.address = self._record.ctypes.data
        if self.complete:
            self.belong(os.sched_getaffinity(0))

    def belong(self, cores: set[int]) -> None:
        """Where helpers belong."""
        mask = sum(1 << core for core in cores)
        if mask < 1 << 8 * MASK:
            self._away[:] = np.frombuffer(mask.to_bytes(MASK, "little"), np.uint8)
