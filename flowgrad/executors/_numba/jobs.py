"""Jobs: work of a call that its caller does in machine code, with every helper that is looking for some.

A caller posts its job in a free line of the board, works as slot 0, closes the line and waits for those who came.
A helper that attends looks at the board for `PATIENCE` seconds after its last job; only then does it sleep, in
`threads`, whence it takes as long to come as a step on 10,000 edges takes. Nothing of this needs the GIL or a lock. A
line's state is 0 where it is free, 1 + the seats that are left while its job is posted, and negative once it is closed:
one atomic word says who may still come. Whoever takes a seat is waited for, and nobody else ever looks at the job.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache, partial
from time import perf_counter
from typing import Any

import numpy as np
from numba.core import config, types

from flowgrad.executors._numba import threads
from flowgrad.executors._numba.compiled import address, entry, kernel
from flowgrad.executors._numba.memory import (
    LINE,
    atomic_get,
    call_address,
    fetch_add,
    pause,
    record_at,
    swap,
)
from flowgrad.executors._numba.parameters import wait_until
from flowgrad.executors._numba.records import JOB, record
from flowgrad.executors._numba.spec import Spec

LINES = 8
"""Jobs that may be posted at once; a caller that finds no free line works alone."""
CLOSED = 1 << 32
"""What is taken from the state of a line that is closed."""
PATIENCE = 250e-6
"""Seconds: more than lies between two calls of a training."""
TRIAL = 10 * PATIENCE
"""Seconds until helpers are woken again that were, and have not come: the machine may be busy."""
LOOKS = 1000
"""Looks whose time is measured."""
I = types.int64

_ended = _woken = 0.0
"""When the last such call ended, and helpers were woken after one."""

job_at: Any = record_at(JOB)
line_at: Any = record_at(record("state left job"))
LEFT = 8
"""Where `left` stands in a line: how many have left the job."""


@kernel
def together(spec: Any, board: int, job: int) -> None:
    """Run a job's `body` here and on helpers that attend, and say how many came; returns when all have left."""
    j, place = job_at(job), 0
    for k in range(LINES if j.slots > 1 else 0):
        if swap(board + k * LINE, 0, 1) != 0:
            place = board + k * LINE
            break
    if place == 0:
        call_address(j.body, job, 0)
        return
    line_at(place).job = job
    fetch_add(place, j.slots - 1)
    call_address(j.body, job, 0)
    seats = fetch_add(place, -CLOSED) - 1
    j.came = j.slots - 1 - seats
    wait_until(place + LEFT, j.came, board + LINES * LINE)
    line_at(place).left = 0
    fetch_add(place, CLOSED - 1 - seats)


@kernel
def attend(spec: Any, board: int, looks: int) -> None:
    """Take part in whatever job is posted, until there was none for so many looks."""
    more = looks
    while more > 0:
        for k in range(LINES):
            place = board + k * LINE
            state = atomic_get(place)
            if state > 1 and swap(place, state, state - 1) != 0:
                job = line_at(place).job
                call_address(job_at(job).body, job, state - 1)
                fetch_add(place + LEFT, 1)
                more = looks
        pause()
        more -= 1


def board_of(memory: Any) -> int:
    """Where the board in it begins."""
    return -(-int(memory.ctypes.data) // LINE) * LINE


BOARD = np.zeros((LINES + 2) * LINE // 8, np.int64)
"""Free lines, each a cache line, and a word that is always 0."""
ctypes.pythonapi.Py_IncRef(ctypes.py_object(BOARD))  # a helper may look at it while the process ends
if hasattr(os, "register_at_fork"):  # the child has no helper, and no caller but this thread, which is not inside
    os.register_at_fork(after_in_child=partial(BOARD.fill, 0))
SPEC = Spec(np.dtype(np.float64), 1)


class Job:
    """The record of a job, which Python sets by name before it calls."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.record: Any = np.zeros((), dtype)
        self.address = int(self.record.ctypes.data)
        self._words, self._places = (
            self.record.reshape(1).view(np.int64).data,
            {n: k for k, n in enumerate(dtype.names or ())},
        )
        self.set(board=board_of(BOARD), together=address(together, SPEC.type, I, I))

    def set(self, **values: int) -> None:
        """Fields of the record."""
        for name, value in values.items():
            self._words[self._places[name]] = value

    @property
    def came(self) -> int:
        """How many helpers came to the last call."""
        return int(self._words[self._places["came"]])


def wake(helpers: int) -> None:
    """Have so many helpers attend soon, for a call that is longer than they take to come."""
    if helpers > 0 and not config.DISABLE_JIT:
        threads.rouse(helpers, _attend())


def expect(helpers: int, came: int, begin: float) -> None:
    """After a call that was not worth it: wake helpers for the next, where one follows closely upon another.

    Args:
        came: how many have come without being woken.
        begin: when the call began, by `perf_counter`.
    """
    global _ended, _woken
    now = perf_counter()
    if came == 0 and begin - _ended < PATIENCE and now - _woken > TRIAL:
        _woken = now
        wake(helpers)
    _ended = now


@cache
def _attend() -> Callable[[], object]:
    """What a helper does once it is awake."""
    run, nothing, times = entry(attend, SPEC.type, I, I), np.zeros_like(BOARD), []
    for _ in range(5):
        begin = perf_counter()
        run(SPEC, board_of(nothing), LOOKS)
        times.append(perf_counter() - begin)
    return partial(run, SPEC, board_of(BOARD), max(int(LOOKS * PATIENCE / min(times)), 1))
