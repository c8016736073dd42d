"""Updates of θ as kernels: the formulas of `flowgrad.maths.updates`, written down over rows of slots."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from flowgrad.executor import Array
from flowgrad.executors._numba import (
    primitives,  # what NumPy's functions are for rows
    threads,
)
from flowgrad.executors._numba.across import lanes_at
from flowgrad.executors._numba.compiled import entry, inline, kernel
from flowgrad.executors._numba.memory import data_of, fetch_add, put_f64
from flowgrad.executors._numba.parameters import DONE, wait_until
from flowgrad.executors._numba.records import WIDE
from flowgrad.executors._numba.rows import Row, wide, widened
from flowgrad.executors._numba.simd import (
    block,
    bytes_of,
    lanes_of,
    load,
    memory_at,
    pointer,
    splat,
    splatted,
    store,
)
from flowgrad.executors._numba.spec import ELEMENTS, Spec, Vector
from flowgrad.maths.updates import Update

assert primitives  # loaded: rows know NumPy's functions by it
BLOCK = 1 << 14
"""Slots that a thread takes at a time, and that are summed together."""
ALONE = 1 << 17
"""Slots below which a pass wakes no other thread."""
_I64 = ir.IntType(64)


# ---- rows of slots ------------------------------------------------------------------------------------------


def _row_at(builder: Any, row: Any, address: Any) -> Row:
    return Row(builder, row, builder.load(pointer(builder, address), align=row.real.bitwidth // 8, typ=row.ir))


def _place(builder: Any, address: Any, k: int, step: Any) -> Any:
    return builder.add(address, builder.mul(step, ir.Constant(_I64, k)))


def _put(builder: Any, address: Any, x: Row) -> None:
    builder.store(x.value, pointer(builder, address), align=x.kind.real.bitwidth // 8)


def _emit_moved(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    update: Update = dict(kinds[0].functions)["update"]
    p, g, out, rows, step, constants = values[1:]

    def number(k: int) -> Row:
        place = pointer(builder, _place(builder, constants, k, ir.Constant(_I64, 8)))
        x = builder.load(place, align=8, typ=ir.DoubleType())
        x = x if row.real == types.float64 else builder.fptrunc(x, ELEMENTS[row.real])
        return Row(builder, row, splatted(builder, x, row.ir))

    places = [_place(builder, rows, k, step) for k in range(update.rows)]
    given, others = _row_at(builder, row, g), [_row_at(builder, row, place) for place in places]
    theta, states = update(_row_at(builder, row, p), given, [number(k) for k in range(update.constants)], others)
    for place, x in ((out, theta), *zip(places, states, strict=False)):
        _put(builder, place, x)
    return (given - given).value  # type: ignore[operator]


@block(lambda spec, p, g, out, rows, step, constants: spec.row, _emit_moved)
def moved(spec: Spec, p: int, g: int, out: int, rows: int, step: int, constants: int) -> Any:
    """Move a row of slots, from θ at p to θ at out, states in place; gives g − g, which is 0 of what is finite."""
    update: Update = spec.update
    c = [spec.dtype.type(x) for x in memory_at(constants, np.float64, update.constants)]
    given, places = load(spec, g), [rows + k * step for k in range(update.rows)]
    with np.errstate(all="ignore"):
        theta, states = update(load(spec, p), given, c, [load(spec, place) for place in places])
        for place, x in ((out, theta), *zip(places, states, strict=False)):
            store(place, x)
        return given - given


def _emit_squared(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    update: Update = dict(kinds[0].functions)["update"]
    p, g, rows, step = values[1:]
    own = kinds[0].row
    more = [_row_at(builder, own, _place(builder, rows, k, step)) for k in range(update.l1 + update.l2)]
    x = update.penalized(_row_at(builder, own, p), _row_at(builder, own, g), more)
    _put(builder, g, x)
    x = x if own == row else widened(x)
    return (x * x).value


@block(lambda spec, p, g, rows, step: Vector(types.float64, spec.n), _emit_squared)
def squared(spec: Spec, p: int, g: int, rows: int, step: int) -> Any:
    """The squares, in float64, of a row of gradients, after the penalties' have been added to it."""
    update: Update = spec.update
    more = [load(spec, rows + k * step) for k in range(update.l1 + update.l2)]
    with np.errstate(all="ignore"):
        x = update.penalized(load(spec, p), load(spec, g), more)
        store(g, x)
        return x.astype(np.float64) ** 2


