"""Part of a plan as the arrays that the sweeps read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.core import types

from flowgrad.errors import ExecutorError
from flowgrad.executors._numba.across import GATHERED
from flowgrad.executors._numba.compiled import entry, kernel
from flowgrad.executors._numba.panels import LONGEST, PANELS
from flowgrad.executors._numba.part import Part
from flowgrad.executors._numba.records import (
    AGGREGATED,
    AHEAD,
    DENSE,
    FUSED,
    FUSED_SCALED,
    GROUP,
    MANY,
    PLAIN,
    SCALED,
    STRIDE,
    WHOLE,
)
from flowgrad.order import ranges
from flowgrad.plan import Plan
from flowgrad.registry import is_own

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

RUN_ROWS = 64
"""Rows that one call of an activation takes: few enough that z, a and σ' stay in the first cache."""
WHOLE_ROWS = PANELS * LONGEST
"""Rows of a dense run."""
FUSABLE = ("tanh", "sigmoid", "relu")
"""Activations that sweeps are compiled with, one each: every further one would be compiled in every process anew."""
MOST_ROWS = 2**31 // STRIDE - 1
"""Rows that edges can say."""
WIDEST_VECTOR = 32
"""Rows that are read as vectors are so many reals long, or a multiple: whole vectors of any number of lanes."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Nodes as in `part`. `arrays` and `sizes` are what `records.NET` has, by its names; float64 where it has reals.

    fused       name of the activation of FUSED runs
    rows        rows of A: nodes, messages, zeros
    zero        a place behind all that holds 0, where edges out of the part lead
    kept        rows that dense runs keep of a tile
    reach       how many rows lie between the ends of a sparse edge from a neuron, in the mean
    max_fan_in  in-edges of the neuron that has the most, among those with another aggregation than a sum
    """

    part: Part
    arrays: dict[str, npt.NDArray[Any]]
    sizes: dict[str, int]
    fused: str
    rows: int
    zero: int
    kept: int
    reach: float
    max_fan_in: int


def layout(plan: Plan, part: Part) -> Layout:
    """Runs, dense runs, message rows and base cases of part of a plan."""
    n, kind = part.n_nodes, _kinds(plan, part)
    block = _in_blocks(part, kind)
    activation = plan.activation[part.position].astype(np.int32)
    fused = _fused(plan, kind, activation)
    run_begin = _runs(len(plan.inputs), part, kind, activation, block)
    firsts = run_begin[:-1]
    edge_ptr, edge, target = _sparse(part, block)
    message, row, rows = np.zeros(1, np.int32), target, n
    if (scaled(kind) | (kind >= AGGREGATED)).any():
        message, row, rows = _messages(part, kind, target, edge)
    if rows > MOST_ROWS:
        raise ExecutorError(f"{rows:,} nodes and messages: executor 'numba' numbers {MOST_ROWS:,}")
    out_ptr, out_row, out_edge, out_place, zero = _places(plan, part, edge_ptr, row, edge, rows)
    dense = _dense_runs(part, kind, run_begin, block)
    dense_base, base, bases = _bases(len(plan.inputs), part.outputs, part, dense)
    arrays = _of_plan(plan, part) | {
        "out_begin": out_ptr[1:],  # it goes down: see `place_edges`
        "out_end": out_ptr,
        "out_row": out_row,
        "out_edge": out_edge,
        "out_place": out_place,
        "run_begin": run_begin,
        "run_kind": kind[firsts],
        "run_activation": activation[firsts],
        "run_dense": (np.cumsum(kind[firsts] == WHOLE) - 1).astype(np.int32),
        "dense": dense,
        "dense_base": dense_base,
        "iota": np.arange(MANY * WIDEST_VECTOR, dtype=np.int32),  # of as many rows as a product may have or add up
        "base_row": base,
        "message": message,
    }
    sizes = {
        "nodes": n,
        "positions": plan.n_nodes,
        "inputs": len(plan.inputs),
        "outputs": len(part.outputs),
        "edges": plan.n_edges,
        "places": len(out_edge),
        "runs": len(firsts),
        "bases": bases,
        "dense_runs": len(dense),
        "parameters": plan.n_parameters,
        "direct": int(plan.direct),
        "all_dense": int((dense["sources"] * dense["count"]).sum() == plan.n_edges),
    }
    return Layout(
        part=part,
        arrays=arrays,
        sizes=sizes,
        fused=fused,
        rows=rows + 1,
        zero=zero,
        kept=int((dense["dz"] + dense["count"]).max(initial=0)),
        reach=_reach(len(plan.inputs), part, edge, target),
        max_fan_in=int((part.in_end - part.in_begin)[kind >= AGGREGATED].max(initial=0)),
    )


