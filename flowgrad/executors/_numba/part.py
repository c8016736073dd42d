"""Parts of a plan: the nodes that an engine computes, all or the inputs and the neurons on which an output depends.

A neuron from which no path leads to an output is dead: it changes no result, and the gradients of its parameters
are 0. In a random graph with few outputs a third of the neurons are dead, and evolution leaves some in every network.
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
"""Least sources and neurons of a dense block: in smaller ones, where matrix products do not pay, edges stay single."""


@dataclass(frozen=True, eq=False)
class Part:
    """n nodes of a plan, inputs first, renumbered 0 … n−1 in the plan's order; all sources of a node are among them.

    Edges keep the plan's numbers, so that θ's weights need no gather.

    position   (n,) int32    position of each node in the plan
    node       (V,) int32    node of each position, n if it is not in the part
    in_begin   (n,) int64    in-edges of node v are in_begin[v] … in_end[v]−1
    in_end     (n,) int64
    in_source  (E,) int32    node of the edge's source, n if it is not in the part
    out_ptr    (n+1,) int64  CSR pointers of the out-edges within the part
    out_target (…,) int32    node of each out-edge's target
    out_edge   (…,) int32    number of each out-edge
    blocks     (K, 2) int32  first node and last + 1 of each dense block in the part that is large enough
    outputs    (…,) int32    nodes of the plan's outputs that are in the part
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
        """Return n."""
        return len(self.position)


def whole(plan: Plan) -> Part:
    """Return the part that has every node of a plan."""
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
    """Return the part of the inputs and the nodes in `leading` (V,) bool, as `Plan.live` gives for wanted outputs."""
    kept = leading.copy()
    kept[plan.inputs] = True
    position = np.flatnonzero(kept).astype(np.int32)
    n = len(position)
    node = np.full(plan.n_nodes, n, np.int32)
    node[position] = np.arange(n, dtype=np.int32)
    out_target = node.take(plan.out_target)
    within = out_target < n  # False for all out-edges of a node outside the part
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
    """Return (K, 2) positions, first and last + 1, of the plan's blocks, split at neurons not in `kept` (V,)."""
    first, last = plan.blocks.T
    if not len(first):
        return np.zeros((0, 2), np.int64)
    follows = np.zeros(plan.n_nodes + 1, np.bool_)
    follows[ranges(first + 1, last - first - 1)] = True
    follows[1:-1] &= kept[1:] & kept[:-1]
    return stretches(follows)


def _worthy(plan: Plan, blocks: Ints | Longs, position: Ints) -> Ints:
    """Return the blocks, as (K, 2) nodes, that have LEAST_SOURCES and LEAST_ROWS; `position` is the part's."""
    first, last = blocks.T
    v = position[first]
    sources = plan.in_ptr[v + 1] - plan.in_ptr[v]
    worthy: Ints = blocks[(sources >= LEAST_SOURCES) & (last - first >= LEAST_ROWS)].astype(np.int32)
    return worthy
