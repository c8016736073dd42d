"""A plan as the arrays that the sweeps read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.activations import has_vector_form
from flowgrad.executors._numba.code import function
from flowgrad.executors._numba.frame import AGGREGATED, DENSE, FUSED, PLAIN, SCALED, WHOLE
from flowgrad.executors._numba.memory import i32_at, i64_at, put_i32, record_type
from flowgrad.executors._numba.pool import native
from flowgrad.maths.aggregations import total
from flowgrad.order import ranges
from flowgrad.plan import Plan

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

RUN_ROWS = 64
"""Rows that one call of an activation takes: few enough that z, a and σ' stay in the first cache."""
WHOLE_ROWS = 60
"""Rows of a dense run: whole panels, see `panels.LONGEST`."""
WIDEST_VECTOR = 32
"""Rows of ∂L/∂w of a dense run are so many reals long, or a multiple: whole vectors of any number of lanes."""
LEAST_SOURCES, LEAST_ROWS = 8, 4
"""Blocks of fewer are not worth the detour."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Positions as in the plan. Fields as in `frame.FRAME`; `rows` counts the rows of A, nodes first.

    `gradient` is how many reals a chunk's ∂L/∂w takes, `widest` the columns of the widest dense run, `fused` the code
    of the activation of FUSED runs or −1, `reach` how many rows lie between the ends of a sparse edge from a neuron,
    in the mean.
    """

    out_ptr: Longs
    out_row: Ints
    out_edge: Ints
    out_place: Ints
    run_begin: Ints
    run_kind: Ints
    run_activation: Ints
    run_dense: Ints
    fused: int
    dense: npt.NDArray[np.void]
    dense_base: Ints
    iota: Ints
    base: Ints
    bases: int
    message: Ints
    rows: int
    reach: float
    gradient: int
    widest: int
    max_fan_in: int


