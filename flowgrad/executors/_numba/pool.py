"""Threads: a caller and its helpers take the items of a phase in turn, without the interpreter.

A helper lives in compiled code: it waits for a phase by looking at a word of the board for a moment, then goes to
sleep. What it is given is an address of a function, called with (argument, item, slot); slot 0 is the caller. Whoever
finds the pool in use by another caller works alone: nobody waits for a thread. Who finds no item left, while others are
at theirs, calls another function of the phase again and again: what may be done meanwhile.

Strangers may want the helpers' cores: idle threads of BLAS and OpenMP spin. A helper that has lost its core while it
waited does not wait for the next calls but sleeps, since who is woken is let in before those who run. And a caller that
has nothing left to do looks now and then whether its helpers get on: one that has no core is brought to the caller's
own, and the caller goes to another or sleeps until it is done.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from flowgrad.executors._numba.cores import (
    System,
    ask_for_short_slices,
    bring_to,
    core_time,
    give_way,
    send_away,
    sleep_while,
    step_aside,
    system_at,
    this_core,
    wake,
    wall_time,
)
from flowgrad.executors._numba.floats import IEEE, float_mode, set_float_mode
from flowgrad.executors._numba.frame import open_frame_at
from flowgrad.executors._numba.memory import (
    LINE,
    atomic_get,
    atomic_put,
    call_address,
    fetch_add,
    i64_at,
    pause,
    put_i64,
)
from flowgrad.locks import lock

WORD = LINE
"""Words of the board stand a cache line apart."""
OPEN, FUNCTION, ARGUMENT, ITEMS, LIMIT, NEXT, MEANWHILE, QUIT, SYSTEM, ROUSE, GIFTS, TAKEN = (
    WORD * k for k in range(12)
)
"""Whether a phase may be entered, and what it is, with what to do meanwhile as long as an item is in work; whether
helpers are to quit; addresses; how often a caller has given its core; whether a caller has the board."""
PATIENCE = 60_000
"""Looks at the board before a helper goes to sleep: about a fifth of a millisecond."""
GLANCE = 4_096
"""Looks at the board before a caller that waits sees whether its helpers have a core, and does something meanwhile."""
LOST = 200_000
"""Nanoseconds between a helper's two glances at the clock that tell it that a stranger has had its core."""
CALM = 100
"""For so many calls it then goes to sleep when a call is over, as a new one does: who is woken is let in, who only
waits is not."""
HELPERS = 255
"""Helpers of a pool, at most."""
ASLEEP, BUSY, CALLED, SHY, THREAD, CLOCK, END = (TAKEN + WORD + WORD * (HELPERS + 1) * k for k in range(7))
"""Words of every slot: whether its helper sleeps; what it does; whether it is called to its caller's core; after how
many calls it does not wait for the next; its thread's number; room for what a clock says. Slot 0 is the caller's."""
AWAY, IDLE, AT_WORK = 0, 1, 2
"""What a helper does: nothing for the phase; what may be done meanwhile; an item."""


# ---- compiled -----------------------------------------------------------------------------------------------


def wait(system: int, turns: int) -> None:
    """One turn of waiting: now and then the core goes to another thread that wants it."""
    if turns % 64 == 63:  # more often, and a hypervisor takes the core from a loop that only pauses
        pause()
    if turns % 16384 == 16383:
        give_way(system)


def take_items(board: int, slot: int) -> None:
    """Items of the open phase until none is left."""
    function, argument, items = i64_at(board + FUNCTION, 0), i64_at(board + ARGUMENT, 0), i64_at(board + ITEMS, 0)
    while True:
        item = fetch_add(board + NEXT, 1)
        if item >= items:
            return
        call_address(function, argument, item, slot)


def do_meanwhile(board: int, slot: int) -> Any:
    """Once, what may be done while other threads are at their items; whether they still are."""
    function = atomic_get(board + MEANWHILE)
    if function != 0:
        call_address(function, i64_at(board + ARGUMENT, 0), 0, slot)
        pause()
    return function != 0


def serve(board: int, slot: int, _: int) -> None:
    """Help with phase after phase; back to quit, or to sleep where compiled code cannot."""
    system, asleep = i64_at(board + SYSTEM, 0), board + ASLEEP + WORD * slot
    set_float_mode(IEEE)
    while atomic_get(board + QUIT) == 0:
        look_out(board, slot)
        atomic_put(asleep, 1)  # from here on whoever opens a phase wakes us
        if is_wanted(board, slot):
            atomic_put(asleep, 0)
            continue
        if system_at(system).complete == 0:
            return
        while atomic_get(asleep) != 0 and atomic_get(board + QUIT) == 0:
            sleep_while(system, asleep, 1)


