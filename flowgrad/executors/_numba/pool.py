"""Threads: a caller and its helpers take the items of a phase in turn, without the interpreter.

A helper lives in compiled code: it waits for a phase by looking at a word of the board for a moment, then goes to
sleep in Python. What it is given is an address of a function, called with (argument, item, slot); slot 0 is the
caller. Whoever finds the pool in use by another caller works alone: nobody waits for a thread.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache

import numpy as np

from flowgrad.executors._numba.cores import ask_for_short_slices, keep_away
from flowgrad.executors._numba.frame import WORK, frame_at, work_at
from flowgrad.executors._numba.memory import (
    LINE,
    atomic_get,
    atomic_put,
    call_address,
    fetch_add,
    i64_at,
    pause,
)

WORD = LINE
"""Words of the board stand a cache line apart."""
OPEN, FUNCTION, ARGUMENT, ITEMS, LIMIT, NEXT, DONE, INSIDE, QUIT, YIELD, WANTED, GIVEN = (WORD * k for k in range(12))
PATIENCE = 300_000
"""Looks at the board before a helper goes to sleep: about a millisecond."""
HELPERS = 255
ASLEEP, LEFT = GIVEN + WORD, GIVEN + WORD * (HELPERS + 2)
"""Words of every slot: whether its helper sleeps; whether it has left its work to the caller."""


# ---- compiled -----------------------------------------------------------------------------------------------


def wait(board: int, turns: int) -> None:
    """One turn of waiting: now and then the core goes to another thread that wants it."""
    if turns % 64 == 63:  # more often, and a hypervisor takes the core from a loop that only pauses
        pause()
    if turns % 16384 == 16383 and i64_at(board + YIELD, 0) != 0:
        call_address(i64_at(board + YIELD, 0))


def take_items(board: int, slot: int) -> None:
    """Items of the open phase until none is left."""
    function, argument, items = i64_at(board + FUNCTION, 0), i64_at(board + ARGUMENT, 0), i64_at(board + ITEMS, 0)
    while True:
        item = fetch_add(board + NEXT, 1)
        if item >= items:
            return
        call_address(function, argument, item, slot)
        work = work_at(frame_at(argument).works + slot * WORK.itemsize)
        if work.given != 0:
            work.given = 0
            atomic_put(board + LEFT + WORD * slot, 1)
            fetch_add(board + GIVEN, 1)
            return
        fetch_add(board + DONE, 1)


def take_over(board: int, threads: int) -> int:
    """Finish what helpers have left to a caller that waits; gives how much it was."""
    function, argument, taken = i64_at(board + FUNCTION, 0), i64_at(board + ARGUMENT, 0), 0
    for slot in range(1, threads):
        if atomic_get(board + LEFT + WORD * slot) != 0:
            atomic_put(board + WANTED, 0)
            atomic_put(board + LEFT + WORD * slot, 0)
            call_address(function, argument, -1, slot)
            atomic_put(board + WANTED, 1)
            fetch_add(board + DONE, 1)
            taken += 1
    return taken


def serve(board: int, slot: int, _: int) -> None:
    """Help with phase after phase; back when nothing has come for a while, or to quit."""
    turns = 0
    while turns < PATIENCE and atomic_get(board + QUIT) == 0:
        if atomic_get(board + OPEN) != 0 and atomic_get(board + NEXT) < i64_at(board + ITEMS, 0):
            fetch_add(board + INSIDE, 1)  # from here on the caller waits for us before it leaves
            if atomic_get(board + OPEN) != 0 and slot < i64_at(board + LIMIT, 0):
                take_items(board, slot)
                turns = 0
            fetch_add(board + INSIDE, -1)
        wait(board, turns)
        turns += 1
    atomic_put(board + ASLEEP + WORD * slot, 1)


def conduct(frame: int, board: int, threads: int) -> None:
    """The frame's phases in turn; board 0 is for a caller alone."""
    f = frame_at(frame)
    for phase in range(f.phases):
        function, items = i64_at(f.phase_function, phase), i64_at(f.phase_items, phase)
        if board == 0 or items == 1:
            for item in range(items):
                call_address(function, frame, item, 0)
            continue
        atomic_put(board + FUNCTION, function)
        atomic_put(board + ARGUMENT, frame)
        atomic_put(board + ITEMS, items)
        atomic_put(board + LIMIT, threads)
        atomic_put(board + DONE, 0)
        atomic_put(board + NEXT, 0)
        turns, taken = 0, atomic_get(board + GIVEN)
        atomic_put(board + OPEN, 1)
        take_items(board, 0)
        atomic_put(board + OPEN, 0)
        atomic_put(board + WANTED, 1)
        while atomic_get(board + DONE) < items or atomic_get(board + INSIDE) > 0:
            if atomic_get(board + GIVEN) != taken:
                taken += take_over(board, threads)
            wait(board, turns)
            turns += 1
        atomic_put(board + WANTED, 0)


