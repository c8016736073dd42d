"""Part of a plan as the arrays that the sweeps read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ExecutorError
from flowgrad.executors._numba.activations import has_vector_form
from flowgrad.executors._numba.code import called
from flowgrad.executors._numba.frame import AGGREGATED, AHEAD, DENSE, FUSED, GROUP, PLAIN, SCALED, STRIDE, WHOLE, record
from flowgrad.executors._numba.memory import i32_at, i64_at, put_i32, put_i64, record_type
from flowgrad.executors._numba.part import Part
from flowgrad.executors._numba.vectors import GATHERED
from flowgrad.order import ranges
from flowgrad.plan import Plan

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

RUN_ROWS = 64
"""Rows that one call of an activation takes: few enough that z, a and σ' stay in the first cache."""
WHOLE_ROWS = 60
"""Rows of a dense run: whole panels, see `panels.LONGEST`."""
PIECE, PIECES = 1 << 12, 16
"""Edges that an item of a pass over the parameters takes, at least, and how many items there are, at most."""
MOST_ROWS = 2**31 // STRIDE - 1
"""Rows that edges can say."""
WIDEST_VECTOR = 32
"""Rows that are read as vectors are so many reals long, or a multiple: whole vectors of any number of lanes."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Nodes as in `part`. Fields as in `frame.FRAME`; `rows` counts the rows of A: nodes, messages, zeros.

    `out_ptr` goes down: see `place_edges`. `zero` is a place behind all that holds 0, where edges out of the part lead;
    `all_dense` says that every edge of the plan stands in a dense run. `kept` is how many rows dense runs keep of a
    tile, `fused` the code of the activation of FUSED runs or −1, `reach` how many rows lie between the ends of a sparse
    edge from a neuron, in the mean; `lowest` has an entry for each piece of the edges.
    """

    part: Part
    in_source: Ints
    out_ptr: Longs
    out_row: Ints
    out_edge: Ints
    out_place: Ints
    run_begin: Ints
    run_kind: Ints
    run_activation: Ints
    run_dense: Ints
    fused: int
    response: npt.NDArray[np.float64]
    output: Ints
    zero: int
    all_dense: bool
    dense: npt.NDArray[np.void]
    dense_base: Ints
    iota: Ints
    base: Ints
    bases: int
    message: Ints
    rows: int
    reach: float
    kept: int
    max_fan_in: int
    lowest: Ints


def layout(plan: Plan, part: Part) -> Layout:
    """Runs, dense runs, message rows and base cases of part of a plan."""
    n, response = part.n_nodes, plan.response[part.position]
    kind = _kinds(plan, part, response)
    block = _in_blocks(part, kind)
    activation = plan.activation[part.position].astype(np.int32)
    fused = _fused(plan, kind, activation)
    run_begin = _runs(len(plan.inputs), part, kind, activation, block)
    firsts = run_begin[:-1]
    edge_ptr, edge, target = _sparse(part, block)
    message, row, rows = np.zeros(1, np.int32), target, n
    if ((kind == SCALED) | (kind >= AGGREGATED)).any():
        message, row, rows = _messages(part, kind, target, edge)
    if rows > MOST_ROWS:
        raise ExecutorError(f"{rows:,} nodes and messages: executor 'numba' numbers {MOST_ROWS:,}")
    out_ptr, out_row, out_edge, out_place, zero = _places(plan, part, edge_ptr, row, edge, rows)
    dense = _dense_runs(part, kind, run_begin, block)
    output = part.outputs
    dense_base, base, bases = _bases(len(plan.inputs), output, part, dense)
    return Layout(
        part=part,
        in_source=part.in_source * np.int32(STRIDE),
        out_ptr=out_ptr,
        out_row=out_row,
        out_edge=out_edge,
        out_place=out_place,
        fused=fused,
        run_begin=run_begin,
        run_kind=kind[firsts],
        run_activation=activation[firsts],
        run_dense=(np.cumsum(kind[firsts] == WHOLE) - 1).astype(np.int32),
        response=response,
        output=output,
        zero=zero,
        all_dense=int((dense["sources"] * dense["count"]).sum()) == plan.n_edges,
        dense=dense,
        dense_base=dense_base,
        iota=np.arange(max(WHOLE_ROWS, WIDEST_VECTOR), dtype=np.int32),
        base=base,
        bases=bases,
        message=message,
        rows=rows + 1,
        reach=_reach(len(plan.inputs), part, edge, target),
        kept=int((dense["dz"] + dense["count"]).max(initial=0)),
        max_fan_in=int((part.in_end - part.in_begin).max(initial=0)),
        lowest=_lowest(part),
    )


