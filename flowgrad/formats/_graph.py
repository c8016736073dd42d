"""A network as a NetworkX graph of plain attributes, and back: what the formats of graph tools share.

Nodes carry `activation`, `aggregation`, `bias`, `response`, `trainable`, and `input` or `output` with their place
in the order; edges `weight`, `trainable`, `param`, and `place` among the in-edges of their neuron where the file's
own order is another one: sums are added, and ties decided, in that order. Values of the user's own that are text,
numbers or truth values go along. Ids are text, or whole numbers throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from flowgrad.errors import ConfigError, FileError, FlowgradError, GraphError
from flowgrad.format import Source
from flowgrad.network import Network

PLACES = ("input", "output")
PLACE = "place"
Values = Mapping[Hashable, Any]


def plain(net: Network, what: str, node_values: Mapping[str, Any], edge_values: Mapping[str, Any]) -> nx.DiGraph[Any]:
    """The network as a graph that any tool can hold.

    Args:
        what: the format, for messages.
        node_values, edge_values: further attributes, by name: mappings from node, or from (source, target), to a
            number; a vector becomes its mean (values of a batch), nodes may be left out. Or arrays, (V,) or (E,),
            in the order of the network's columns.

    Raises:
        GraphError: an id, a name of a param, an attribute or a function that is no plain value.
        ConfigError: values under a name that is taken.
    """
    graph: nx.DiGraph[Any] = nx.DiGraph()
    view = net.graph
    numbered = all(type(v) is int for v in view)
    for v, attributes in view.nodes(data=True):
        if type(v) is not str and not numbered:
            raise GraphError(f"node {v!r} is a {type(v).__name__}: {what} keeps ids of text, or of int throughout")
        graph.add_node(v, **_plain(attributes, f"node {v!r}", what))
    for place, names in zip(PLACES, (net.inputs, net.outputs), strict=True):
        for k, v in enumerate(names):
            graph.nodes[v][place] = k
    for u, v, attributes in view.edges(data=True):
        graph.add_edge(u, v, **_plain(attributes, f"edge {u!r} → {v!r}", what))
    for v in graph:
        if list(graph.pred[v]) != list(view.pred[v]):
            for k, u in enumerate(view.pred[v]):
                graph.edges[u, v][PLACE] = k
    for name, values in node_values.items():
        of_node = _named(name, values, list(net.columns.ids))
        for v, attributes in graph.nodes(data=True):
            if v in of_node:
                attributes[_free(name, attributes)] = _mean(of_node[v], name, v)
    for name, values in edge_values.items():
        of_edge = _named(name, values, net.columns.ends)
        for u, v, attributes in graph.edges(data=True):
            attributes[_free(name, attributes)] = _mean(of_edge[u, v], name, (u, v))
    graph.graph["ids"] = "int" if numbered else "text"
    return graph


def _free(name: str, attributes: Mapping[str, Any]) -> str:
    if name in attributes:
        raise ConfigError(f"values {name!r}: the network has an attribute of that name")
    return name


def _named(name: str, values: Any, ids: Sequence[Any]) -> Mapping[Any, Any]:
    """Values by id: as they are, or an array in the order of `ids`."""
    if isinstance(values, Mapping):
        return values
    array = np.asarray(values)
    if array.shape != (len(ids),):
        raise ConfigError(f"values {name!r} have shape {array.shape}: must be ({len(ids)},), or by name")
    return dict(zip(ids, array.tolist(), strict=True))


def _mean(value: Any, name: str, where: Any) -> float:
    mean = float(np.mean(value))
    if not math.isfinite(mean):
        raise ConfigError(f"value {name!r} of {where!r} is {mean}: a file keeps finite numbers")
    return mean


def lines(attributes: Mapping[str, Any], values: Iterable[str]) -> list[str]:
    """`a = 0.5` for each of the values, as labels of pictures show them."""
    return [f"{name} = {attributes[name]:.3g}" for name in values if name in attributes]


def _plain(attributes: Mapping[str, Any], place: str, what: str) -> dict[str, Any]:
    found = {}
    for key, value in attributes.items():
        if isinstance(value, np.generic):
            value = value.item()
        own = type(value) not in (str, int, float, bool) or type(key) is not str or key in (*PLACES, PLACE)
        if own or (isinstance(value, float) and not math.isfinite(value)):
            raise GraphError(f"{place}: attribute {key!r} is {value!r:.200}, which {what} cannot keep")
        found[key] = value
    return found


def reader(parse: Callable[[bytes, str], Any]) -> Callable[..., Network]:
    """The `read` of a format, from what makes a graph of the bytes of a file (and of its name, for messages)."""

    def read(
        source: Source,
        *,
        integer_ids: bool | None = None,
        inputs: Iterable[Hashable] | None = None,
        outputs: Iterable[Hashable] | None = None,
        activation: Any = "sigmoid",
        output_activation: Any = "identity",
        seed: int = 0,
    ) -> Network:
        """The network of a graph that a tool wrote.

        Args:
            integer_ids: whether ids are whole numbers; None goes by what the file says, else text.
            inputs, outputs: ids; None goes by the attributes `input` and `output`, else as from_networkx.

        Raises:
            FileError: not of the format; undirected, or parallel edges; ids that are no whole numbers, places
                that are not 0, 1, 2, …
            GraphError, CycleError, UnknownNameError: as `Network.from_networkx`.
        """
        graph, first, last = _settled(_parsed(source, parse), source, integer_ids)
        first, last = first if inputs is None else inputs, last if outputs is None else outputs
        return Network.from_networkx(graph, first, last, activation, output_activation, seed)

    return read


def writer(what: str, dump: Callable[[Any, Path], bytes]) -> Callable[..., Mapping[str, bytes]]:
    """The `write` of a format, from what makes bytes of a graph; `what` names the format in messages."""

    def write(
        net: Network,
        path: Path,
        *,
        node_values: Mapping[str, Any] | None = None,
        edge_values: Mapping[str, Any] | None = None,
    ) -> Mapping[str, bytes]:
        """Everything but functions of the user's own; `node_values`, `edge_values` and errors: see `plain`."""
        return {path.name: dump(plain(net, what, node_values or {}, edge_values or {}), path)}

    return write


