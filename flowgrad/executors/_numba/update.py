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
from flowgrad.executors._numba.compiled import entry, inline, kernel
from flowgrad.executors._numba.memory import fetch_add, put_f64
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

assert primitives
BLOCK = 1 << 14
"""Slots that a thread takes at a time, and that are summed together."""
ALONE = 1 << 17
"""Slots below which a pass wakes no other thread."""
I = types.int64
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


@block(lambda x, k: x.real if isinstance(x, Vector) else None, lambda b, r, k, v: b.extract_element(v[0], v[1]))
def lane_of(x: Any, k: int) -> Any:
    """Number k of a row."""
    return x[k]


@inline
def added(spec: Any, x: Any) -> float:
    """The lanes' sum in float64, in order."""
    total = 0.0
    for lane in range(lanes_of(spec)):
        total += np.float64(lane_of(x, lane))
    return total


# ---- passes -------------------------------------------------------------------------------------------------


@kernel
def advance(
    spec: Any, words: int, slots: int, p: int, g: int, out: int, rows: int, step: int, c: int, sums: int
) -> None:
    """Move all slots, a block at a time; 0 into `sums` of a block whose gradients are finite, else NaN."""
    blocks = (slots + BLOCK - 1) // BLOCK
    item = fetch_add(words, 1)
    while item < blocks:
        bad = splat(spec, 0.0)
        for k in range(item * BLOCK, min((item + 1) * BLOCK, slots), lanes_of(spec)):
            j = k * bytes_of(spec)
            bad = bad + moved(spec, p + j, g + j, out + j, rows + j, step, c)
        put_f64(sums, item, added(spec, bad))
        fetch_add(words + DONE, 1)
        item = fetch_add(words, 1)
    wait_until(words + DONE, blocks, words + 2 * DONE)


@kernel
def square(spec: Any, words: int, slots: int, p: int, g: int, rows: int, step: int, sums: int) -> None:
    """Add the penalties' gradients to all slots'; the sum of the squares of each block goes into `sums`."""
    blocks = (slots + BLOCK - 1) // BLOCK
    item = fetch_add(words, 1)
    while item < blocks:
        total = wide(spec, splat(spec, 0.0))
        for k in range(item * BLOCK, min((item + 1) * BLOCK, slots), lanes_of(spec)):
            j = k * bytes_of(spec)
            total = total + squared(spec, p + j, g + j, rows + j, step)
        put_f64(sums, item, added(spec, total))
        fetch_add(words + DONE, 1)
        item = fetch_add(words, 1)
    wait_until(words + DONE, blocks, words + 2 * DONE)


class Updater:
    """`Updates` of the protocol, on so many threads. Arrays are as long as whole rows, see `Updates.room`."""

    def __init__(self, dtype: np.dtype[Any], threads: int) -> None:
        self.dtype, self.threads, self.lanes = dtype, threads, WIDE // dtype.itemsize

    def room(self, slots: int) -> int:
        return -(-slots // self.lanes) * self.lanes

    def advance(
        self, update: Update, theta: Array, g: Array, out: Array, rows: Array, constants: tuple[float, ...]
    ) -> bool:
        c = np.array(constants, np.float64)
        operands = (theta.ctypes.data, g.ctypes.data, out.ctypes.data, *_rows(rows), c.ctypes.data)
        return float(self._pass(advance, update, len(theta), operands)) == 0.0

    def square(self, update: Update, theta: Array, g: Array, rows: Array) -> float:
        return self._pass(square, update, len(theta), (theta.ctypes.data, g.ctypes.data, *_rows(rows)))

    def _pass(self, what: Any, update: Update, slots: int, operands: tuple[int, ...]) -> float:
        """Run a pass; gives the sum of what it sums."""
        run, spec = _entry(what, update, self.dtype.char, len(operands))
        words, sums = np.zeros(3, np.int64), np.zeros(-(-slots // BLOCK))
        at, to = words.ctypes.data, sums.ctypes.data

        def work(_: int) -> None:
            run(spec, at, slots, *operands, to)

        def stop() -> None:
            words[2] = 1

        threads.run(work, self.threads if slots >= ALONE else 1, False, stop)
        return float(sum(sums.tolist()))


def _rows(rows: Array) -> tuple[int, int]:
    return (rows.ctypes.data, rows.strides[0]) if len(rows) else (0, 0)


@cache
def _entry(what: Any, update: Update, char: str, operands: int) -> tuple[Any, Spec]:
    spec = Spec(np.dtype(char), WIDE // np.dtype(char).itemsize, update=update)
    return entry(what, spec.type, *[I] * (operands + 3)), spec