def _of_plan(plan: Plan, part: Part) -> dict[str, npt.NDArray[Any]]:
    """What stands in the plan or its part as kernels read it, or nearly so."""
    factor = factors(plan, part)
    return {
        "position": part.position,
        "node": part.node,
        "in_begin": part.in_begin,
        "in_end": part.in_end,
        "in_source": part.in_source * np.int32(STRIDE),
        "output": part.outputs,
        "response": np.where(np.isnan(factor), plan.response[part.position], factor),
        "weight_slot": plan.weight_slot,
        "bias_slot": plan.bias_slot,
        "frozen_weight": plan.weight,
        "frozen_bias": plan.bias,
    }


def _kinds(plan: Plan, part: Part) -> Ints:
    """(n,): kind of run of each node, see `records`."""
    aggregation, factor = plan.aggregation[part.position], factors(plan, part)
    kind = np.where(np.isnan(factor), AGGREGATED + aggregation, SCALED).astype(np.int32)
    kind[(factor == 1.0) | (aggregation < 0)] = PLAIN
    return kind


def scaled(kind: Ints) -> npt.NDArray[np.bool_]:
    """Which are multiples of sums, other than the sum."""
    found: npt.NDArray[np.bool_] = (kind == SCALED) | (kind == FUSED_SCALED)
    return found


def factors(plan: Plan, part: Part) -> npt.NDArray[np.float64]:
    """(n,): c·r with z = b + c·r·Σ w·a, of (1) and (2); NaN of a neuron whose m is no multiple of the sum."""
    factor: npt.NDArray[np.float64] = (plan.coefficient * plan.response)[part.position]
    return factor


def _in_blocks(part: Part, kind: Ints) -> Ints:
    """(n,): which of the part's blocks a neuron is in, else −1; `kind` becomes WHOLE there."""
    first, last = part.blocks.T
    nodes = ranges(first, last - first)
    kind[nodes] = WHOLE
    block = np.full(part.n_nodes, -1, np.int32)
    block[nodes] = np.repeat(np.arange(len(first), dtype=np.int32), last - first)
    return block


def _fused(plan: Plan, kind: Ints, activation: Ints) -> str:
    """The activation of FUSABLE that most sums have, the first if none; `kind` becomes FUSED or FUSED_SCALED there."""
    able = [is_own("activations", sigma) and sigma.name in FUSABLE for sigma in plan.activations]
    counts = np.bincount(activation[(kind <= SCALED) & (activation >= 0)], minlength=len(able)) * np.array(
        able, np.int64
    )
    if not counts.any():
        return FUSABLE[0]
    fused = int(counts.argmax())
    mine = activation == fused
    kind[mine & (kind == PLAIN)], kind[mine & (kind == SCALED)] = FUSED, FUSED_SCALED
    return plan.activations[fused].name


def _sparse(part: Part, block: Ints) -> tuple[Longs, Ints, Ints]:
    """Of the part's out-edges those that lead into no block: pointers, edges, targets."""
    if not len(part.blocks):
        return part.out_ptr, part.out_edge, part.out_target
    sparse = block[part.out_target] < 0
    return np.concatenate([[0], np.cumsum(sparse)])[part.out_ptr], part.out_edge[sparse], part.out_target[sparse]


