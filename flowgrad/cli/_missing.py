"""Remove the inputs that a table lacks from a network, for `missing = "drop"`.

An input is removed with its out-edges, so that sums lose its term. For a network that takes standardised inputs this
is the same as an input that always has its mean.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flowgrad.columns import Columns
from flowgrad.errors import DataError, GraphError, brief, listing
from flowgrad.model import Model
from flowgrad.network import Network
from flowgrad.scaling import Scaling
from flowgrad.tables.table import Table


def present(table: Table, inputs: Sequence[str]) -> list[int]:
    """Return the indices of the inputs that a table has; all indices unless the table's reading drops missing ones.

    Dropped inputs are reported in one line on stderr.

    Raises:
        DataError: the table has none of the inputs.
    """
    places = list(range(len(inputs)))
    if table.reading.missing == "error":
        return places
    kept = [k for k in places if table.has(inputs[k])]
    lost = [inputs[k] for k in places if not table.has(inputs[k])]
    if inputs and not kept:
        raise DataError(f"{table.path} has none of the network's {len(inputs):,} inputs ({listing(lost, limit=3)})")
    if lost:
        said = f"{table.path} lacks {len(lost):,} of {len(inputs):,} inputs ({listing(lost, limit=3)})"
        print(f"note: {said}: the network goes without", file=sys.stderr)
    return kept


def fitted(model: Model, table: Table) -> Model:
    """Remove from the model the inputs that the table lacks, if the table's reading says so."""
    kept = present(table, model.inputs)
    if len(kept) == len(model.inputs):
        return model
    scaling = model.scaling and Scaling(model.scaling.mean[kept], model.scaling.scale[kept])
    inputs = tuple(model.inputs[k] for k in kept)
    return replace(model, network=restricted(model.network, kept), inputs=inputs, scaling=scaling)


def restricted(network: Network, kept: Sequence[int]) -> Network:
    """Make the network with only the inputs of these indices; the others are removed with their out-edges.

    Raises:
        GraphError: a removed input is an output too, or a neuron with another aggregation than a sum loses all terms.

    >>> net = Network.from_arrays([0, 1], [2, 2], weight=[3.0, 4.0], activation="identity")
    >>> restricted(net, [1]).nodes, restricted(net, [1]).columns.weights
    ((1, 2), array([4.]))
    """
    c = network.columns
    stays = np.ones(c.n_nodes, np.bool_)
    stays[np.delete(c.inputs, kept)] = False
    lost = c.outputs[~stays[c.outputs]]
    if len(lost):
        raise GraphError(f"input {brief(c.ids[lost[0]])} is an output too: the network cannot go without it")
    edges = stays[c.source]
    _check_fed(c, edges)
    row = np.cumsum(stays) - 1
    place = None if c.place is None else np.argsort(np.argsort(c.place[stays]))
    return Network.from_columns(
        replace(
            c,
            ids=[name for name, stay in zip(c.ids, stays.tolist(), strict=True) if stay],
            inputs=row[c.inputs[list(kept)]].astype(np.int32),
            outputs=row[c.outputs].astype(np.int32),
            source=row[c.source[edges]].astype(np.int32),
            target=row[c.target[edges]].astype(np.int32),
            weight=c.weights[edges],  # drawn before, so that those which stay are those of the whole network
            **{name: getattr(c, name)[stays] for name in NODES},
            **{name: getattr(c, name)[edges] for name in ("edge_trainable", "param")},
            part=None if c.part is None else c.part[stays],
            place=place,
            node_extra={name: _only(column, stays) for name, column in c.node_extra.items()},
            edge_extra={name: _only(column, edges) for name, column in c.edge_extra.items()},
        )
    )


NODES = "activation", "aggregation", "bias", "response", "trainable"


def _only(values: Sequence[object], keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[object]:
    return [value for value, stay in zip(values, keep.tolist(), strict=True) if stay]


def _check_fed(c: Columns, edges: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    """Raise GraphError where an aggregation other than a sum loses all its terms; an empty sum leaves the bias."""
    before, after = (np.bincount(rows, minlength=c.n_nodes) for rows in (c.target, c.target[edges]))
    for row in np.flatnonzero((before > 0) & (after == 0)).tolist():
        name = c.aggregations[c.aggregation[row]].name
        if name != "sum":
            raise GraphError(
                f"neuron {brief(c.ids[row])} would be the {name} of nothing: the network cannot go without"
            )