@inline
def added(spec: Any, x: Any) -> float:
    """The lanes' sum in float64, in order."""
    total = 0.0
    for lane in range(lanes_of(spec)):
        total += np.float64(lanes_at(lane, x)[0])
    return total


# ---- passes -------------------------------------------------------------------------------------------------


@kernel
def advance(
    spec: Any, counters: Any, sums: Any, theta: Any, gradient: Any, rows: Any, out: Any, constants: Any
) -> None:
    """Move all slots, a block at a time; 0 into `sums` of a block whose gradients are finite, else NaN."""
    slots, blocks, words, step = len(theta), len(sums), data_of(counters), rows.strides[0]
    p, g, more, to, c = data_of(theta), data_of(gradient), data_of(rows), data_of(out), data_of(constants)
    item = fetch_add(words, 1)
    while item < blocks:
        bad = splat(spec, 0.0)
        for k in range(item * BLOCK, min((item + 1) * BLOCK, slots), lanes_of(spec)):
            j = k * bytes_of(spec)
            bad = bad + moved(spec, p + j, g + j, to + j, more + j, step, c)
        put_f64(data_of(sums), item, added(spec, bad))
        fetch_add(words + DONE, 1)
        item = fetch_add(words, 1)
    wait_until(words + DONE, blocks, words + 2 * DONE)


@kernel
def square(spec: Any, counters: Any, sums: Any, theta: Any, gradient: Any, rows: Any) -> None:
    """Add the penalties' gradients to all slots'; the sum of the squares of each block goes into `sums`."""
    slots, blocks, words, step = len(theta), len(sums), data_of(counters), rows.strides[0]
    p, g, more = data_of(theta), data_of(gradient), data_of(rows)
    item = fetch_add(words, 1)
    while item < blocks:
        total = wide(spec, splat(spec, 0.0))
        for k in range(item * BLOCK, min((item + 1) * BLOCK, slots), lanes_of(spec)):
            j = k * bytes_of(spec)
            total = total + squared(spec, p + j, g + j, more + j, step)
        put_f64(data_of(sums), item, added(spec, total))
        fetch_add(words + DONE, 1)
        item = fetch_add(words, 1)
    wait_until(words + DONE, blocks, words + 2 * DONE)


class Updater:
    """`Updates` of the protocol for one training, on so many threads."""

    def __init__(self, dtype: np.dtype[Any], threads: int) -> None:
        self.dtype, self.threads, self.lanes = dtype, threads, WIDE // dtype.itemsize
        self._counters, self._sums = np.zeros(3, np.int64), np.zeros(0)

    def room(self, slots: int) -> int:
        return -(-slots // self.lanes) * self.lanes

    def advance(
        self, update: Update, theta: Array, g: Array, out: Array, rows: Array, constants: tuple[float, ...]
    ) -> bool:
        return self._pass(advance, update, theta, g, rows, out, np.array(constants, np.float64)) == 0.0

    def square(self, update: Update, theta: Array, g: Array, rows: Array) -> float:
        return self._pass(square, update, theta, g, rows)

    def _pass(self, what: Any, update: Update, theta: Array, *operands: Array) -> float:
        """Run a pass; gives the sum of what it sums."""
        run, spec = _entry(what, update, self.dtype.char)
        blocks = -(-len(theta) // BLOCK)
        if len(self._sums) != blocks:
            self._sums = np.zeros(blocks)
        counters, sums = self._counters, self._sums
        counters.fill(0)
        if len(theta) < ALONE:
            run(spec, counters, sums, theta, *operands)
        else:
            threads.run(lambda _: run(spec, counters, sums, theta, *operands), self.threads, False, self._stop)
        return float(sum(sums.tolist()))

    def _stop(self) -> None:
        self._counters[2] = 1


@cache
def _entry(what: Any, update: Update, char: str) -> tuple[Any, Spec]:
    """A pass for an update and a dtype, and the Spec to call it with."""
    spec = Spec(np.dtype(char), WIDE // np.dtype(char).itemsize, update=update)
    real, wide = types.Array(spec.type.real, 1, "C"), types.Array(types.float64, 1, "C")
    operands = (real, real, types.Array(spec.type.real, 2, "A"), *((real, wide) if what is advance else ()))
    return entry(what, spec.type, types.Array(types.int64, 1, "C"), wide, *operands), spec
