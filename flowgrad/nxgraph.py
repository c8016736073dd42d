"""Conversion of a NetworkX graph to a network's columns, and of columns to a read-only NetworkX graph."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from copy import deepcopy
from itertools import chain
from operator import itemgetter
from typing import Any, NoReturn

import networkx as nx
import numpy as np

from flowgrad.arguments import hashable
from flowgrad.attributes import encode, flags, numbers, rows_of
from flowgrad.columns import ABSENT, Columns
from flowgrad.errors import GraphError, brief, show
from flowgrad.reprs import named
from flowgrad.weights import initializer_for

NODE_KEYS = ("activation", "aggregation", "bias", "response", "trainable")
EDGE_KEYS = ("weight", "trainable", "param")
_IS_NEURON = ("activation", "aggregation", "bias")


def read(
    G: nx.DiGraph[Any],
    inputs: Iterable[Hashable] | None,
    outputs: Iterable[Hashable] | None,
    activation: object,
    output_activation: object,
    seed: int,
    initializer: object,
) -> Columns:
    """Make columns of a DiGraph: nodes in its order, each neuron's in-edges in the order of `G.pred`."""
    _refuse_other_graphs(G)
    if isinstance(G, ReversedView):
        inputs = (G.inputs or None) if inputs is None else inputs
        outputs = (G.outputs or None) if outputs is None else outputs
    ids = list(G)
    index = dict(zip(ids, range(len(ids)), strict=True))
    pred = dict(G.reverse(copy=False).adjacency())
    fan_in = np.fromiter(map(len, pred.values()), np.int64, len(ids))
    E = int(fan_in.sum())
    source = np.fromiter(map(index.__getitem__, chain.from_iterable(pred.values())), np.int32, E)
    target = np.repeat(np.arange(len(ids), dtype=np.int32), fan_in)
    node = _Attributes([G.nodes[v] for v in ids], lambda row: f"node {brief(ids[row])}")
    edge = _Attributes(
        list(chain.from_iterable(p.values() for p in pred.values())),
        lambda row: f"edge {brief(ids[source[row]])} → {brief(ids[target[row]])}",
    )
    input_rows, output_rows = _roles(node, index, source, fan_in, inputs, outputs)
    is_input = np.zeros(len(ids), bool)
    is_input[input_rows] = True
    default = [activation] * len(ids)
    for row in output_rows.tolist():
        default[row] = output_activation
    return Columns.of(
        ids,
        input_rows,
        output_rows,
        source,
        target,
        encode("activations", node.functions("activation", default, is_input), ids),
        encode("aggregations", node.functions("aggregation", ["sum"] * len(ids), is_input), ids),
        weight=edge.numbers("weight", np.nan),
        bias=node.numbers("bias", 0.0),
        response=node.numbers("response", 1.0),
        trainable=node.flags("trainable"),
        edge_trainable=edge.flags("trainable"),
        param=_params(edge),
        seed=seed,
        initializer=initializer_for(initializer),
        node_extra=node.extra(NODE_KEYS),
        edge_extra=edge.extra(EDGE_KEYS),
        graph_extra=dict(G.graph),
    )


def _refuse_other_graphs(G: object) -> None:
    if not isinstance(G, nx.Graph):
        instead = {"Network": ": its graph is network.graph", "Program": ": its graph is program.network().graph"}
        hint = instead.get(type(G).__name__, "")
        raise GraphError(f"from_networkx wants an nx.DiGraph, not a {type(G).__name__}{hint}")
    if G.is_multigraph() or not G.is_directed():
        kind = "a multigraph" if G.is_multigraph() else "undirected"
        raise GraphError(f"the graph is {kind} ({type(G).__name__}): a network wants an nx.DiGraph")


def _roles(
    node: _Attributes,
    index: Mapping[Hashable, int],
    source: Any,
    fan_in: Any,
    inputs: Iterable[Hashable] | None,
    outputs: Iterable[Hashable] | None,
) -> tuple[Any, Any]:
    """Determine the rows of inputs (I,) and outputs (O,), int32, as named, or by the defaults of `from_networkx`."""
    if inputs is None:
        neuron = fan_in > 0
        for key in node.keys & set(_IS_NEURON):
            neuron |= [value is not ABSENT for value in node.column(key)]
        input_rows = np.flatnonzero(~neuron).astype(np.int32)
    else:
        input_rows = rows_of(inputs, index, "input")
    if outputs is not None:
        return input_rows, rows_of(outputs, index, "output")
    sink = np.bincount(source, minlength=len(index)) == 0
    sink[input_rows] = False
    return input_rows, np.flatnonzero(sink).astype(np.int32)


class _Attributes:
    """Access by column to the attribute dicts of all nodes, or of all edges."""

    def __init__(self, dicts: list[Mapping[str, Any]], name: Any) -> None:
        self.dicts, self.name = dicts, name
        self.keys = set().union(*dicts)

    def column(self, key: str) -> list[Any]:
        return [d.get(key, ABSENT) for d in self.dicts]

    def numbers(self, key: str, absent: float) -> Any:
        if key not in self.keys:
            return absent
        try:
            values = list(map(itemgetter(key), self.dicts))
        except KeyError:
            values = [d.get(key) for d in self.dicts]
        return numbers(values, key, self.name, absent)

    def flags(self, key: str) -> Any:
        if key not in self.keys:
            return True
        return flags((d.get(key) for d in self.dicts), key, self.name)

    def functions(self, key: str, default: list[Any], is_input: Any) -> list[Any]:
        """List one function per node: its own, else the entry of `default`; None for inputs."""
        named = [d.get(key) for d in self.dicts] if key in self.keys else [None] * len(self.dicts)
        pairs = zip(named, default, is_input.tolist(), strict=True)
        return [None if i else (d if n is None else n) for n, d, i in pairs]

    def extra(self, known: tuple[str, ...]) -> dict[str, list[Any]]:
        return {key: self.column(key) for key in sorted(self.keys - set(known), key=str)}


