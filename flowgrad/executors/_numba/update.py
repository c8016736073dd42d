"""Update θ by kernels: the formulas of `flowgrad.maths.updates`, evaluated over rows of parameters."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba.core import types

from flowgrad.executor import Array
from flowgrad.executors._numba import jobs, primitives
from flowgrad.executors._numba.across import total
from flowgrad.executors._numba.blocks import symbolic
from flowgrad.executors._numba.compiled import address, entry, kernel
from flowgrad.executors._numba.memory import call_address, data_of, f64_at, fetch_add, put_f64
from flowgrad.executors._numba.records import PASS, WIDE, pass_at
from flowgrad.executors._numba.rows import wide
from flowgrad.executors._numba.simd import bytes_of, lanes_of, load, splat, store
from flowgrad.executors._numba.spec import Spec, Vector
from flowgrad.maths.updates import Update

assert primitives  # its import defines NumPy's functions for rows
BLOCK = 1 << 14
"""Number of parameters in a work item; each item has one partial sum."""
ALONE = 1 << 17
"""Number of parameters below which a pass runs on one thread."""


# ---- rows of parameters ------------------------------------------------------------------------------------------


def _update(spec: Any) -> Update:
    found: Update = dict(spec.functions)["update"]
    return found


@symbolic(lambda spec, p, g, out, rows, step, constants: spec.row)
def moved(spec: Any, p: int, g: int, out: int, rows: int, step: int, constants: int) -> Any:
    """Update a row of θ from address p to address out, its states in place; return g − g: 0 where g is finite."""
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
    """Add the penalties' gradients to a row of gradients; return its squares in float64."""
    update = _update(spec)
    more = [load(spec, rows + step * k) for k in range(update.l1 + update.l2)]
    with np.errstate(all="ignore"):
        x = update.penalized(load(spec, p), load(spec, g), more)
        store(g, x)
        x = wide(spec, x)
        return x * x


# ---- passes -------------------------------------------------------------------------------------------------


@kernel
def run(spec: Any, job: int, theta: Any, gradient: Any, rows: Any, out: Any, constants: Any) -> None:
    """Run a pass over these arrays: write them into the record of the job, and run it."""
    c = pass_at(job)
    c.length, c.theta, c.gradient, c.out = len(theta), data_of(theta), data_of(gradient), data_of(out)
    c.rows, c.step, c.constants = data_of(rows), rows.strides[0], data_of(constants)
    call_address(c.run_shared, c.table, job)


@kernel
def advance(spec: Any, job: int, slot: int) -> None:
    """Update θ block by block; the sum of a block is 0 if its gradients are finite, else NaN."""
    c = pass_at(job)
    item = fetch_add(c.taken, 1)
    while item < c.blocks:
        bad = splat(spec, 0.0)
        for k in range(item * BLOCK, min((item + 1) * BLOCK, c.length), lanes_of(spec)):
            j = k * bytes_of(spec)
            bad = bad + moved(spec, c.theta + j, c.gradient + j, c.out + j, c.rows + j, c.step, c.constants)
        put_f64(c.sums, item, np.float64(total(bad)))
        item = fetch_add(c.taken, 1)


@kernel
def square(spec: Any, job: int, slot: int) -> None:
    """Add the penalties' gradients to the gradient; the sum of a block is that of its squares."""
    c = pass_at(job)
    item = fetch_add(c.taken, 1)
    while item < c.blocks:
        squares = wide(spec, splat(spec, 0.0))
        for k in range(item * BLOCK, min((item + 1) * BLOCK, c.length), lanes_of(spec)):
            j = k * bytes_of(spec)
            squares = squares + squared(spec, c.theta + j, c.gradient + j, c.rows + j, c.step)
        put_f64(c.sums, item, total(squares))
        item = fetch_add(c.taken, 1)


class Updater:
    """`Updates` of the protocol for one training."""

    def __init__(self, dtype: np.dtype[Any], threads: int) -> None:
        self.dtype, self.threads, self.lanes = dtype, threads, WIDE // dtype.itemsize
        self._job, self._taken, self._sums = jobs.Job(PASS), np.zeros(1, np.int64), np.zeros(0)
        self._job.set(taken=self._taken.ctypes.data)
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
        """Run a pass; return the total of its sums."""
        last = self._passes.get(what)
        if last is None or last[0] is not update:
            last = self._passes[what] = update, *_compiled(what, update, self.dtype.char)
        _, start, spec, body = last
        blocks = -(-len(theta) // BLOCK)
        if len(self._sums) != blocks:
            sums = np.zeros(blocks)
            self._job.set(blocks=blocks, sums=sums.ctypes.data)
            self._sums = sums  # last: after an interrupt the next pass sets both again
        slots = self.threads if len(theta) >= ALONE else 1
        self._job.set(body=body, slots=slots)
        self._taken[0] = 0
        jobs.wake(slots - 1)
        start(spec, self._job.address, theta, *operands)
        return float(sum(self._sums.tolist()))


@cache
def _compiled(what: Any, update: Update, char: str) -> tuple[Any, Spec, int]:
    """Return the entry for a pass, its Spec, and the address of its body."""
    spec = Spec(np.dtype(char), WIDE // np.dtype(char).itemsize, update=update)
    one, two = types.Array(spec.type.real, 1, "C"), types.Array(spec.type.real, 2, "A")
    plain = Spec(spec.dtype, 1).type  # `run` depends on no update: compiled once
    start = entry(run, plain, types.int64, one, one, two, one, types.Array(types.float64, 1, "C"))
    return start, spec, address(what, spec.type, types.int64, types.int64)
