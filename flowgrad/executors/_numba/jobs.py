"""Jobs: sharing the work of one call between the calling thread and helper threads, in machine code.

A caller publishes its job in a free entry of a table, runs the job's kernel in slot 0, closes the entry, and waits for
the helpers that joined. A helper polls the table until `POLLING` seconds after its last job, and then sleeps
(`threads`); the table counts those that poll, and a caller wakes helpers if there are fewer than it can use. Neither
side needs the GIL or a lock.

The state of an entry is one atomic word: 0 if the entry is free, 1 + the number of unassigned slots while its job is
published, negative once it is closed. A helper joins by decrementing it, which assigns the slot. Invariants: a slot is
assigned at most once a call; a helper reads a job only after it has joined; the caller returns only after every helper
that joined has finished, so a job's memory may be freed then.
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
from flowgrad.executors._numba.memory import LINE, atomic_get, call_address, fetch_add, pause, record_at, swap
from flowgrad.executors._numba.phases import wait_until
from flowgrad.executors._numba.records import JOB, record
from flowgrad.executors._numba.spec import Spec

ENTRIES = 8
"""Number of jobs that can be published at once; a caller that finds no free entry works alone."""
CLOSED = 1 << 32
"""Subtracted from the state of an entry to close it."""
POLLING = 250e-6
"""Seconds that a helper polls after its last job: longer than the time between two steps of a training."""
START, PERIODS, TRIALS = 16, (1024, 128), 4
"""Of `Pace`: first calls, which are shared; number of calls after which trials of shared calls, of others come again,
and number of these. A shared call may take a time slice of the system longer."""
WEIGHT, TRIAL_WEIGHT, OUTLIER = 1 / 16, 1 / 4, 16.0
"""Of `Pace`: weight of a call in a mean, and of a trial; multiple of the mean that a duration counts at most."""
CALIBRATION = 1000
"""Number of polls whose duration is measured."""
I = types.int64

job_at: Any = record_at(JOB)
entry_at: Any = record_at(record("state finished job slots"))
FINISHED = 8
"""Offset of `finished` in an entry, in bytes: how many helpers have finished the job."""
STOP, COUNT = ENTRIES * LINE, ENTRIES * LINE + 8
"""Offsets in the table, in bytes, of a word that stays 0 and of the number of helpers that poll."""


@kernel
def run_shared(spec: Any, table: int, job: int) -> None:
    """Run the `body` of a job on this thread and on the helpers that join; set its `joined` to their number."""
    j, place = job_at(job), 0
    for k in range(ENTRIES if j.slots > 1 else 0):
        if swap(table + k * LINE, 0, 1) != 0:
            place = table + k * LINE
            break
    if place == 0:
        j.joined = 0
        call_address(j.body, job, 0)
        return
    entry_at(place).job, entry_at(place).slots = job, j.slots
    fetch_add(place, j.slots - 1)
    call_address(j.body, job, 0)
    unassigned = fetch_add(place, -CLOSED) - 1
    j.joined = j.slots - 1 - unassigned
    wait_until(place + FINISHED, j.joined, table + STOP)
    entry_at(place).finished = 0
    fetch_add(place, CLOSED - 1 - unassigned)


@kernel
def poll(spec: Any, table: int, polls: int, helper: int) -> None:
    """Join every published job that has an unassigned slot; return after this many polls without one.

    Helper k = 1, 2, … joins jobs of more than k slots only: of many helpers that a large call has woken, as many go on
    polling as later calls have use for.
    """
    left = polls
    fetch_add(table + COUNT, 1)
    while left > 0:
        for k in range(ENTRIES):
            place = table + k * LINE
            state = atomic_get(place)
            if state > 1 and entry_at(place).slots > helper and swap(place, state, state - 1) != 0:
                job = entry_at(place).job
                call_address(job_at(job).body, job, state - 1)
                fetch_add(place + FINISHED, 1)
                left = polls
        pause()
        left -= 1
    fetch_add(table + COUNT, -1)


def table_in(memory: Any) -> int:
    """Return the address of the first cache line in an array."""
    return -(-int(memory.ctypes.data) // LINE) * LINE


TABLE = np.zeros((ENTRIES + 2) * LINE // 8, np.int64)
"""The entries, a cache line each, and the words at STOP and COUNT, aligned by `table_in`."""
ctypes.pythonapi.Py_IncRef(ctypes.py_object(TABLE))  # never freed: a helper may be polling when the process ends
if hasattr(os, "register_at_fork"):  # a forked child has no helpers, and its one thread is in no call
    os.register_at_fork(after_in_child=partial(TABLE.fill, 0))
_count = TABLE.data[(table_in(TABLE) + COUNT - TABLE.ctypes.data) // 8 :]
"""A view of the number of helpers that poll."""
SPEC = Spec(np.dtype(np.float64), 1)
"""Passed to kernels that depend on no dtype."""


class Job:
    """A record of dtype `JOB`, or of one that begins with its fields, which Python sets by name.

    `body` and `slots` must be set before a call.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.record: Any = np.zeros((), dtype)
        self.address = int(self.record.ctypes.data)
        self._words = self.record.reshape(1).view(np.int64).data
        self._places = {name: k for k, name in enumerate(dtype.names or ())}
        self.set(table=table_in(TABLE), run_shared=address(run_shared, SPEC.type, I, I))

    def set(self, **values: int) -> None:
        """Set fields of the record."""
        for name, value in values.items():
            self._words[self._places[name]] = value

    @property
    def joined(self) -> int:
        """Number of helpers that joined the last call."""
        return int(self._words[self._places["joined"]])


