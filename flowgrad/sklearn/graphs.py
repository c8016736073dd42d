"""Convert the parameter `graph` of an estimator to a network, sized by the data if it has no size of its own."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import narwhals as nw

from flowgrad.arguments import repeated
from flowgrad.atomic import path_of
from flowgrad.errors import ConfigError, ShapeError, brief
from flowgrad.files import format_of, load
from flowgrad.model import column_name
from flowgrad.network import Network
from flowgrad.shapes import renamed
from flowgrad.sklearn.frames import known_frame
from flowgrad.topologies import from_edge_list, layered
from flowgrad.weights import initializer_for

HIDDEN = 32
"""Hidden neurons of graph=None: 64 predict scikit-learn's small data sets no better, and 32 fit into a picture."""


def sized_by_data(graph: Any) -> bool:
    """Return whether the network's size depends on the data: `graph` is None, or a callable."""
    return graph is None or (callable(graph) and not isinstance(graph, Network) and not hasattr(graph, "nodes"))


def given(graph: Any, activation: Any, seed: int, initializer: Any = None) -> Network:
    """Convert a graph of fixed size to a network; weights that it does not give are drawn from the seed.

    Args:
        graph: a Network, an `nx.DiGraph`, the path of a file, or an edge list: rows of (source, target) or (source,
            target, weight), as a sequence, an array or a data frame.
        activation: activation of the hidden neurons for which the graph or the file gives none.
        seed: seed of the missing weights, an integer ≥ 0.
        initializer: initializer of the missing weights; None uses the default of each activation. A Network has its
            own.

    Raises:
        ConfigError: `graph` is none of these. FileError, GraphError, UnknownNameError: as `Network.from_networkx`,
            `fg.load` and `topologies.from_edge_list`.
    """
    drawn: dict[str, Any] = {"seed": seed, "initializer": initializer_for(initializer)}
    if isinstance(graph, Network):
        return graph
    if hasattr(graph, "nodes"):
        return Network.from_networkx(graph, activation=activation, **drawn)
    if isinstance(graph, (str, os.PathLike)):
        reader = format_of(path_of(graph), None, "read").read
        known = () if reader is None else signature(reader).parameters
        options = {"activation": activation, **drawn}
        return load(graph, **{name: value for name, value in options.items() if name in known})
    frame = known_frame(graph, "graph", eager_only=True)
    rows = frame.rows() if isinstance(frame, nw.DataFrame) else graph.tolist() if hasattr(graph, "tolist") else graph
    if not isinstance(rows, Iterable):
        raise ConfigError(
            f"graph={brief(graph)}: give a Network, an nx.DiGraph, an edge list, the path of a file, a callable "
            "(inputs, outputs) → Network, or None"
        )
    return from_edge_list(rows, activation=activation, **drawn)


def sized(
    graph: Any, inputs: Sequence[str], outputs: Sequence[str], activation: Any, seed: int, initializer: Any = None
) -> Network:
    """Make the network for None (one hidden layer) or for a callable (number of inputs, number of outputs) → Network.

    If its nodes are numbered, inputs and outputs are renamed to the data's columns, targets and classes, and hidden
    neurons to h1, h2, …, unless two nodes would then have the same name.

    Raises:
        ConfigError: the callable does not return a Network or an `nx.DiGraph`.
    """
    if graph is None:
        made = layered([len(inputs), HIDDEN, len(outputs)], activation, seed=seed, initializer=initializer)
    else:
        made = graph(len(inputs), len(outputs))
        if not hasattr(made, "nodes"):
            raise ConfigError(f"graph({len(inputs)}, {len(outputs)}) gave {brief(made)}: it is to give a Network")
        made = given(made, activation, seed, initializer)
    c = made.columns
    if len(c.inputs) != len(inputs) or len(c.outputs) != len(outputs):
        return made  # which `fit_to` refuses
    hidden = (f"h{k}" for k in range(1, c.n_nodes - len(inputs) - len(outputs) + 1))
    numbered = all(type(node) is int for node in c.ids)
    if not numbered or repeated([*inputs, *outputs, *hidden]) is not None or set(c.inputs) & set(c.outputs):
        return made
    return renamed(made, inputs, outputs)


def fit_to(network: Network, inputs: int, outputs: int, meaning: str) -> None:
    """Raise ShapeError if the network's numbers of inputs or outputs differ from those that the data need."""
    if len(network.inputs) != inputs:
        raise ShapeError(f"inputs of the graph: {len(network.inputs)}; columns of X: {inputs}")
    if len(network.outputs) != outputs:
        raise ShapeError(f"outputs of the graph: {len(network.outputs)}; y asks for {outputs}, {meaning}")


def in_order(network: Network, inputs: Sequence[str], outputs: Sequence[str]) -> Network:
    """Reorder the network's inputs and outputs to match these names, if they are the names of its nodes."""
    c = network.columns
    rows = _ordered(network.inputs, c.inputs, inputs), _ordered(network.outputs, c.outputs, outputs)
    if rows[0] is c.inputs and rows[1] is c.outputs:
        return network
    return Network.from_columns(replace(c, inputs=rows[0], outputs=rows[1]))


def _ordered(nodes: Sequence[Hashable], rows: Any, names: Sequence[str]) -> Any:
    """Put the rows (N,) of nodes into the order of these names; unchanged if the nodes have other names."""
    place = {column_name(node): k for k, node in enumerate(nodes)}
    if list(place) == list(names) or sorted(place) != sorted(names):
        return rows
    return rows[[place[name] for name in names]]
