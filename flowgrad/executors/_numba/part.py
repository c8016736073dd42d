"""Which nodes of a plan a call computes: all, or the inputs and what an output depends on.

A neuron from which no path leads to an output is dead: it changes no result, and the gradients of its parameters
are 0. In a random graph with few outputs a third of the neurons are, and evolution leaves them in every network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgrad.order import ranges, stretches
from flowgrad.plan import Plan

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

LEAST_SOURCES, LEAST_ROWS = 8, 4
"""Dense blocks of fewer are not worth the detour: their neurons are as any others."""


@dataclass(frozen=True, eq=False)
class Part:
    """n nodes of a plan, inputs first, numbered anew in its order; the sources of each are among them.

    Edges keep the plan's numbers, so that weights stand where they stand in θ.

    position   (n,) int32    where each stands in the plan
    node       (V,) int32    which node a position is, n where it is none
    in_begin   (n,) int64    in-edges of node v are in_begin[v] … in_end[v]−1
    in_end     (n,) int64
    in_source  (E,) int32    node of the edge's source
    out_ptr    (n+1,) int64  out-edges within the part
    out_target (…,) int32    node of the edge's target
    out_edge   (…,) int32    the edge's number
    blocks     (K, 2) int32  what of the plan's blocks is in the part and worth it, as nodes
    outputs    (…,) int32    nodes of the outputs in it
    """

    position: Ints
    node: Ints
    in_begin: Longs
    in_end: Longs
    in_source: Ints
    out_ptr: Longs
    out_target: Ints
    out_edge: Ints
    blocks: Ints
    outputs: Ints

    @property
    def n_nodes(self) -> int:
        """n."""
        return len(self.position)


def whole(plan: Plan) -> Part:
    """Every node."""
    every = np.arange(plan.n_nodes, dtype=np.int32)
    return Part(
        position=every,
        node=every,
        in_begin=plan.in_ptr[:-1],
        in_end=plan.in_ptr[1:],
        in_source=plan.in_source,
        out_ptr=plan.out_ptr,
        out_target=plan.out_target,
        out_edge=plan.out_edge,
        blocks=_worthy(plan, plan.blocks, every),
        outputs=plan.outputs,
    )


def live(plan: Plan, leading: npt.NDArray[np.bool_]) -> Part:
    """The inputs, and the neurons that `leading` (V,) marks as `Plan.live` does: a wanted output can be reached."""
    kept = leading.copy()
    kept[plan.inputs] = True
    position = np.flatnonzero(kept).astype(np.int32)
    n = len(position)
    node = np.full(plan.n_nodes, n, np.int32)
    node[position] = np.arange(n, dtype=np.int32)
    out_target = node.take(plan.out_target)
    within = out_target < n  # which no out-edge of a node outside is
    before = np.zeros(plan.n_edges + 1, np.int64)
    np.cumsum(within, out=before[1:])
    return Part(
        position=position,
        node=node,
        in_begin=plan.in_ptr[position],
        in_end=plan.in_ptr[position + 1],
        in_source=node.take(plan.in_source),
        out_ptr=before.take(np.append(plan.out_ptr.take(position), plan.n_edges)),
        out_target=out_target[within],
        out_edge=plan.out_edge[within],
        blocks=_worthy(plan, node[_pieces(plan, kept) - [0, 1]] + [0, 1], position),
        outputs=node[plan.outputs[leading[plan.outputs]]],
    )


def _pieces(plan: Plan, kept: npt.NDArray[np.bool_]) -> Longs:
    """(K, 2) positions: the plan's blocks, cut where a neuron is not kept."""
    first, last = plan.blocks.T
    if not len(first):
        return np.zeros((0, 2), np.int64)
    follows = np.zeros(plan.n_nodes + 1, np.bool_)
    follows[ranges(first + 1, last - first - 1)] = True
    follows[1:-1] &= kept[1:] & kept[:-1]
    return stretches(follows)


def _worthy(plan: Plan, blocks: Ints | Longs, position: Ints) -> Ints:
    """Those of a part's blocks that are."""
    first, last = blocks.T
    v = position[first]
    sources = plan.in_ptr[v + 1] - plan.in_ptr[v]
    worthy: Ints = blocks[(sources >= LEAST_SOURCES) & (last - first >= LEAST_ROWS)].astype(np.int32)
    return worthy