class Pace:
    """Chooses how many slots a call has, by whether sharing its work has paid for calls like it.

    A helper that loses its core to another thread or process holds up the caller: then calls on one thread are faster.
    The means of both durations are compared; of `PERIODS` calls the last `TRIALS` are of the kind that seems slower:
    several, as a helper has to wake first.
    """

    def __init__(self) -> None:
        self.calls, self.alone, self.shared = 0, 0.0, 0.0

    def slots(self, slots: int) -> int:
        """Return `slots`, or 1 for a call on its caller's thread alone."""
        self.calls += 1
        return slots if self._pays() != self._tries() else 1

    def took(self, seconds: float, joined: int) -> None:
        """Record the duration of a call, unless it was the first, and the number of helpers that joined it."""
        if self.calls > 1 and joined:
            self.shared = self._moved(self.shared, seconds)
        elif self.calls > 1:
            self.alone = self._moved(self.alone, seconds)

    def _pays(self) -> bool:
        """Return whether shared calls are faster; the first ones are taken to be."""
        return self.calls < START or self.shared <= self.alone

    def _tries(self) -> bool:
        """Return whether this call is of the kind that seems slower."""
        period = PERIODS[self._pays()]
        return self.calls % period >= period - TRIALS

    def _moved(self, mean: float, value: float) -> float:
        """Return a moving mean after a further value; first calls and trials count more, outliers in part."""
        weight = TRIAL_WEIGHT if self.calls < START or self._tries() else WEIGHT
        return mean + (min(value, OUTLIER * mean) - mean) * weight if mean else value


def wake(helpers: int) -> None:
    """Make this many helpers poll soon, unless as many poll; for a call that lasts longer than waking them takes."""
    if helpers > _count[0] and not config.DISABLE_JIT:
        threads.wake(helpers, _polling())


@cache
def _polling() -> Callable[[int], object]:
    """Return a function of a helper's number that polls for `POLLING` seconds; measures how long a poll takes."""
    run, empty, times = entry(poll, SPEC.type, I, I, I), np.zeros_like(TABLE), []
    for _ in range(5):
        begin = perf_counter()
        run(SPEC, table_in(empty), CALIBRATION, 1)
        times.append(perf_counter() - begin)
    return partial(run, SPEC, table_in(TABLE), max(int(CALIBRATION * POLLING / min(times)), 1))
