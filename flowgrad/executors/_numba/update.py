"""Updates of θ as kernels: the formulas of `flowgrad.maths.updates`, run over rows of slots."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba.core import types

from flowgrad.executor import Array
from flowgrad.executors._numba import (
    jobs,
    primitives,  # what NumPy's functions are for rows
)
from flowgrad.executors._numba.across import lanes_at
from flowgrad.executors._numba.blocks import symbolic
from flowgrad.executors._numba.compiled import address, entry, inline, kernel
from flowgrad.executors._numba.memory import call_address, data_of, f64_at, fetch_add, put_f64
from flowgrad.executors._numba.parameters import DONE, wait_until
from flowgrad.executors._numba.records import PASS, WIDE, pass_at
from flowgrad.executors._numba.rows import wide
from flowgrad.executors._numba.simd import bytes_of, lanes_of, load, splat, store
from flowgrad.executors._numba.spec import Spec, Vector
from flowgrad.maths.updates import Update

assert primitives  # loaded: rows know NumPy's functions by it
BLOCK = 1 << 14
"""Slots that a thread takes at a time, and that are summed together."""
ALONE = 1 << 17
"""Slots below which a pass wakes no other thread."""


# ---- rows of slots ------------------------------------------------------------------------------------------


def _update(spec: Any) -> Update:
    found: Update = dict(spec.functions)["update"]
    return found


@symbolic(lambda spec, p, g, out, rows, step, constants: spec.row)
def moved(spec: Any, p: int, g: int, out: int, rows: int, step: int, constants: int) -> Any:
    """Move a row of slots, from θ at p to θ at out, states in place; gives g − g, which is 0 of what is finite."""
    update = _update(spec)
    given, places = load(spec, g), [rows + step * k for k in range(update.rows)]
    numbers = [splat(spec, f64_at(constants, k)) for k in range(update.constants)]
    with np.errstate(all="ignore"):
        theta, states = update(load(spec, p), given, numbers, [load(spec, place) for place in places])
        for place, x in ((out, theta), *zip(places, states, strict=False)):
            store(place, x)
        return given - given


@symbolic(lambda spec, p, g, rows, step: Vector(types.float64, spec.n))
def squared(spec: Any, p: int, g: int, rows: int, step: int) -> Any:
    """The squares, in float64, of a row of gradients, after the penalties' have been added to it."""
    update = _update(spec)
    more = [load(spec, rows + step * k) for k in range(update.l1 + update.l2)]
    with np.errstate(all="ignore"):
        x = update.penalized(load(spec, p), load(spec, g), more)
        store(g, x)
        x = wide(spec, x)
        return x * x


@inline
def added(spec: Any, x: Any) -> float:
    """The lanes' sum in float64, in order."""
    total = 0.0
    for lane in range(lanes_of(spec)):
        total += np.float64(lanes_at(lane, x)[0])
    return total


# ---- passes -------------------------------------------------------------------------------------------------


@kernel
def run(spec: Any, job: int, theta: Any, gradient: Any, rows: Any, out: Any, constants: Any) -> None:
    """Run a pass over these arrays, by everyone who comes."""
    c = pass_at(job)
    c.slots_of_theta, c.theta, c.gradient, c.out = len(theta), data_of(theta), data_of(gradient), data_of(out)
    c.rows, c.step, c.constants = data_of(rows), rows.strides[0], data_of(constants)
    call_address(c.together, c.board, job)


@kernel
def advance(spec: Any, job: int, slot: int) -> None:
    """Move all slots of θ, a block at a time; 0 into `sums` of a block whose gradients are finite, else NaN."""
    c = pass_at(job)
    words, blocks = c.counters, c.blocks
    item = fetch_add(words, 1)
    while item < blocks:
        bad = splat(spec, 0.0)
        for k in range(item * BLOCK, min((item + 1) * BLOCK, c.slots_of_theta), lanes_of(spec)):
            j = k * bytes_of(spec)
            bad = bad + moved(spec, c.theta + j, c.gradient + j, c.out + j, c.rows + j, c.step, c.constants)
        put_f64(c.sums, item, added(spec, bad))
        fetch_add(words + DONE, 1)
        item = fetch_add(words, 1)
    wait_until(words + DONE, blocks, words + 2 * DONE)


@kernel
def square(spec: Any, job: int, slot: int) -> None:
    """Add the penalties' gradients to all slots'; the sum of the squares of each block goes into `sums`."""
    c = pass_at(job)
    words, blocks = c.counters, c.blocks
    item = fetch_add(words, 1)
    while item < blocks:
        total = wide(spec, splat(spec, 0.0))
        for k in range(item * BLOCK, min((item + 1) * BLOCK, c.slots_of_theta), lanes_of(spec)):
            j = k * bytes_of(spec)
            total = total + squared(spec, c.theta + j, c.gradient + j, c.rows + j, c.step)
        put_f64(c.sums, item, added(spec, total))
        fetch_add(words + DONE, 1)
        item = fetch_add(words, 1)
    wait_until(words + DONE, blocks, words + 2 * DONE)


class Updater:
    """`Updates` of the protocol for one training, on so many threads."""

    def __init__(self, dtype: np.dtype[Any], threads: int) -> None:
        self.dtype, self.threads, self.lanes = dtype, threads, WIDE // dtype.itemsize
        self._job, self._counters, self._sums = jobs.Job(PASS), np.zeros(3, np.int64), np.zeros(0)
        self._job.set(counters=self._counters.ctypes.data)
        self._passes: dict[Any, tuple[Update, Any, Spec, int]] = {}

    def room(self, slots: int) -> int:
        return -(-slots // self.lanes) * self.lanes

    def advance(
        self, update: Update, theta: Array, g: Array, out: Array, rows: Array, constants: tuple[float, ...]
    ) -> bool:
        return self._pass(advance, update, theta, g, rows, out, np.array(constants, np.float64)) == 0.0

    def square(self, update: Update, theta: Array, g: Array, rows: Array) -> float:
        return self._pass(square, update, theta, g, rows, theta, self._sums)

    def _pass(self, what: Any, update: Update, theta: Array, *operands: Array) -> float:
        """Run a pass; gives the sum of what it sums."""
        last = self._passes.get(what)
        if last is None or last[0] is not update:
            last = self._passes[what] = update, *_compiled(what, update, self.dtype.char)
        _, start, spec, body = last
        blocks = -(-len(theta) // BLOCK)
        if len(self._sums) != blocks:
            self._sums = np.zeros(blocks)
            self._job.set(blocks=blocks, sums=self._sums.ctypes.data)
        slots = self.threads if len(theta) >= ALONE else 1
        self._job.set(body=body, slots=slots)
        self._counters.fill(0)
        jobs.wake(slots - 1)
        start(spec, self._job.address, theta, *operands)
        return float(sum(self._sums.tolist()))


@cache
def _compiled(what: Any, update: Update, char: str) -> tuple[Any, Spec, int]:
    """What Python calls for a pass, the Spec to call it with, and the address of what all threads do."""
    spec = Spec(np.dtype(char), WIDE // np.dtype(char).itemsize, update=update)
    one, two = types.Array(spec.type.real, 1, "C"), types.Array(spec.type.real, 2, "A")
    plain = Spec(spec.dtype, 1).type  # which `run` does not look at: one for all updates
    start = entry(run, plain, types.int64, one, one, two, one, types.Array(types.float64, 1, "C"))
    return start, spec, address(what, spec.type, types.int64, types.int64)
