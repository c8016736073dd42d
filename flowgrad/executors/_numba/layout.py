"""A plan as the arrays that the sweeps read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.code import function
from flowgrad.executors._numba.frame import AGGREGATED, PLAIN, SCALED
from flowgrad.executors._numba.memory import i32_at, i64_at, put_i32, record_type
from flowgrad.executors._numba.pool import native
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
    V = plan.n_nodes
    kind = _kinds(plan)
    base = np.zeros(V, np.int32)
    base[plan.outputs] = 1 + np.arange(len(plan.outputs), dtype=np.int32)
    activation = plan.activation.astype(np.int32)
    run_begin = _runs(plan, kind, activation)
    firsts = run_begin[:-1]
    message, out_row, rows = np.zeros(1, np.int32), plan.out_target, V
    if kind.any():
        message, out_row, rows = _messages(plan, kind)
    return Layout(
        out_row=out_row,
        run_begin=run_begin,
        run_kind=kind[firsts],
        run_activation=activation[firsts],
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


def find_runs(arguments: int, _: int, __: int) -> None:
    """Cut neurons where kind or activation changes, or one needs another of the same run; counts into the record."""
    q = _arguments_at(arguments)
    runs, start = 0, q.first
    for v in range(q.first, q.nodes):
        cut = v == q.first or v - start >= RUN_ROWS
        cut = cut or i32_at(q.kind, v) != i32_at(q.kind, start)
        cut = cut or i32_at(q.activation, v) != i32_at(q.activation, start)
        e, end = i64_at(q.in_ptr, v), i64_at(q.in_ptr, v + 1)
        while e < end and not cut:
            cut = i32_at(q.source, e) >= start
            e += 1
        if cut:
            put_i32(q.begin, runs, v)
            start = v
            runs += 1
    put_i32(q.begin, runs, q.nodes)
    q.runs = runs


_ARGUMENTS = np.dtype(
    [(name, np.int64) for name in ["begin", "nodes", "first", "in_ptr", "source", "kind", "activation", "runs"]]
)
_arguments_at = record_type(_ARGUMENTS)


def _runs(plan: Plan, kind: Ints, activation: Ints) -> Ints:
    """(runs + 1,): where each run of neurons begins."""
    V, I = plan.n_nodes, len(plan.inputs)
    begin = np.empty(V - I + 1, np.int32)
    q = np.zeros((), _ARGUMENTS)
    q["nodes"], q["first"] = V, I
    arrays: dict[str, npt.NDArray[Any]] = {
        "begin": begin,
        "in_ptr": plan.in_ptr,
        "source": plan.in_source,
        "kind": kind,
        "activation": activation,
    }
    for name, array in arrays.items():
        q[name] = array.ctypes.data
    native(function("find_runs", find_runs))(q.ctypes.data, 0, 0)
    return begin[: int(q["runs"]) + 1].copy()