def layout(plan: Plan) -> Layout:
    """Runs, dense runs, message rows and base cases of a plan."""
    V = plan.n_nodes
    kind = _kinds(plan)
    block = _worthy_blocks(plan, kind)
    activation = plan.activation.astype(np.int32)
    fused = _fused(plan, kind, activation)
    run_begin = _runs(plan, kind, activation, block)
    firsts = run_begin[:-1]
    out_ptr, out_edge, out_target = plan.out_ptr, plan.out_edge, plan.out_target
    if (block >= 0).any():
        sparse = block[out_target] < 0
        out_ptr = np.concatenate([[0], np.cumsum(sparse)])[out_ptr]
        out_edge, out_target = out_edge[sparse], out_target[sparse]
    out_place = np.full(plan.n_edges, -1, np.int32)
    out_place[out_edge] = np.arange(len(out_edge), dtype=np.int32)
    message, out_row, rows = np.zeros(1, np.int32), out_target, V
    if ((kind == SCALED) | (kind >= AGGREGATED)).any():
        message, out_row, rows = _messages(plan, kind, out_target, out_edge)
    dense = _dense_runs(plan, kind, run_begin, block, len(out_edge))
    dense_base, base, bases = _bases(plan, dense)
    return Layout(
        out_ptr=out_ptr,
        out_row=out_row,
        out_edge=out_edge,
        out_place=out_place,
        fused=fused,
        run_begin=run_begin,
        run_kind=kind[firsts],
        run_activation=activation[firsts],
        run_dense=(np.cumsum(kind[firsts] == WHOLE) - 1).astype(np.int32),
        dense=dense,
        dense_base=dense_base,
        iota=np.arange(max(WHOLE_ROWS, WIDEST_VECTOR), dtype=np.int32),
        base=base,
        bases=bases,
        message=message,
        rows=rows,
        reach=_reach(plan, out_edge, out_target),
        gradient=_padded(len(out_edge)) + int((dense["wide"] * dense["count"]).sum()),
        widest=int(dense["wide"].max(initial=0)),
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


def _fused(plan: Plan, kind: Ints, activation: Ints) -> int:
    """The code of the activation that most plain neurons with a vector form have, or −1; `kind` becomes FUSED there."""
    able = np.array([has_vector_form(sigma) for sigma in plan.activations], np.bool_)
    counts = np.bincount(activation[(kind == PLAIN) & (plan.activation >= 0)], minlength=len(able)) * able
    if not counts.any():
        return -1
    fused = int(counts.argmax())
    kind[(kind == PLAIN) & (activation == fused)] = FUSED
    return fused


def _reach(plan: Plan, edge: Ints, target: Ints) -> float:
    """Of a sample of the edges, the same always."""
    every = slice(None, None, -(-len(edge) // 4096) or 1)
    source = plan.in_source[edge[every]]
    return float((target[every] - source)[source >= len(plan.inputs)].sum() / max(len(source), 1))


def _worthy_blocks(plan: Plan, kind: Ints) -> Ints:
    """(V,): which of the plan's blocks that are worth it a neuron is in, else −1; `kind` becomes WHOLE there."""
    first, last = plan.blocks.T
    sources = plan.in_ptr[first + 1] - plan.in_ptr[first]
    worthy = (sources >= LEAST_SOURCES) & (last - first >= LEAST_ROWS)
    first, count = first[worthy], (last - first)[worthy]
    nodes = ranges(first, count)
    kind[nodes] = WHOLE
    block = np.full(plan.n_nodes, -1, np.int32)
    block[nodes] = np.repeat(np.arange(len(first), dtype=np.int32), count)
    return block


def _padded(n: Any) -> Any:
    return -(-n // WIDEST_VECTOR) * WIDEST_VECTOR


def _dense_runs(plan: Plan, kind: Ints, run_begin: Ints, block: Ints, sparse: int) -> npt.NDArray[np.void]:
    """A record of `frame.DENSE` for each dense run, but for `base`; `sparse` edges stand before their gradients."""
    runs = np.flatnonzero(kind[run_begin[:-1]] == WHOLE)
    first = run_begin[runs]
    dense = np.zeros(len(runs), DENSE)
    dense["first"], dense["count"] = first, run_begin[runs + 1] - first
    dense["sources"] = plan.in_ptr[first + 1] - plan.in_ptr[first]
    dense["block"] = block[first]
    dense["wide"] = _padded(dense["sources"])
    ends = np.cumsum(dense["wide"] * dense["count"])
    dense["gradient"] = _padded(sparse) + ends - dense["wide"] * dense["count"]
    return dense


def _bases(plan: Plan, dense: npt.NDArray[np.void]) -> tuple[Ints, Ints, int]:
    """Rows of base cases: of dense runs' sources, of nodes (V,), how many. Row 0 stays 0; outputs have theirs first.

    Fills `base` and `inputs` of the records: runs of one block share their sources' rows.
    """
    base = np.zeros(plan.n_nodes, np.int32)
    base[plan.outputs] = 1 + np.arange(len(plan.outputs), dtype=np.int32)
    _, leads, run_block = np.unique(dense["block"], return_index=True, return_inverse=True)
    counts = dense["sources"][leads]
    sources = plan.in_source[ranges(plan.in_ptr[dense["first"][leads]], counts)]
    starts = np.cumsum(counts) - counts
    dense["base"] = starts[run_block]
    is_input = sources < len(plan.inputs)
    seen = np.concatenate([[0], np.cumsum(~is_input)])  # of a block's sources, its inputs before any other
    later = np.searchsorted(seen, seen[starts] + 1) - 1
    dense["inputs"] = (np.minimum(later, starts + counts) - starts)[run_block]
    wanting = np.unique(sources[base[sources] == 0])
    base[wanting] = 1 + len(plan.outputs) + np.arange(len(wanting), dtype=np.int32)
    return base[sources], base, 1 + len(plan.outputs) + len(wanting)


def _messages(plan: Plan, kind: Ints, target: Ints, edge: Ints) -> tuple[Ints, Ints, int]:
    """First message row of each node; of each sparse out-edge, the row with ∂L/∂(w·a); rows in all."""
    V = plan.n_nodes
    fan_in = np.diff(plan.in_ptr)
    count = np.where(kind >= AGGREGATED, fan_in, np.where(kind == SCALED, 1, 0))
    ends = np.cumsum(count)
    message = (V + ends - count).astype(np.int32)
    place = np.where(kind[target] >= AGGREGATED, edge - plan.in_ptr[target], 0)
    out_row = np.where(kind[target] <= FUSED, target, message[target] + place).astype(np.int32)
    return message, out_row, V + int(ends[-1]) if V else V


def find_runs(arguments: int, _: int, __: int) -> None:
    """Cut neurons where kind or activation changes, or one needs another of the same run; counts into the record."""
    q = _arguments_at(arguments)
    runs, start = 0, q.first
    for v in range(q.first, q.nodes):
        whole = i32_at(q.kind, v) == WHOLE
        cut = v == q.first or v - start >= (WHOLE_ROWS if whole else RUN_ROWS)
        cut = cut or i32_at(q.kind, v) != i32_at(q.kind, start) or i32_at(q.block, v) != i32_at(q.block, start)
        cut = cut or i32_at(q.activation, v) != i32_at(q.activation, start)
        e, end = i64_at(q.in_ptr, v), 0 if whole else i64_at(q.in_ptr, v + 1)
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
    [
        (name, np.int64)
        for name in ["begin", "nodes", "first", "in_ptr", "source", "kind", "activation", "block", "runs"]
    ]
)
_arguments_at = record_type(_ARGUMENTS)


def _runs(plan: Plan, kind: Ints, activation: Ints, block: Ints) -> Ints:
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
        "block": block,
    }
    for name, array in arrays.items():
        q[name] = array.ctypes.data
    native(function("find_runs", find_runs))(q.ctypes.data, 0, 0)
    return begin[: int(q["runs"]) + 1].copy()
