"""The GEMM kernel of dense blocks: rows of lanes accumulate scaled rows, a register-blocked panel at a time.

    C_r += Σ_k s_rk · B_k          r = 0 … rows − 1,  k = 0 … terms − 1

It computes all three products of a dense block: z from a, ∂L/∂a from ∂L/∂z, and ∂L/∂w from both. A row of B is loaded
once for a panel of rows of C, which stay in registers; sums are accumulated in the order of k. Strides are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from flowgrad.executors._numba.blocks import I32, I64, block, call, splatted
from flowgrad.executors._numba.compiled import inline
from flowgrad.executors._numba.machine import register_lanes, registers
from flowgrad.executors._numba.memory import i32_at
from flowgrad.executors._numba.simd import load, name_of, pointer, real_at, splat, store

LONGEST = 12
"""Most rows of C in a panel: at two registers each they take 24 of 32, and leave room for a row of B and a weight."""
PANELS = 5
"""Most panels of LONGEST neurons in one dense run; a block with more neurons is cut into several runs."""
FEW = 4
"""Rows of C in the smaller panels for the rows that are left after the large ones; then rows are taken singly."""


def rows_at_once(lanes: int, size: int) -> int:
    """Return the rows of C that fit in registers beside a row of B and three more registers; size: bytes of a real."""
    wide = max(lanes // register_lanes(size), 1)
    return max(min((registers() - 3 - wide) // wide, LONGEST), 1)


@block(lambda spec: types.int64, lambda b, r, k, v: ir.Constant(I64, rows_at_once(k[0].n, k[0].real.bitwidth // 8)))
def most_rows(spec: Any) -> int:
    """Return `rows_at_once` for rows of the Spec's lanes and dtype, as a constant of the kernel."""
    return rows_at_once(spec.n, spec.dtype.itemsize)


def panel(count: Callable[[Any], int]) -> Callable[..., None]:
    """Make the block for a panel of count(type of the Spec) rows of C."""

    def emit(builder: Any, _: Any, kinds: Any, values: Any) -> None:
        _emit_panel(builder, kinds[0].row, count(kinds[0]), *values[1:])

    @block(lambda spec, *integers: types.none, emit)
    def grow(
        spec: Any, c: int, ci: int, cs: int, b: int, bi: int, bs: int, s: int, sr: int, sk: int, terms: int, new: int
    ) -> None:
        """Accumulate C_r at c + ci[r]·cs, from 0 if new; B_k at b + bi[k]·bs, s_rk at s + r·sr + k·sk; int32 ci, bi."""
        for r in range(count(spec.type)):
            row = c + i32_at(ci, r) * cs
            total = splat(spec, 0.0) if new else load(spec, row)
            for k in range(terms):
                w = splat(spec, real_at(spec, s + r * sr + k * sk, 0))
                total = w * load(spec, b + i32_at(bi, k) * bs) + total
            store(row, total)

    return grow


def _emit_panel(
    build: Any,
    row: Any,
    n: int,
    c: Any,
    ci: Any,
    cs: Any,
    b: Any,
    bi: Any,
    bs: Any,
    s: Any,
    sr: Any,
    sk: Any,
    terms: Any,
    new: Any,
) -> None:
    """Emit a loop over k that holds the rows of C in registers, as phi nodes."""
    kind, size = row.ir, row.real.bitwidth // 8

    def row_at(base: Any, index: Any, k: Any, step: Any) -> Any:
        place = pointer(build, build.add(index, build.mul(k, ir.Constant(I64, 4))))
        number = build.sext(build.load(place, align=4, typ=I32), I64)
        return pointer(build, build.add(base, build.mul(number, step)))

    rows = [row_at(c, ci, ir.Constant(I64, r), cs) for r in range(n)]
    fresh = build.icmp_signed("!=", new, ir.Constant(I64, 0))
    zero = ir.Constant(kind, [0.0] * kind.count)
    start = [build.select(fresh, zero, build.load(at, align=size, typ=kind)) for at in rows]
    before = build.block
    head, body, after = (build.append_basic_block(f"panel.{x}") for x in ("head", "body", "after"))
    build.branch(head)
    build.position_at_end(head)
    k, at = build.phi(I64), build.phi(I64)
    sums = [build.phi(kind) for _ in rows]
    build.cbranch(build.icmp_signed("<", k, terms), body, after)
    build.position_at_end(body)
    x = build.load(row_at(b, bi, k, bs), align=size, typ=kind)
    grown = []
    for r, total in enumerate(sums):
        place = pointer(build, build.add(at, build.mul(sr, ir.Constant(I64, r))))
        w = splatted(build, build.load(place, align=size, typ=kind.element), kind)
        grown.append(call(build, name_of("fmuladd", kind), kind, w, x, total))
    firsts = [ir.Constant(I64, 0), s, *start]
    thens = [build.add(k, ir.Constant(I64, 1)), build.add(at, sk), *grown]
    for phi, first, then in zip([k, at, *sums], firsts, thens, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(then, build.block)
    build.branch(head)
    build.position_at_end(after)
    for place, total in zip(rows, sums, strict=True):
        build.store(total, place, align=size)


_many = panel(lambda spec: rows_at_once(spec.n, spec.real.bitwidth // 8))
_few = panel(lambda spec: min(rows_at_once(spec.n, spec.real.bitwidth // 8), FEW))
_one = panel(lambda spec: 1)


@inline
def product(
    spec: Any,
    c: int,
    ci: int,
    cs: int,
    b: int,
    bi: int,
    bs: int,
    s: int,
    sr: int,
    sk: int,
    terms: int,
    rows: int,
    new: int,
) -> None:
    """Accumulate any number of rows of C, panel by panel; the other arguments are those of a panel's block."""
    most = most_rows(spec)
    few = min(most, FEW)
    r = 0
    while r + most <= rows:
        _many(spec, c, ci + 4 * r, cs, b, bi, bs, s + r * sr, sr, sk, terms, new)
        r += most
    while r + few <= rows:
        _few(spec, c, ci + 4 * r, cs, b, bi, bs, s + r * sr, sr, sk, terms, new)
        r += few
    while r < rows:
        _one(spec, c, ci + 4 * r, cs, b, bi, bs, s + r * sr, sr, sk, terms, new)
        r += 1
