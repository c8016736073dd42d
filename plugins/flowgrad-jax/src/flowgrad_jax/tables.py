"""Convert a plan to padded arrays: chunks of neurons that do not depend on each other and share one activation.

Sizes are padded to powers of two, so that XLA compiles once for all graphs of similar size: topology is data.
The last node and the last edge are padding, to which all padded entries refer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from flowgrad.plan import Plan
from flowgrad.registry import names


class Chunks(NamedTuple):
    """Hold N chunks of W neurons and K edges each, in topological order: each chunk follows those that it reads.

    code          (N,) index of the activation in `forms`
    nodes         (N, W) positions of the neurons
    source, edge  (N, K) position of an edge's source, and number of the edge
    into          (N, K) index within the chunk of the edge's target; W for padding
    """

    code: Any
    nodes: Any
    source: Any
    edge: Any
    into: Any


class Tables(NamedTuple):
    """Hold the arrays of a plan that the kernel reads; V, E and O are padded numbers of nodes, edges and outputs."""

    chunks: Chunks
    factor: Any  # (V,) float: r_v of (2), times 1/K for a mean
    weight: Any  # (E,) float: own values, which frozen weights keep
    weight_slot: Any  # (E,) int: index in θ, -1 where the weight is frozen
    bias: Any  # (V,) likewise
    bias_slot: Any  # (V,) likewise
    outputs: Any  # (O,) int: positions
    is_input: Any  # (V,) bool


Forms = tuple[str, ...]
ROOM = 32  # minimum capacity of a chunk, in edges


def forms_of(plan: Plan) -> Forms:
    """Choose the activations with which the kernel is compiled; a chunk's code is an index into them.

    XLA takes 0.1 s to compile each activation: a network with at most one activation besides identity gets only these,
    all other networks share one larger set.
    """
    used = {sigma.name for sigma in plan.activations} - {"identity"}
    core = tuple(name for name in names("activations") if "-" not in name)  # without other programs' own
    if not used <= {*core}:
        return names("activations")
    return ("identity", *used) if len(used) <= 1 else core


def size(n: int, least: int = 16, step: int = 1) -> int:
    """Round n up to a power of 2, or of 2^step, and to `least` or more.

    >>> size(3), size(17), size(17, step=2)
    (16, 32, 64)
    """
    return max(least, 1 << step * -(-(n - 1).bit_length() // step))


def padded(values: Any, n: int, fill: Any) -> Any:
    """Pad the values to length n with `fill`."""
    return np.concatenate([values, np.full(n - len(values), fill, values.dtype)])


def tables(plan: Plan, forms: Forms, dtype: Any) -> Tables:
    """Build the padded tables of a plan; `forms` are the activations that a chunk's code is an index into."""
    V, E, O = size(plan.n_nodes + 1, 64), size(plan.n_edges + 1, 256), size(len(plan.outputs))
    codes = np.array([forms.index(sigma.name) for sigma in plan.activations], np.int32)
    return Tables(
        _chunks(plan, codes, V - 1, E - 1),
        padded((plan.response * plan.coefficient).astype(dtype), V, 0),
        padded(plan.weight.astype(dtype), E, 0),
        padded(plan.weight_slot, E, -1),
        padded(plan.bias.astype(dtype), V, 0),
        padded(plan.bias_slot, V, -1),
        padded(plan.outputs, O, V - 1),
        padded(plan.activation < 0, V, False),
    )


def _chunks(plan: Plan, codes: Any, no_node: int, no_edge: int) -> Chunks:
    """Group the neurons by level and activation, and cut groups of more than `room` edges into several chunks."""
    neurons = np.flatnonzero(plan.activation >= 0)
    order = neurons[np.lexsort((plan.activation[neurons], plan.level[neurons]))]
    level, code, fan_in = plan.level[order], codes[plan.activation[order]], np.diff(plan.in_ptr)[order]
    begins = _changes(level, code)
    group = np.repeat(np.arange(len(begins)), np.diff(np.r_[begins, len(order)]))
    before = np.cumsum(fan_in + 1) - (fan_in + 1)
    room = max(ROOM, int(fan_in.max(initial=0)) + 1, int((fan_in + 1).sum()) // max(len(begins), 1))
    part = (before - before[begins][group]) // room  # index of the chunk within its group
    first = _changes(group, part)
    chunk = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(order)]))
    rank = np.arange(len(order)) - first[chunk]
    edge = np.repeat(plan.in_ptr[order] - np.cumsum(fan_in) + fan_in, fan_in) + np.arange(fan_in.sum())
    of_edge = np.repeat(chunk, fan_in)
    place = np.arange(len(edge)) - (np.cumsum(fan_in) - fan_in)[first][of_edge]
    N, W, K = size(len(first)), size(int(rank.max(initial=0)) + 1), size(int(place.max(initial=0)) + 1, ROOM)
    found = Chunks(
        padded(code[first], N, 0),
        np.full((N, W), no_node, np.int32),
        np.full((N, K), no_node, np.int32),
        np.full((N, K), no_edge, np.int32),
        np.full((N, K), W, np.int32),
    )
    found.nodes[chunk, rank] = order
    found.source[of_edge, place], found.edge[of_edge, place] = plan.in_source[edge], edge
    found.into[of_edge, place] = np.repeat(rank, fan_in)
    return found


def _changes(*columns: Any) -> Any:
    """Find the rows at which any of the columns differs from the row before, row 0 included."""
    changed = np.ones(len(columns[0]), np.bool_)
    changed[1:] = np.any([np.diff(column) != 0 for column in columns], axis=0)
    return np.flatnonzero(changed)