def is_wanted(board: int, slot: int) -> Any:
    """Whether a phase is open that has work for this helper."""
    return (
        atomic_get(board + OPEN) != 0
        and slot < atomic_get(board + LIMIT)
        and (atomic_get(board + NEXT) < atomic_get(board + ITEMS) or atomic_get(board + MEANWHILE) != 0)
    )


def look_out(board: int, slot: int) -> None:
    """Look for phases and help, until none has come for a while."""
    system, busy, called = i64_at(board + SYSTEM, 0), board + BUSY + WORD * slot, board + CALLED + WORD * slot
    clock, shy = board + CLOCK + WORD * slot, board + SHY + WORD * slot
    turns, idle, seen = 0, 0, 0
    while idle < PATIENCE and atomic_get(board + QUIT) == 0:
        if is_wanted(board, slot):
            atomic_put(busy, AT_WORK)  # from here on the caller waits for us before it leaves
            if is_wanted(board, slot):
                take_items(board, slot)
                atomic_put(busy, IDLE)
                while atomic_get(called) == 0 and do_meanwhile(board, slot):
                    turns += 1
                    if turns % 256 == 0:
                        give_way(system)
                idle, seen = 0, 0
            atomic_put(busy, AWAY)
            if atomic_get(called) != 0:
                wake(system, busy)
                while atomic_get(called) != 0:
                    sleep_while(system, called, 1)
        if i64_at(shy, 0) > 0 and atomic_get(board + TAKEN) == 0:
            put_i64(shy, 0, i64_at(shy, 0) - 1)
            return
        wait(system, turns)
        turns += 1
        idle += 1
        if system_at(system).complete == 0:
            idle = 0 if atomic_get(board + TAKEN) != 0 else idle  # nobody would wake it in the middle of a call
        elif turns % GLANCE == 0:
            now = wall_time(system, clock)
            if seen != 0 and now - seen > LOST:
                put_i64(shy, 0, CALM)
            seen = now


def rouse(board: int, slot: int, _: int) -> None:
    """Wake a helper that sleeps in compiled code, on another core than this one."""
    system, asleep = i64_at(board + SYSTEM, 0), board + ASLEEP + WORD * slot
    atomic_put(asleep, 0)
    send_away(system, i64_at(board + THREAD + WORD * slot, 0), this_core(system))
    wake(system, asleep)


def give_core(board: int, slot: int) -> None:
    """Let a helper finish on this core; this thread goes to another for what may be done meanwhile, or sleeps."""
    system, thread = i64_at(board + SYSTEM, 0), i64_at(board + THREAD + WORD * slot, 0)
    given = this_core(system)
    busy, called = board + BUSY + WORD * slot, board + CALLED + WORD * slot
    atomic_put(called, 1)
    bring_to(system, thread, given)
    if atomic_get(board + MEANWHILE) != 0:
        step_aside(system, given)
    state = atomic_get(busy)
    while state != AWAY:
        if this_core(system) == given or not do_meanwhile(board, 0):
            sleep_while(system, busy, state)
        state = atomic_get(busy)
    send_away(system, thread, this_core(system))
    atomic_put(called, 0)
    wake(system, called)
    fetch_add(board + GIFTS, 1)


def await_helper(board: int, slot: int, state: int) -> None:
    """Until a helper is no further than that."""
    system, had, turns = i64_at(board + SYSTEM, 0), -1, 0
    while atomic_get(board + BUSY + WORD * slot) > state:
        wait(system, turns)
        turns += 1
        if turns % GLANCE == 0:
            if system_at(system).complete != 0:
                now = core_time(system, board + CLOCK, i64_at(board + THREAD + WORD * slot, 0))
                if now > 0 and now == had:
                    give_core(board, slot)
                had = now
            do_meanwhile(board, 0)


def share_out(board: int, threads: int, function: int, frame: int, items: int, meanwhile: int) -> None:
    """One phase by the caller and its helpers."""
    atomic_put(board + FUNCTION, function)
    atomic_put(board + ARGUMENT, frame)
    atomic_put(board + ITEMS, items)
    atomic_put(board + MEANWHILE, meanwhile)
    atomic_put(board + NEXT, 0)
    atomic_put(board + LIMIT, threads)  # the last: a helper that still thinks the board open may come in from here on
    atomic_put(board + OPEN, 1)
    if system_at(i64_at(board + SYSTEM, 0)).complete != 0:
        for slot in range(1, min(threads, max(items, 2))):
            if atomic_get(board + ASLEEP + WORD * slot) != 0:
                call_address(i64_at(board + ROUSE, 0), board, slot, 0)
    take_items(board, 0)
    atomic_put(board + OPEN, 0)
    for slot in range(1, threads):
        await_helper(board, slot, IDLE)
    atomic_put(board + MEANWHILE, 0)
    for slot in range(1, threads):
        await_helper(board, slot, AWAY)


