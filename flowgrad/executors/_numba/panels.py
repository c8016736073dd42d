"""The dense kernel: rows of vectors that grow by weighted rows, as many at once as the processor has registers for.

    C_r += Σ_k s_rk · B_k          r = 0 … rows − 1,  k = 0 … terms − 1

All three products of a dense block are this one: z from a, ∂L/∂a from ∂L/∂z, and ∂L/∂w from both. Every row of B
that is loaded serves a panel of rows of C, which stay in registers; a sum runs in the order of k, always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from flowgrad.executors._numba.blocks import F32, F64, I32, I64, Site, block, splat
from flowgrad.executors._numba.machine import register_lanes, registers
from flowgrad.executors._numba.memory import i32_at
from flowgrad.executors._numba.vectors import Lanes, store

LONGEST = 12
"""Rows of C at once, at most: two registers each, of 32, with room for a row of B and a weight."""


def rows_at_once(lanes: Lanes) -> int:
    """Rows of C that the registers hold beside one of B and three more."""
    wide = max(lanes.n // register_lanes(lanes.dtype), 1)
    return max(min((registers() - 3 - wide) // wide, LONGEST), 1)


def panel(lanes: Lanes, n: int, spacing: int | None = None) -> Callable[..., None]:
    """A block for n rows of C; `spacing` is the step from s_rk to s_{r+1,k} where it is known now."""
    kind = ir.VectorType(F32 if lanes.dtype.itemsize == 4 else F64, lanes.n)
    real_at, load, splat_row = lanes.real_at, lanes.load, lanes.splat

    def emit(s: Site) -> None:
        _emit_panel(s, kind, n, spacing)

    @block(emit)
    def grow(
        c: int, ci: int, cs: int, b: int, bi: int, bs: int, s: int, sr: int, sk: int, terms: int, new: int
    ) -> None:
        """Rows c + ci[r]·cs grow, from 0 where new; B_k = b + bi[k]·bs, s_rk = s + r·sr + k·sk."""
        for r in range(n):
            row = c + i32_at(ci, r) * cs
            total = splat_row(0.0) if new else load(row)
            for k in range(terms):
                total = splat_row(real_at(s + r * (spacing or sr) + k * sk, 0)) * load(b + i32_at(bi, k) * bs) + total
            store(row, total)

    return grow


def _emit_panel(s: Site, kind: Any, n: int, spacing: int | None) -> None:
    """A loop over k with the rows of C as phi nodes."""
    build, size = s.builder, 4 if kind.element == F32 else 8
    c, ci, cs, b, bi, bs, weights, sr, sk, terms, new = s.integers()
    step = ir.Constant(I64, spacing) if spacing else sr
    rows = []
    for r in range(n):
        index = build.sext(build.load(s.element(ci, r, 4, I32), align=4), I64)
        rows.append(s.pointer(build.add(c, build.mul(index, cs)), kind))
    fresh = build.icmp_signed("!=", new, ir.Constant(I64, 0))
    start = [build.select(fresh, splat(build, 0.0, kind), build.load(row, align=size)) for row in rows]
    before = build.block
    head, body, after = (build.append_basic_block(f"panel.{x}") for x in ("head", "body", "after"))
    build.branch(head)
    build.position_at_end(head)
    k, at = build.phi(I64), build.phi(I64)
    sums = [build.phi(kind) for _ in rows]
    build.cbranch(build.icmp_signed("<", k, terms), body, after)
    build.position_at_end(body)
    index = build.sext(build.load(s.element(bi, k, 4, I32), align=4), I64)
    x = build.load(s.pointer(build.add(b, build.mul(index, bs)), kind), align=size)
    grown = []
    for r, total in enumerate(sums):
        place = build.add(at, build.mul(step, ir.Constant(I64, r)))
        w = splat(build, build.load(s.pointer(place, kind.element), align=size), kind)
        grown.append(s.call(f"llvm.fmuladd.v{kind.count}f{8 * size}", kind, w, x, total))
    for phi, first, then in zip(
        [k, at, *sums],
        [ir.Constant(I64, 0), weights, *start],
        [build.add(k, ir.Constant(I64, 1)), build.add(at, sk), *grown],
        strict=True,
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(then, build.block)
    build.branch(head)
    build.position_at_end(after)
    for row, total in zip(rows, sums, strict=True):
        build.store(total, row, align=size)


def product(lanes: Lanes, spacing: int | None = None) -> Callable[..., None]:
    """product(C, ci, cs, B, bi, bs, s, sr, sk, terms, rows, new): as `panel`, for any number of rows."""
    most = rows_at_once(lanes)
    few = min(most, 4)
    many, some, one = (panel(lanes, n, spacing) for n in (most, few, 1))

    def grow(
        c: int, ci: int, cs: int, b: int, bi: int, bs: int, s: int, sr: int, sk: int, terms: int, rows: int, new: int
    ) -> None:
        r = 0
        while r + most <= rows:
            many(c, ci + 4 * r, cs, b, bi, bs, s + r * sr, sr, sk, terms, new)
            r += most
        while r + few <= rows:
            some(c, ci + 4 * r, cs, b, bi, bs, s + r * sr, sr, sk, terms, new)
            r += few
        while r < rows:
            one(c, ci + 4 * r, cs, b, bi, bs, s + r * sr, sr, sk, terms, new)
            r += 1

    return grow
