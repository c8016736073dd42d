"""Layout: part of a plan, lowered to the arrays of runs, edges and rows that the sweeps read."""

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
from flowgrad.executors._numba.forms import FUSABLE
from flowgrad.executors._numba.panels import LONGEST, PANELS
from flowgrad.executors._numba.part import Part
from flowgrad.executors._numba.records import (
    AGGREGATED,
    AHEAD,
    DENSE,
    FUSED,
    GROUP,
    MANY,
    STRIDE,
    SUM,
    WHOLE,
)
from flowgrad.order import ranges
from flowgrad.plan import Plan
from flowgrad.registry import is_own

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

RUN_ROWS = 64
"""Neurons of a run, at most: z, a and σ' of 64 neurons, 128 bytes a row, take 24 KB and so stay in the L1 cache."""
WHOLE_ROWS = PANELS * LONGEST
"""Neurons of a dense run, at most: whole panels of the matrix product (`panels.py`)."""
MOST_ROWS = 2**31 // STRIDE - 1
"""Rows of A, at most: a row's number times STRIDE has to fit into an int32."""
WIDEST_VECTOR = 32
"""Lanes of the widest row; arrays of reals that are read a row at a time are padded to a multiple of them."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Arrays and sizes of a `part`, whose node numbers they use, by field of `records.NET`; its reals are float64 here.

    fused       name of the activation of FUSED runs
    rows        rows of A: one a node, message rows, one row of zeros
    zero        a place behind all others, whose gradient is always 0: that of edges which leave the part
    kept        rows of lanes that the dense runs keep of a tile for ∂L/∂w: a of their sources, transposed, and ∂L/∂z
    reach       mean distance in rows from source to target of sampled sparse edges, those from inputs counted as 0
    max_fan_in  largest fan-in among neurons whose aggregation is no multiple of the sum, 0 if there are none
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
    """Lower a part of a plan to runs, places and rows; raises ExecutorError if A has more than MOST_ROWS rows."""
    n, kind = part.n_nodes, _kinds(plan, part)
    block = _in_blocks(part, kind)
    activation = plan.activation[part.position].astype(np.int32)
    fused = _fused(plan, kind, activation)
    run_begin = _runs(len(plan.inputs), part, kind, activation, block)
    firsts = run_begin[:-1]
    edge_ptr, edge, target = _sparse(part, block)
    message, row, rows = np.zeros(1, np.int32), target, n
    if (kind >= AGGREGATED).any():
        message, row, rows = _messages(part, kind, target, edge)
    if rows > MOST_ROWS:
        raise ExecutorError(f"{rows:,} nodes and messages: executor 'numba' numbers {MOST_ROWS:,}")
    out_ptr, out_row, out_edge, out_place, zero = _places(plan, part, edge_ptr, row, edge, rows)
    dense = _dense_runs(part, kind, run_begin, block)
    dense_base, base, bases = _bases(len(plan.inputs), part.outputs, part, dense)
    arrays = _of_plan(plan, part) | {
        "out_begin": out_ptr[1:],  # places are numbered from the last node down: see `place_edges`
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
        "iota": np.arange(MANY * WIDEST_VECTOR, dtype=np.int32),  # MANY chunks of lanes: the longest sum of a product
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
    """Return the fields of `records.NET` that are arrays of the plan or its part, as they stand or slightly changed."""
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
    """Return (n,) int32: each node's kind of run, see `records`, before dense blocks and fusion; SUM for inputs."""
    aggregation = plan.aggregation[part.position]
    other = np.isnan(factors(plan, part)) & (aggregation >= 0)
    return np.where(other, AGGREGATED + aggregation, SUM).astype(np.int32)


def factors(plan: Plan, part: Part) -> npt.NDArray[np.float64]:
    """Return (n,): c·r with z = b + c·r·Σ w·a, of (1) and (2); NaN of a neuron whose m is no multiple of the sum."""
    factor: npt.NDArray[np.float64] = (plan.coefficient * plan.response)[part.position]
    return factor


def _in_blocks(part: Part, kind: Ints) -> Ints:
    """Return (n,) int32: each node's index in `part.blocks`, −1 outside; sets `kind` to WHOLE in blocks, in place."""
    first, last = part.blocks.T
    nodes = ranges(first, last - first)
    kind[nodes] = WHOLE
    block = np.full(part.n_nodes, -1, np.int32)
    block[nodes] = np.repeat(np.arange(len(first), dtype=np.int32), last - first)
    return block


def _fused(plan: Plan, kind: Ints, activation: Ints) -> str:
    """Return the commonest FUSABLE activation of sparse sums, else the first; sets their `kind` to fused, in place."""
    able = [is_own("activations", sigma) and sigma.name in FUSABLE for sigma in plan.activations]
    counts = np.bincount(activation[(kind == SUM) & (activation >= 0)], minlength=len(able)) * np.array(able, np.int64)
    if not counts.any():
        return FUSABLE[0]
    fused = int(counts.argmax())
    kind[(activation == fused) & (kind == SUM)] = FUSED
    return plan.activations[fused].name