# ---- Python -------------------------------------------------------------------------------------------------

Native = Callable[[int, int, int], None]


def native(address: int) -> Native:
    """A compiled function of three integers as Python calls it: without the GIL."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)


@cache
def posix(name: str) -> int:
    """The address of a function of the C library; 0 where that is not POSIX: all works without."""
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    except (OSError, AttributeError, TypeError):
        return 0


class Pool:
    """Helpers of one process; made anew in a forked child, where no thread came along."""

    def __init__(self, helper: Native) -> None:
        self._helper = helper
        self._free = threading.Lock()
        self._beds: list[threading.Semaphore] = []
        self._threads: list[threading.Thread] = []
        self._memory = np.zeros((LEFT // WORD + HELPERS + 3) * WORD // 8, np.int64)
        self.board = -(-self._memory.ctypes.data // WORD) * WORD
        self._words = self._memory[(self.board - self._memory.ctypes.data) // 8 :][:: WORD // 8]
        self._words[YIELD // WORD] = posix("sched_yield")

    def enter(self, threads: int) -> int:
        """The board, for the caller alone until `leave`, its helpers awake; 0 where another caller has it."""
        if threads == 1 or not self._free.acquire(blocking=False):
            return 0
        try:
            self._wake(min(threads - 1, HELPERS))
        except BaseException:
            self._free.release()
            raise
        return self.board

    def leave(self) -> None:
        """Give the board back."""
        self._free.release()

    def _wake(self, helpers: int) -> None:
        asleep = ASLEEP // WORD
        keep_away(self._threads[k] for k in range(min(helpers, len(self._threads))) if self._words[asleep + k + 1])
        for k in range(helpers):
            if k == len(self._beds):
                self._beds.append(threading.Semaphore(0))
                thread = threading.Thread(target=self._live, args=(k,), name=f"flowgrad-{k + 1}", daemon=True)
                self._threads.append(thread)
                thread.start()
            elif self._words[asleep + k + 1]:
                self._words[asleep + k + 1] = 0
                self._beds[k].release()

    def _live(self, k: int) -> None:
        ask_for_short_slices()
        while not self._words[QUIT // WORD]:
            self._helper(self.board, k + 1, 0)
            self._beds[k].acquire()

    def close(self) -> None:
        """Send the helpers home; called when the process ends, so that none runs code that is being freed."""
        self._words[QUIT // WORD] = 1
        for bed in self._beds:
            bed.release()
        for thread in self._threads:
            thread.join(timeout=1.0)


_pools: dict[int, Pool] = {}
_making = threading.Lock()


def pool(helper: Native) -> Pool:
    """This process's pool."""
    here = os.getpid()
    found = _pools.get(here)
    if found is None:
        with _making:
            found = _pools.setdefault(here, Pool(helper))
            atexit.register(found.close)
    return found


def _forget_parent() -> None:
    global _making
    _making = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