@kernel
def place_edges(
    nodes: Any, edge_ptr: Any, row: Any, edge: Any, out_ptr: Any, out_row: Any, out_edge: Any, out_place: Any
) -> None:
    """The last node's out-edges first, so that backward reads upwards; each node's filled up to whole groups."""
    k = 0
    for v in range(nodes - 1, -1, -1):
        for j in range(edge_ptr[v], edge_ptr[v + 1]):
            out_row[k] = row[j] * STRIDE
            out_edge[k] = edge[j]
            out_place[edge[j]] = k
            k += 1
        k += -k % GROUP  # `out_row` and `out_edge` are made full of what fills up
        out_ptr[v] = k


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
    edge_ptr = edge_ptr.astype(np.int64, copy=False)
    _compiled(place_edges, "qQiiQiii")(part.n_nodes, edge_ptr, row, edge, out_ptr, out_row, out_edge, out_place)
    return out_ptr, out_row, out_edge, out_place, zero


def _reach(inputs: int, part: Part, edge: Ints, target: Ints) -> float:
    """Of a sample of the edges, the same always."""
    every = slice(None, None, -(-len(edge) // 4096) or 1)
    source = part.in_source[edge[every]]
    return float((target[every] - source)[source >= inputs].sum() / max(len(source), 1))


def _padded(n: Any) -> Any:
    return -(-n // WIDEST_VECTOR) * WIDEST_VECTOR


def _dense_runs(part: Part, kind: Ints, run_begin: Ints, block: Ints) -> npt.NDArray[np.void]:
    """A record of `records.DENSE` for each dense run, but for what `_bases` fills; a block's runs share its sources."""
    runs = np.flatnonzero(kind[run_begin[:-1]] == WHOLE)
    first = run_begin[runs]
    dense = np.zeros(len(runs), DENSE)
    dense["first"], dense["count"] = first, run_begin[runs + 1] - first
    dense["sources"] = part.in_end[first] - part.in_begin[first]
    dense["block"] = block[first]
    _, leads, of_block = np.unique(dense["block"], return_index=True, return_inverse=True)
    wide = _padded(dense["sources"][leads])
    ends = np.cumsum(wide)
    dense["turned"] = (ends - wide)[of_block]
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
    dense["base_rows"] = starts[run_block]
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
    count = np.where(kind >= AGGREGATED, fan_in, np.where(scaled(kind), 1, 0))
    ends = np.cumsum(count)
    message = (n + ends - count).astype(np.int32)
    place = np.where(kind[target] >= AGGREGATED, edge - part.in_begin[target], 0)
    out_row = np.where(kind[target] <= FUSED, target, message[target] + place).astype(np.int32)
    return message, out_row, n + int(ends[-1]) if n else n


@kernel
def find_runs(
    first: Any, nodes: Any, in_begin: Any, in_end: Any, source: Any, kind: Any, activation: Any, block: Any, begin: Any
) -> Any:
    """Cut neurons where kind or activation changes, or one needs another of the same run; gives how many runs."""
    runs, start = 0, first
    for v in range(first, nodes):
        whole = kind[v] == WHOLE
        cut = v == first or v - start >= (WHOLE_ROWS if whole else RUN_ROWS)
        cut = cut or kind[v] != kind[start] or block[v] != block[start] or activation[v] != activation[start]
        e, end = in_begin[v], 0 if whole else in_end[v]
        while e < end and not cut:
            cut = source[e] >= start
            e += 1
        if cut:
            begin[runs] = v
            start = v
            runs += 1
    begin[runs] = nodes
    return runs


def _runs(inputs: int, part: Part, kind: Ints, activation: Ints, block: Ints) -> Ints:
    """(runs + 1,): where each run of neurons begins."""
    begin = np.empty(part.n_nodes - inputs + 1, np.int32)
    at = part.in_begin, part.in_end, part.in_source
    runs = _compiled(find_runs, "qqQQiiiii")(inputs, part.n_nodes, *at, kind, activation, block, begin)
    return begin[: runs + 1].copy()


@cache
def _compiled(function: Any, arguments: str) -> Any:
    """A kernel of numbers (q) and arrays of int64 (Q) and int32 (i), as Python calls it."""
    kinds = {"q": types.int64, "Q": types.int64[::1], "i": types.int32[::1]}
    return entry(function, *(kinds[letter] for letter in arguments))
