"""Validation of a network's columns."""

from __future__ import annotations

import numpy as np

from flowgrad.columns import Columns
from flowgrad.errors import GraphError, brief


def check(c: Columns) -> Columns:
    """Check the rules that concern the whole network; returns the columns.

    Raises:
        GraphError: no nodes, inputs or outputs; a self-loop, a double edge, an edge into an input; two weights
            under one param.
        CycleError: the graph has a cycle.
    """
    if not c.n_nodes:
        raise GraphError("the graph is empty: a network needs nodes")
    loops = np.flatnonzero(c.source == c.target)
    if len(loops):
        raise GraphError(
            f"self-loop at node {brief(c.ids[c.source[loops[0]]])}: a feed-forward neuron never feeds itself"
        )
    _check_double_edges(c)
    _ = c.level
    if not len(c.inputs):
        raise GraphError("the network has no inputs: every node has in-edges, or an activation, aggregation or bias")
    into = np.flatnonzero(c.is_input[c.target])
    if len(into):
        raise GraphError(
            f"input {brief(c.ids[c.target[into[0]]])} has an in-edge, {c.edge_name(int(into[0]))}: inputs have none"
        )
    if not len(c.outputs):
        raise GraphError("the network has no outputs: name them with outputs= or set_outputs([...])")
    if c.params:
        _ = c.weights  # raises where edges of one param have different given weights
    return c


def _check_double_edges(c: Columns) -> None:
    key = c.target.astype(np.int64) * c.n_nodes + c.source
    if len(key) < 2 or bool((key[1:] > key[:-1]).all()):
        return
    place = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[place[1:]] == key[place[:-1]])
    if len(same):
        first, second = place[same[0]], place[same[0] + 1]
        raise GraphError(f"edge {c.edge_name(int(first))} is given twice, as edges {first + 1} and {second + 1}")
