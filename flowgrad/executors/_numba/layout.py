"""A plan as the arrays that the sweeps read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.frame import AGGREGATED, PLAIN, SCALED
from flowgrad.maths.aggregations import total
from flowgrad.plan import Plan

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Layout:
    """Positions as in the plan. Fields as in `frame.FRAME`; `rows` counts the rows of D, nodes first."""

    out_row: Ints
    run_begin: Ints
    run_kind: Ints
    run_activation: Ints
    base: Ints
    message: Ints
    rows: int
    max_fan_in: int
    keep: list[Any] = field(default_factory=list)


def layout(plan: Plan) -> Layout:
    """Runs, message rows and base cases of a plan."""
    V, I = plan.n_nodes, len(plan.inputs)
    kind = _kinds(plan)
    base = np.zeros(V, np.int32)
    base[plan.outputs] = 1 + np.arange(len(plan.outputs), dtype=np.int32)
    run_begin = _runs(V, I, plan.in_ptr, plan.in_source, kind, plan.activation)
    firsts = run_begin[:-1]
    message, out_row, rows = np.zeros(1, np.int32), plan.out_target, V
    if kind.any():
        message, out_row, rows = _messages(plan, kind)
    return Layout(
        out_row=out_row,
        run_begin=run_begin,
        run_kind=kind[firsts],
        run_activation=plan.activation[firsts].astype(np.int32),
        base=base,
        message=message,
        rows=rows,
        max_fan_in=int(np.diff(plan.in_ptr).max(initial=0)),
    )


def _kinds(plan: Plan) -> Ints:
    """(V,): kind of run of each node, see `frame`."""
    of_code = np.array(
        [PLAIN if g.f is total else AGGREGATED + k for k, g in enumerate(plan.aggregations)] or [PLAIN], np.int32
    )
    kind = np.where(plan.aggregation >= 0, of_code[plan.aggregation], PLAIN).astype(np.int32)
    kind[(kind == PLAIN) & (plan.response != 1.0) & (plan.activation >= 0)] = SCALED
    return kind


def _messages(plan: Plan, kind: Ints) -> tuple[Ints, Ints, int]:
    """First message row of each node; of each out-edge, the row with ∂L/∂(w·a); rows in all."""
    V = plan.n_nodes
    fan_in = np.diff(plan.in_ptr)
    count = np.where(kind >= AGGREGATED, fan_in, np.where(kind == SCALED, 1, 0))
    ends = np.cumsum(count)
    message = (V + ends - count).astype(np.int32)
    target, edge = plan.out_target, plan.out_edge
    place = np.where(kind[target] >= AGGREGATED, edge - plan.in_ptr[target], 0)
    out_row = np.where(kind[target] == PLAIN, target, message[target] + place).astype(np.int32)
    return message, out_row, V + int(ends[-1]) if V else V


RUN_ROWS = 64
"""Rows that one call of an activation takes: few enough that z, a and σ' stay in the first cache."""


def _find_runs(begin: Any, n: int, first: int, in_ptr: Any, source: Any, kind: Any, activation: Any) -> int:
    """Cut neurons first … n−1 where kind or activation changes, or a neuron needs one of its own run; gives the count."""
    runs, start = 0, first
    for v in range(first, n):
        cut = v == first or v - start >= RUN_ROWS or kind[v] != kind[start] or activation[v] != activation[start]
        if not cut:
            for e in range(in_ptr[v], in_ptr[v + 1]):
                if source[e] >= start:
                    cut = True
                    break
        if cut:
            begin[runs] = start = v
            runs += 1
    begin[runs] = n
    return runs


_compiled: list[Any] = []


def _runs(V: int, I: int, in_ptr: Any, source: Any, kind: Ints, activation: Any) -> Ints:
    if not _compiled:
        _compiled.append(numba.njit(error_model="numpy")(_find_runs))
    begin = np.empty(V - I + 1, np.int32)
    runs = _compiled[0](begin, V, I, in_ptr, source, kind, activation)
    return begin[: runs + 1].copy()