def _settled(graph: Any, source: Source, integer_ids: bool | None) -> tuple[Any, Any, Any]:
    """The graph as a DiGraph with ids of their type and functions for names; inputs and outputs where it says."""
    what = str(source.path)
    if not graph.is_directed():
        raise FileError(f"{what}: the graph is undirected: a network's edges have a direction")
    if graph.is_multigraph():
        graph = _single(graph, what)
    if integer_ids or (integer_ids is None and graph.graph.get("ids") == "int"):
        graph = _numbered(graph, what)
    for _, attributes in graph.nodes(data=True):
        for kind in ("activation", "aggregation"):
            if isinstance(attributes.get(kind), str):
                attributes[kind] = source.function(f"{kind}s", attributes[kind])
    first, last = (_in_order(graph, place, what) for place in PLACES)
    if any(PLACE in attributes for _, _, attributes in graph.edges(data=True)):
        graph = _by_place(graph, what)
    graph.graph.pop("ids", None)
    return graph, first, last


def _single(graph: Any, what: str) -> Any:
    """The DiGraph of a multigraph that has no parallel edges: some readers give nothing else."""
    single: nx.DiGraph[Any] = nx.DiGraph()
    single.graph.update(graph.graph)
    single.add_nodes_from(graph.nodes(data=True))
    for u, v, attributes in graph.edges(data=True):
        if single.has_edge(u, v):
            raise FileError(f"{what}: edge {u!r} → {v!r} is given twice")
        single.add_edge(u, v, **attributes)
    return single


def _numbered(graph: Any, what: str) -> Any:
    names = {}
    for v in graph:
        try:
            names[v] = int(v)
        except (TypeError, ValueError):
            raise FileError(f"{what}: node {v!r} is no whole number") from None
    if len(set(names.values())) < len(names):
        raise FileError(f"{what}: two nodes have one number")
    return nx.relabel_nodes(graph, names)


def _in_order(graph: Any, place: str, what: str) -> list[Hashable] | None:
    """Nodes by their attribute `input` or `output`, which is taken off; None where no node has it."""
    found: dict[int, Hashable] = {}
    for v, attributes in graph.nodes(data=True):
        if place in attributes:
            k = attributes.pop(place)
            if isinstance(k, bool) or not isinstance(k, int) or k in found:
                raise FileError(f"{what}: node {v!r}: {place} {k!r:.80} must be a whole number of its own, 0, 1, 2, …")
            found[k] = v
    if sorted(found) != list(range(len(found))):
        raise FileError(f"{what}: the places {place} of nodes have a gap")
    return [found[k] for k in sorted(found)] or None


def _by_place(graph: Any, what: str) -> Any:
    """The graph with the in-edges of every neuron in the order of their `place`, which is taken off."""
    ordered: nx.DiGraph[Any] = nx.DiGraph()
    ordered.graph.update(graph.graph)
    ordered.add_nodes_from(graph.nodes(data=True))
    for v in graph:
        sources = list(graph.pred[v])
        places = [graph.edges[u, v].pop(PLACE, None) for u in sources]
        if any(place is not None for place in places):
            if not all(type(place) is int for place in places) or sorted(places) != list(range(len(places))):
                raise FileError(f"{what}: node {v!r}: the places of its in-edges are not 0, 1, 2, …: {places!r:.80}")
            sources = [u for _, u in sorted(zip(places, sources, strict=True), key=lambda pair: pair[0])]
        ordered.add_edges_from((u, v, graph.edges[u, v]) for u in sources)
    return ordered


def _parsed(source: Source, parse: Callable[[bytes, str], Any]) -> Any:
    """The graph that a parser makes of the file; whatever it raises becomes a FileError of one line."""
    data = source.read()
    try:
        return parse(data, str(source.path))
    except (FlowgradError, MemoryError):
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise FileError(f"{source.path} cannot be read: {said}") from None