def _params(edge: _Attributes) -> tuple[Any, tuple[Hashable, ...]]:
    """Encode each edge's `param`: (E,) int32 index into the names, −1 for none; and the names."""
    code = np.full(len(edge.dicts), -1, np.int32)
    names: dict[Hashable, int] = {}
    if "param" in edge.keys:
        for row, name in enumerate(edge.column("param")):
            if name is not ABSENT and name is not None:
                if not hashable(name):
                    raise GraphError(f"param {brief(name)} at {edge.name(row)}: must be hashable")
                code[row] = names.setdefault(name, len(names))
    return code, tuple(names)


# ---- and back -----------------------------------------------------------------------------------------------


class ReadOnlyAttributes(dict[str, Any]):
    """Read-only attribute dict of a node or edge of `net.graph`; copies of the graph have plain dicts."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise GraphError("net.graph is a read-only view: change the network by its own methods, or copy the graph")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(dict(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class ReversedView(nx.DiGraph):  # type: ignore[misc]  # networkx has no types
    """Reversed network graph, with the direction of every edge inverted: a read-only view that shares its attributes.

    inputs, outputs   ids: the network's outputs that feed no other node, and its inputs; the defaults of
                      `from_networkx` for this graph. () in views of this view.
    """

    inputs: tuple[Hashable, ...] = ()
    outputs: tuple[Hashable, ...] = ()

    @classmethod
    def of(cls, G: nx.DiGraph[Any], inputs: Iterable[Hashable], outputs: Iterable[Hashable]) -> ReversedView:
        """Make the reversed view of a network's graph from the network's inputs and outputs."""
        turned = cls()
        turned.graph, turned._node = G.graph, G._node
        turned._succ, turned._pred = G._pred, G._succ
        turned.inputs, turned.outputs = tuple(n for n in outputs if not G.succ[n]), tuple(inputs)
        nx.freeze(turned)
        return turned

    def copy(self, as_view: bool = False) -> nx.DiGraph[Any]:
        """Copy to a plain mutable `nx.DiGraph`."""
        return nx.DiGraph(self).copy(as_view)

    def __repr__(self) -> str:
        pairs = ((f"{show(u)} → {show(v)}", w) for u, v, w in self.edges(data="weight"))
        n = self.number_of_edges()
        return f"ReversedView({self.number_of_nodes():,} nodes, {n:,} edge{'' if n == 1 else 's'}, {named(pairs, n)})"


def view(c: Columns) -> nx.DiGraph[Any]:
    """Make a frozen DiGraph with every attribute; nodes and the in-edges of each neuron are in the columns' order."""
    G: nx.DiGraph[Any] = nx.DiGraph()
    G.graph.update(c.graph_extra)
    node, edge = _node_attributes(c), _edge_attributes(c)
    G.add_nodes_from(c.ids)
    ids = list(c.ids)
    source, target = map(ids.__getitem__, c.source.tolist()), map(ids.__getitem__, c.target.tolist())
    G.add_edges_from(zip(source, target, strict=True))
    for v, attributes in zip(ids, node, strict=True):
        G._node[v] = ReadOnlyAttributes(attributes)
    ends = zip(map(ids.__getitem__, c.source.tolist()), map(ids.__getitem__, c.target.tolist()), strict=True)
    for (u, v), attributes in zip(ends, edge, strict=True):
        G._succ[u][v] = G._pred[v][u] = ReadOnlyAttributes(attributes)
    return nx.freeze(G)


def _node_attributes(c: Columns) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in c.ids]
    for row in np.flatnonzero(~c.is_input).tolist():
        activation, aggregation = c.activations[c.activation[row]], c.aggregations[c.aggregation[row]]
        rows[row]["activation"] = short_name("activations", activation)
        name = short_name("aggregations", aggregation)
        if name != "sum":  # a user's own record is kept as a record, whatever its name
            rows[row]["aggregation"] = name
        rows[row]["bias"] = float(c.bias[row])
        if c.response[row] != 1.0:
            rows[row]["response"] = float(c.response[row])
        if not c.trainable[row]:
            rows[row]["trainable"] = False
    _add_extra(rows, c.node_extra)
    return rows


def _edge_attributes(c: Columns) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"weight": w} for w in c.weights.tolist()]
    for row in np.flatnonzero(~c.edge_trainable).tolist():
        rows[row]["trainable"] = False
    for row in np.flatnonzero(c.param >= 0).tolist():
        rows[row]["param"] = c.params[c.param[row]]
    _add_extra(rows, c.edge_extra)
    return rows


def _add_extra(rows: list[dict[str, Any]], extra: Mapping[str, Any]) -> None:
    for key, column in extra.items():
        for row, value in zip(rows, column, strict=True):
            if value is not ABSENT:
                row[key] = value


def short_name(kind: str, record: Any) -> Any:
    """Return the record's name if the registry has this record under it, else the record."""
    from flowgrad.registry import find, names

    return record.name if record.name in names(kind) and find(kind, record.name) == record else record