def all_done(words: int, items: int) -> Any:
    """Whether a word for each item, if there are such, says that it was taken: by a helper that is away since."""
    done = 0
    while words != 0 and done < items and atomic_get(words + done * 8) != 0:
        done += 1
    return done == items


def conduct(frame: int, board: int, threads: int) -> None:
    """The frame's phases in turn; by this thread alone where board is 0, or another caller has the board."""
    f, alone, mode = open_frame_at(frame), 1, float_mode()
    set_float_mode(IEEE)
    if board != 0:
        alone = fetch_add(board + TAKEN, 1)
        if alone != 0:
            fetch_add(board + TAKEN, -1)
    f.round, phase = 0, 0
    for word in range(f.progress):
        put_i64(f.turned_pieces, word, 0)
    while phase < f.phases:
        function, items = i64_at(f.phase_function, phase), i64_at(f.phase_items, phase)
        meanwhile, words = i64_at(f.phase_meanwhile, phase), i64_at(f.phase_words, phase)
        if alone != 0 or (items == 1 and meanwhile == 0):
            for item in range(items):
                call_address(function, frame, item, 0)
        elif not all_done(words, items):
            share_out(board, threads, function, frame, items, meanwhile)
        phase += 1
        if phase == f.again_to and f.round + 1 < f.rounds:
            f.round = f.round + 1
            phase = f.again_from
    if alone == 0:
        fetch_add(board + TAKEN, -1)
    set_float_mode(mode)


# ---- Python -------------------------------------------------------------------------------------------------

Native = Callable[[int, int, int], None]


def native(address: int) -> Native:
    """A compiled function of three integers as Python calls it: without the GIL."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)


class Pool:
    """Helpers of one process, by the addresses of `serve` and `rouse`."""

    def __init__(self, serve: int, rouse: int) -> None:
        self._serve, self._rouse = native(serve), native(rouse)
        self._hiring, self._most = lock(), HELPERS
        self._helpers: list[tuple[threading.Thread, threading.Lock]] = []  # and where it sleeps if compiled code cannot
        self._system = System()
        self._memory = np.zeros(END // 8 + WORD // 8, np.int64)
        self._board = -(-self._memory.ctypes.data // WORD) * WORD
        self._words: Any = self._memory[(self._board - self._memory.ctypes.data) // 8 :][:: WORD // 8].data
        self._words[SYSTEM // WORD], self._words[ROUSE // WORD] = self._system.address, rouse

    def board(self, threads: int) -> int:
        """The board, with helpers for so many threads, or as many as the system gives."""
        if len(self._helpers) < min(threads - 1, self._most):
            self._hire(threads - 1)
        if not self._system.complete:
            self._wake(threads - 1)
        return self._board

    def _hire(self, helpers: int) -> None:
        with self._hiring:
            while len(self._helpers) < min(helpers, self._most):
                k, bed = len(self._helpers), lock()
                bed.acquire()
                thread = threading.Thread(target=self._live, args=(k, bed), name=f"flowgrad-{k + 1}", daemon=True)
                self._helpers.append((thread, bed))  # before it starts: two of one number would share a slot
                try:
                    thread.start()
                except RuntimeError:  # the system has no more, or the process ends: those that are there will do
                    self._most = k
                    del self._helpers[k]

    def _live(self, k: int, bed: threading.Lock) -> None:
        ask_for_short_slices()
        self._words[THREAD // WORD + k + 1] = threading.get_native_id()
        self._words[SHY // WORD + k + 1] = CALM if self._system.complete else 0
        while not self._words[QUIT // WORD]:
            self._serve(self._board, k + 1, 0)
            bed.acquire()
            self._words[ASLEEP // WORD + k + 1] = 0

    def _wake(self, helpers: int) -> None:
        with self._hiring:
            for k, (_, bed) in enumerate(self._helpers[:helpers]):
                if self._words[ASLEEP // WORD + k + 1] and bed.locked():
                    bed.release()

    def close(self) -> None:
        """Send the helpers home; called when the process ends, so that none runs code that is being freed."""
        self._words[QUIT // WORD] = 1
        for k, (thread, bed) in enumerate(self._helpers):
            if self._system.complete and self._words[ASLEEP // WORD + k + 1] and thread.is_alive():
                self._rouse(self._board, k + 1, 0)
            if bed.locked():
                bed.release()
            if thread.ident is not None:
                thread.join(timeout=1.0)


_made: Pool | None = None
_making = lock()


def pool(addresses: Callable[[], tuple[int, int]]) -> Pool:
    """This process's pool; `addresses` gives those of `serve` and `rouse`."""
    global _made
    if _made is None:
        with _making:
            if _made is None:
                _made = Pool(*addresses())
                atexit.register(_made.close)
    return _made


def _forget_parent() -> None:
    """In a forked child, where no thread came along."""
    global _made
    if _made is not None:
        atexit.unregister(_made.close)
    _made = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