def _kinds(plan: Plan, part: Part, response: npt.NDArray[np.float64]) -> Ints:
    """(n,): kind of run of each node, see `frame`."""
    aggregation, adds = plan.aggregation[part.position], plan.coefficient[part.position] == 1.0  # of an input −1, True
    kind = np.where(adds, PLAIN, AGGREGATED + aggregation).astype(np.int32)
    kind[adds & (response != 1.0) & (aggregation >= 0)] = SCALED
    return kind


def _in_blocks(part: Part, kind: Ints) -> Ints:
    """(n,): which of the part's blocks a neuron is in, else −1; `kind` becomes WHOLE there."""
    first, last = part.blocks.T
    nodes = ranges(first, last - first)
    kind[nodes] = WHOLE
    block = np.full(part.n_nodes, -1, np.int32)
    block[nodes] = np.repeat(np.arange(len(first), dtype=np.int32), last - first)
    return block


def _fused(plan: Plan, kind: Ints, activation: Ints) -> int:
    """The code of the activation that most plain neurons with a vector form have, or −1; `kind` becomes FUSED there."""
    able = np.array([has_vector_form(sigma) for sigma in plan.activations], np.bool_)
    counts = np.bincount(activation[(kind == PLAIN) & (activation >= 0)], minlength=len(able)) * able
    if not counts.any():
        return -1
    fused = int(counts.argmax())
    kind[(kind == PLAIN) & (activation == fused)] = FUSED
    return fused


def _sparse(part: Part, block: Ints) -> tuple[Longs, Ints, Ints]:
    """Of the part's out-edges those that lead into no block: pointers, edges, targets."""
    if not len(part.blocks):
        return part.out_ptr, part.out_edge, part.out_target
    sparse = block[part.out_target] < 0
    return np.concatenate([[0], np.cumsum(sparse)])[part.out_ptr], part.out_edge[sparse], part.out_target[sparse]


def place_edges(arguments: int, _: int, __: int) -> None:
    """The last node's out-edges first, so that backward reads upwards; each node's filled up to whole groups."""
    q = _edges_at(arguments)
    k = 0
    for v in range(q.nodes - 1, -1, -1):
        for j in range(i64_at(q.edge_ptr, v), i64_at(q.edge_ptr, v + 1)):
            put_i32(q.out_row, k, i32_at(q.row, j) * STRIDE)
            put_i32(q.out_edge, k, i32_at(q.edge, j))
            put_i32(q.out_place, i32_at(q.edge, j), k)
            k += 1
        while k % GROUP != 0:
            put_i32(q.out_row, k, q.zeros * STRIDE)
            put_i32(q.out_edge, k, -1)
            k += 1
        put_i64(q.out_ptr, v, k)


_EDGES = record("nodes edge_ptr row edge out_ptr out_row out_edge out_place zeros")
_edges_at = record_type(_EDGES)


