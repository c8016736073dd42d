"""Where helpers run, on Linux: away from their caller, ahead of threads that only spin, and not behind them at the end.

A thread that is woken is often put beside the one that woke it, though another core is idle; and idle threads of
BLAS and OpenMP spin for milliseconds after their work. Either would cost a short step its second core. A helper that
such a thread has put off its core finishes on its caller's, which has nothing left to do that needs one of its own.
Elsewhere, and where a kernel knows nothing of it, nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.frame import record
from flowgrad.executors._numba.memory import call_address, i32_at, i64_at, put_i32, record_type

SLICE = 100_000
"""Nanoseconds that a helper asks to run at a time: who asks for less is let in sooner (Linux 6.12 and later)."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_FUTEX = {"x86_64": 202, "aarch64": 98}
_WAIT, _WAKE = 128, 129  # FUTEX_WAIT and FUTEX_WAKE, of one process
MASK = 128
"""Bytes of a set of cores."""

RECORD = record(
    # functions of the C library, 0 where it lacks one; the number of the call futex; whether all are there
    "sched_yield getcpu sched_getaffinity sched_setaffinity clock_gettime syscall futex complete",
    # room for a number that getcpu gives, and for two sets of cores; for every core, the set of it alone
    "core cores own single",
)
FUNCTIONS = (RECORD.names or ())[:6]
CORE = 8 * (RECORD.names or ()).index("core")

system_at = record_type(RECORD)


# ---- compiled -----------------------------------------------------------------------------------------------


def give_way(system: int) -> None:
    """Let another thread that wants this core have it for a while."""
    s = system_at(system)
    if s.sched_yield != 0:
        call_address(s.sched_yield)


def core_time(system: int, said: int, thread: int) -> Any:
    """How long a thread has had a core, in ns; `said` is room for two words."""
    call_address(system_at(system).clock_gettime, (-thread - 1) * 8 + 6, said)  # its clock, as Linux numbers it
    return i64_at(said, 0) * 1_000_000_000 + i64_at(said, 1)


def wall_time(system: int, said: int) -> Any:
    """The time by a clock that nobody sets, in ns; `said` is room for two words."""
    call_address(system_at(system).clock_gettime, 1, said)  # CLOCK_MONOTONIC of Linux
    return i64_at(said, 0) * 1_000_000_000 + i64_at(said, 1)


def this_core(system: int) -> Any:
    """The number of the core that this thread runs on."""
    call_address(system_at(system).getcpu, system + CORE, 0)
    return i32_at(system + CORE, 0)


def bring_to(system: int, thread: int, core: int) -> None:
    """Let a thread run on a core and no other."""
    s = system_at(system)
    call_address(s.sched_setaffinity, thread, MASK, s.single + core * MASK)


def send_away(system: int, thread: int, core: int) -> None:
    """Let a thread run on every core that this one may, but for one; without any other it stays as it is."""
    s = system_at(system)
    call_address(s.sched_getaffinity, 0, MASK, s.cores)
    word, bit = i32_at(s.cores, core // 32), i32_at(s.single + core * MASK, core // 32)
    if unsigned(word) // unsigned(bit) % 2 == 1:
        put_i32(s.cores, core // 32, word - bit)
    call_address(s.sched_setaffinity, thread, MASK, s.cores)


def step_aside(system: int, core: int) -> None:
    """Move this thread from a core to another of its own, if it has any; it is free to come back."""
    s = system_at(system)
    call_address(s.sched_getaffinity, 0, MASK, s.own)
    send_away(system, 0, core)
    call_address(s.sched_setaffinity, 0, MASK, s.own)


def unsigned(word: int) -> Any:
    """32 bits as a number that is not negative."""
    return word + 4_294_967_296 if word < 0 else word


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


def ask_for_short_slices() -> None:
    """Of this thread; priority and policy stay what they are."""
    library, number = _library(), _SCHED_SETATTR.get(platform.machine())
    try:
        if library is None or number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
            return
    except OSError:  # musl has the name and not the thing
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


@cache
def _single_cores() -> npt.NDArray[np.uint8]:
    """(8·MASK, MASK): the set of every core alone."""
    cores = np.arange(8 * MASK)
    sets = np.zeros((8 * MASK, MASK), np.uint8)
    sets[cores, cores // 8] = 1 << cores % 8
    return sets


class System:
    """What compiled code needs of the system; `complete` says whether it can put threads to sleep and move them."""

    def __init__(self) -> None:
        self._cores, self._record = np.zeros((2, MASK), np.uint8), np.zeros(1, RECORD)
        for name in FUNCTIONS:
            self._record[name] = _function(name)
        self._record["futex"] = _FUTEX.get(platform.machine(), 0) if _library() else 0
        few = bool(_library()) and os.sysconf("SC_NPROCESSORS_CONF") <= 8 * MASK
        self.complete = few and all(self._record[name][0] for name in (*FUNCTIONS, "futex"))
        self._record["complete"] = self.complete
        self._record["cores"], self._record["own"] = (room.ctypes.data for room in self._cores)
        self._record["single"] = _single_cores().ctypes.data
        self.address = self._record.ctypes.data