def _sparse(part: Part, block: Ints) -> tuple[Longs, Ints, Ints]:
    """Return the CSR of out-edges whose targets are in no block: pointers (n+1,), edge numbers, target nodes."""
    if not len(part.blocks):
        return part.out_ptr, part.out_edge, part.out_target
    sparse = block[part.out_target] < 0
    return np.concatenate([[0], np.cumsum(sparse)])[part.out_ptr], part.out_edge[sparse], part.out_target[sparse]


@kernel
def place_edges(
    nodes: Any, edge_ptr: Any, row: Any, edge: Any, out_ptr: Any, out_row: Any, out_edge: Any, out_place: Any
) -> None:
    """Number out-edges from the last node down, in backward's order; each node's are padded to a multiple of GROUP."""
    k = 0
    for v in range(nodes - 1, -1, -1):
        for j in range(edge_ptr[v], edge_ptr[v + 1]):
            out_row[k] = row[j] * STRIDE
            out_edge[k] = edge[j]
            out_place[edge[j]] = k
            k += 1
        k += -k % GROUP  # `out_row` and `out_edge` hold their padding already
        out_ptr[v] = k


def _places(
    plan: Plan, part: Part, edge_ptr: Longs, row: Ints, edge: Ints, zeros: int
) -> tuple[Longs, Ints, Ints, Ints, int]:
    """Return `out_ptr`, `out_row`, `out_edge`, `out_place` of `place_edges`, and `zero`; padding has row `zeros`."""
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
    """Return `Layout.reach` from every k-th sparse edge, at most 4,096 of them; k depends on their number alone."""
    every = slice(None, None, -(-len(edge) // 4096) or 1)
    source = part.in_source[edge[every]]
    return float((target[every] - source)[source >= inputs].sum() / max(len(source), 1))


def _padded(n: Any) -> Any:
    return -(-n // WIDEST_VECTOR) * WIDEST_VECTOR


def _dense_runs(part: Part, kind: Ints, run_begin: Ints, block: Ints) -> npt.NDArray[np.void]:
    """Make the record DENSE of each dense run, without what `_bases` sets; runs of a block share `transposed` rows."""
    runs = np.flatnonzero(kind[run_begin[:-1]] == WHOLE)
    first = run_begin[runs]
    dense = np.zeros(len(runs), DENSE)
    dense["first"], dense["count"] = first, run_begin[runs + 1] - first
    dense["sources"] = part.in_end[first] - part.in_begin[first]
    dense["block"] = block[first]
    _, leads, of_block = np.unique(dense["block"], return_index=True, return_inverse=True)
    wide = _padded(dense["sources"][leads])
    ends = np.cumsum(wide)
    dense["transposed"] = (ends - wide)[of_block]
    dense["dz"] = ends[-1:].sum() + np.cumsum(dense["count"]) - dense["count"]
    return dense


def _bases(inputs: int, output: Ints, part: Part, dense: npt.NDArray[np.void]) -> tuple[Ints, Ints, int]:
    """Number the rows of G: row 0 holds zeros, outputs come next, then other sources of dense runs.

    Returns the rows of each block's sources, those of all nodes (n,), their number; sets `base_rows` and `inputs`.
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
    """Return each node's first message row, the row with ∂L/∂(w·a) of each sparse out-edge, and nodes + messages."""
    n = part.n_nodes
    fan_in = part.in_end - part.in_begin
    count = np.where(kind >= AGGREGATED, fan_in, 0)
    ends = np.cumsum(count)
    message = (n + ends - count).astype(np.int32)
    place = message[target] + edge - part.in_begin[target]
    out_row = np.where(kind[target] < AGGREGATED, target, place).astype(np.int32)
    return message, out_row, n + int(ends[-1]) if n else n


@kernel
def find_runs(
    first: Any, nodes: Any, in_begin: Any, in_end: Any, source: Any, kind: Any, activation: Any, block: Any, begin: Any
) -> Any:
    """Cut neurons into runs of one kind, block and activation, none of which reads another; return their number."""
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
    """Return (runs + 1,) int32: the first neuron of each run, and n."""
    begin = np.empty(part.n_nodes - inputs + 1, np.int32)
    at = part.in_begin, part.in_end, part.in_source
    runs = _compiled(find_runs, "qqQQiiiii")(inputs, part.n_nodes, *at, kind, activation, block, begin)
    return begin[: runs + 1].copy()


@cache
def _compiled(function: Any, arguments: str) -> Any:
    """Compile a kernel for Python to call; `arguments` has a letter each: q int64, Q int64 array, i int32 array."""
    kinds = {"q": types.int64, "Q": types.int64[::1], "i": types.int32[::1]}
    return entry(function, *(kinds[letter] for letter in arguments))
