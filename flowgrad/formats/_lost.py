"""Describe what a format does not keep of a network, from what the format declares (`format.KEEPS`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowgrad.columns import Columns
from flowgrad.network import Network

DEFAULTS = "tanh", "identity"  # activations of hidden neurons and outputs that readers of edges assume


def lost(network: Network, keeps: str | None) -> list[str]:
    """List what is lost of a network that is written and read again; empty for formats that keep all of it.

    Empty also for formats that are not read again: pictures, pages and programs.

    Args:
        keeps: one of `format.KEEPS`, or None.

    >>> net = Network.from_arrays([0, 1], [1, 2], weight=[2.0, 3.0], bias=[0.0, 0.5, 0.0], activation="relu")
    >>> lost(net, "weights"), lost(net, "everything")
    (['1 bias', 'activations'], [])
    """
    c = network.columns
    if keeps in ("edges", "weights"):
        return [*_of_edges(c, keeps), *_beside(c)]
    return list(_beside(c)) if keeps == "functions" else []


def _of_edges(c: Columns, keeps: str) -> Iterator[str]:
    """Yield what is lost if only the edges, with weights or without, are kept."""
    if keeps == "edges" and not np.isnan(c.weight).all():
        yield "weights"
    biases = int(np.count_nonzero(c.bias))
    if biases:
        yield f"{biases:,} bias{'es' * (biases > 1)}"
    is_output = np.zeros(c.n_nodes, np.bool_)
    is_output[c.outputs] = True
    names = np.array([record.name for record in c.activations] or [""], object)
    neurons = ~c.is_input
    if (names[c.activation[neurons]] != np.where(is_output[neurons], *reversed(DEFAULTS))).any():
        yield "activations"
    if any(c.aggregations[k].name != "sum" for k in np.unique(c.aggregation[neurons]).tolist()):
        yield "aggregations"
    if (c.response != 1.0).any():
        yield "responses"
    order = _read_again(c)
    alone = c.n_nodes - len(order)
    if alone:
        yield f"{alone:,} node{'s' * (alone > 1)} without edges"
    fed, feeds = (np.bincount(end, minlength=c.n_nodes) > 0 for end in (c.target, c.source))
    if not np.array_equal(order[~fed[order]], c.inputs):
        yield "which nodes are inputs, in which order"
    if not np.array_equal(order[~feeds[order] & fed[order]], c.outputs):
        yield "which nodes are outputs, in which order"


def _read_again(c: Columns) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the rows of nodes with edges, in the order of their first occurrence, each source before its target."""
    rows, first = np.unique(np.stack([c.source, c.target], axis=1), return_index=True)
    return np.asarray(rows[np.argsort(first)], np.int64)


def _beside(c: Columns) -> Iterator[str]:
    """Yield which of shared weights, trainable flags and users' attributes are lost."""
    if (c.param >= 0).any():
        yield "which weights are shared"
    if not c.edge_trainable.all() or not c.trainable[~c.is_input].all():
        yield "what is not trained"
    extras = {"nodes": c.node_extra, "edges": c.edge_extra, "the graph": c.graph_extra}
    for what, extra in extras.items():
        if extra:
            yield f"attributes of {what}"