def _places(
    plan: Plan, part: Part, edge_ptr: Longs, row: Ints, edge: Ints, zeros: int
) -> tuple[Longs, Ints, Ints, Ints, int]:
    """Places of the sparse out-edges of these rows: pointers, rows, edges; (E,) the place of each edge; `zero`."""
    count = int((-(-np.diff(edge_ptr) // GROUP)).sum()) * GROUP
    zero = _padded(count)
    out_ptr = np.zeros(part.n_nodes + 1, np.int64)
    out_row = np.full(count + AHEAD + GROUP, zeros * STRIDE, np.int32)
    out_edge = np.full(-(-count // GATHERED) * GATHERED, -1, np.int32)
    out_place = np.full(plan.n_edges, zero, np.int32)
    first, last = part.blocks.T
    out_place[ranges(part.in_begin[first], part.in_end[last - 1] - part.in_begin[first])] = -1
    called(
        place_edges,
        _EDGES,
        nodes=part.n_nodes,
        edge_ptr=edge_ptr,
        row=row,
        edge=edge,
        out_ptr=out_ptr,
        out_row=out_row,
        out_edge=out_edge,
        out_place=out_place,
        zeros=zeros,
    )
    return out_ptr, out_row, out_edge, out_place, zero


def _reach(inputs: int, part: Part, edge: Ints, target: Ints) -> float:
    """Of a sample of the edges, the same always."""
    every = slice(None, None, -(-len(edge) // 4096) or 1)
    source = part.in_source[edge[every]]
    return float((target[every] - source)[source >= inputs].sum() / max(len(source), 1))


def _lowest(part: Part) -> Ints:
    """Of each piece of the edges and positions the lowest node: when backward has passed that, they are turned back."""
    pieces, eights = min(max(len(part.in_source) // PIECE, 1), PIECES), len(part.in_source) // GATHERED
    if pieces == 1:
        return np.zeros(1, np.int32)
    which = np.arange(pieces)
    sources = np.minimum.reduceat(part.in_source, which * eights // pieces * GATHERED)
    return np.minimum(sources, np.minimum.reduceat(part.node, which * len(part.node) // pieces))


def _padded(n: Any) -> Any:
    return -(-n // WIDEST_VECTOR) * WIDEST_VECTOR


def _dense_runs(part: Part, kind: Ints, run_begin: Ints, block: Ints) -> npt.NDArray[np.void]:
    """A record of `frame.DENSE` for each dense run, but for what `_bases` fills; runs of a block share its sources."""
    runs = np.flatnonzero(kind[run_begin[:-1]] == WHOLE)
    first = run_begin[runs]
    dense = np.zeros(len(runs), DENSE)
    dense["first"], dense["count"] = first, run_begin[runs + 1] - first
    dense["sources"] = part.in_end[first] - part.in_begin[first]
    dense["block"] = block[first]
    dense["wide"] = _padded(dense["sources"])
    _, leads, of_block = np.unique(dense["block"], return_index=True, return_inverse=True)
    ends = np.cumsum(dense["wide"][leads])
    dense["turned"] = (ends - dense["wide"][leads])[of_block]
    dense["dz"] = ends[-1:].sum() + np.cumsum(dense["count"]) - dense["count"]
    return dense


def _bases(inputs: int, output: Ints, part: Part, dense: npt.NDArray[np.void]) -> tuple[Ints, Ints, int]:
    """Rows of base cases: of dense runs' sources, of nodes (n,), how many. Row 0 stays 0; outputs have theirs first.

    Fills `base` and `inputs` of the records: runs of one block share their sources' rows.
    """
    base = np.zeros(part.n_nodes, np.int32)
    base[output] = 1 + np.arange(len(output), dtype=np.int32)
    _, leads, run_block = np.unique(dense["block"], return_index=True, return_inverse=True)
    counts = dense["sources"][leads]
    sources = part.in_source[ranges(part.in_begin[dense["first"][leads]], counts)]
    starts = np.cumsum(counts) - counts
    dense["base"] = starts[run_block]
    is_input = sources < inputs
    seen = np.concatenate([[0], np.cumsum(~is_input)])  # of a block's sources, its inputs before any other
    later = np.searchsorted(seen, seen[starts] + 1) - 1
    dense["inputs"] = (np.minimum(later, starts + counts) - starts)[run_block]
    wanting = np.unique(sources[base[sources] == 0])
    base[wanting] = 1 + len(output) + np.arange(len(wanting), dtype=np.int32)
    return base[sources], base, 1 + len(output) + len(wanting)


def _messages(part: Part, kind: Ints, target: Ints, edge: Ints) -> tuple[Ints, Ints, int]:
    """First message row of each node; of each sparse out-edge, the row with ∂L/∂(w·a); rows in all."""
    n = part.n_nodes
    fan_in = part.in_end - part.in_begin
    count = np.where(kind >= AGGREGATED, fan_in, np.where(kind == SCALED, 1, 0))
    ends = np.cumsum(count)
    message = (n + ends - count).astype(np.int32)
    place = np.where(kind[target] >= AGGREGATED, edge - part.in_begin[target], 0)
    out_row = np.where(kind[target] <= FUSED, target, message[target] + place).astype(np.int32)
    return message, out_row, n + int(ends[-1]) if n else n


def find_runs(arguments: int, _: int, __: int) -> None:
    """Cut neurons where kind or activation changes, or one needs another of the same run; counts into the record."""
    q = _arguments_at(arguments)
    runs, start = 0, q.first
    for v in range(q.first, q.nodes):
        whole = i32_at(q.kind, v) == WHOLE
        cut = v == q.first or v - start >= (WHOLE_ROWS if whole else RUN_ROWS)
        cut = cut or i32_at(q.kind, v) != i32_at(q.kind, start) or i32_at(q.block, v) != i32_at(q.block, start)
        cut = cut or i32_at(q.activation, v) != i32_at(q.activation, start)
        e, end = i64_at(q.in_begin, v), 0 if whole else i64_at(q.in_end, v)
        while e < end and not cut:
            cut = i32_at(q.source, e) >= start
            e += 1
        if cut:
            put_i32(q.begin, runs, v)
            start = v
            runs += 1
    put_i32(q.begin, runs, q.nodes)
    q.runs = runs


_ARGUMENTS = record("begin nodes first in_begin in_end source kind activation block runs")
_arguments_at = record_type(_ARGUMENTS)


def _runs(inputs: int, part: Part, kind: Ints, activation: Ints, block: Ints) -> Ints:
    """(runs + 1,): where each run of neurons begins."""
    begin = np.empty(part.n_nodes - inputs + 1, np.int32)
    q = called(
        find_runs,
        _ARGUMENTS,
        begin=begin,
        nodes=part.n_nodes,
        first=inputs,
        in_begin=part.in_begin,
        in_end=part.in_end,
        source=part.in_source,
        kind=kind,
        activation=activation,
        block=block,
    )
    return begin[: int(q["runs"]) + 1].copy()
