"""Convert a network to a NetworkX graph with attributes and back: shared by the formats of graph tools.

Nodes carry `activation`, `aggregation`, `bias`, `response`, `trainable`, and `input` or `output`, their index among
these; edges carry `weight`, `trainable`, `param`, and `place`, their index among the in-edges of their target, where
the file's order is a different one: terms are added, and ties decided, in that order. The graph carries `ids`, "int"
or "text": ids are all integers, or all text.

A user's attributes of nodes, edges and the graph keep their names. A name that is reserved, by the attributes above
or by the format, is written with the prefix `flowgrad:` (`flowgrad:id`), which the reader removes.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from flowgrad.errors import ConfigError, FileError, FlowgradError, GraphError, brief, suggest
from flowgrad.format import Source
from flowgrad.formats._assembly import Found, put
from flowgrad.formats._edges import Duplicates
from flowgrad.formats._values import as_json, json_holds, shown
from flowgrad.network import Network
from flowgrad.nxgraph import EDGE_KEYS, NODE_KEYS

PLACES = ("input", "output")
PLACE = "place"
IDS = "ids"
OWN = "flowgrad:"  # prefix of a user's attribute whose name is reserved
_OWN = re.compile(f"(?:{OWN})*")


@dataclass(frozen=True)
class Dialect:
    """Describe which attributes a format of graph tools can hold, and which names it reserves.

    what   the name of the format, for messages
    keep   converts an attribute's value for the format; TypeError, with the reason, if it could not be read back
    holds  tells whether an id or a name of this text is read back unchanged
    node, edge, graph   names reserved by the format; `taken` adds those that flowgrad reserves in every format
    own    whether a user's attributes are written
    """

    what: str
    keep: Callable[[Any], Any] = as_json
    holds: Callable[[str], bool] = json_holds
    node: tuple[str, ...] = ()
    edge: tuple[str, ...] = ()
    graph: tuple[str, ...] = ()
    own: bool = True

    def taken(self, scope: str) -> set[str]:
        """Return the reserved names of a scope: "node", "edge" or "graph"."""
        ours = {"node": PLACES, "edge": (PLACE,), "graph": (IDS,)}[scope]
        return {*ours, *getattr(self, scope)}

    def named(self, scope: str, attributes: Mapping[Any, Any], place: str) -> dict[str, Any]:
        """Return attributes with the names and values that they have in a file.

        Raises:
            GraphError: a name or a value that the format cannot keep.
        """
        taken, found = self.taken(scope), {}
        known = {"node": NODE_KEYS, "edge": EDGE_KEYS, "graph": ()}[scope]
        for name, value in attributes.items():
            if not self.own and name not in known:
                continue
            if type(name) is not str or not self.holds(name):
                raise GraphError(f"{place}: attribute {shown(name)} has a name that {self.what} cannot hold")
            plain = value.item() if isinstance(value, np.generic) else value
            try:
                found[OWN + name if _base(name) in taken else name] = self.keep(plain)
            except TypeError as error:
                raise GraphError(
                    f"{place}: attribute {brief(name)} is {shown(value)}, which {self.what} cannot keep: it is {error}"
                ) from None
        return found

    def restore(self, scope: str, attributes: dict[str, Any], place: str) -> None:
        """Remove the prefix from attributes whose name is reserved, in place.

        Raises:
            FileError: another attribute has this name and a different value.
        """
        taken = self.taken(scope)
        ours = [name for name in attributes if name.startswith(OWN) and _base(name) in taken]
        for name, value in [(name, attributes.pop(name)) for name in ours]:
            put(attributes, name.removeprefix(OWN), value, place)


def _base(name: str) -> str:
    """Return the name without prefixes `OWN`, of which it may have several."""
    return name[_OWN.match(name).end() :]  # type: ignore[union-attr]  # it matches everything


# ---- out ----------------------------------------------------------------------------------------------------


def plain(
    net: Network, dialect: Dialect, node_values: Mapping[str, Any], edge_values: Mapping[str, Any]
) -> nx.DiGraph[Any]:
    """Convert the network to a graph that the format can hold.

    Args:
        node_values, edge_values: as for `write`, which `writer` makes.

    Raises:
        GraphError: an id, a name of a param, an attribute or a function that the format cannot keep.
        ConfigError: values under a name that is reserved or exists, or that are not finite.
    """
    graph: nx.DiGraph[Any] = nx.DiGraph()
    view = net.graph
    numbered = all(type(v) is int for v in view)
    for v, attributes in view.nodes(data=True):
        if type(v) is not str and not numbered:
            raise GraphError(
                f"node {brief(v)} is a {type(v).__name__}: {dialect.what} keeps ids of text, or of int throughout"
            )
        if not numbered and not dialect.holds(v):
            raise GraphError(f"node {brief(v)} has a character that {dialect.what} cannot hold")
        graph.add_node(v)
        graph.nodes[v].update(dialect.named("node", attributes, f"node {v!r:.80}"))
    for place, names in zip(PLACES, (net.inputs, net.outputs), strict=True):
        for k, v in enumerate(names):
            graph.nodes[v][place] = k
    for u, v, attributes in view.edges(data=True):
        graph.add_edge(u, v)
        graph.edges[u, v].update(dialect.named("edge", attributes, f"edge {u!r:.80} → {v!r:.80}"))
    for v in graph:
        if list(graph.pred[v]) != list(view.pred[v]):
            for k, u in enumerate(view.pred[v]):
                graph.edges[u, v][PLACE] = k
    _add_values(graph, net, dialect, node_values, edge_values)
    graph.graph.update(dialect.named("graph", view.graph, "the graph"))
    graph.graph[IDS] = "int" if numbered else "text"
    return graph


def _add_values(
    graph: Any, net: Network, dialect: Dialect, node_values: Mapping[str, Any], edge_values: Mapping[str, Any]
) -> None:
    for name, values in node_values.items():
        of_node = _by_id(_free(name, "node", dialect), values, list(net.columns.ids))
        for v, attributes in graph.nodes(data=True):
            if v in of_node:
                attributes[_unused(name, attributes)] = _mean(of_node[v], name, v)
    for name, values in edge_values.items():
        of_edge = _by_id(_free(name, "edge", dialect), values, net.columns.ends)
        for u, v, attributes in graph.edges(data=True):
            attributes[_unused(name, attributes)] = _mean(of_edge[u, v], name, (u, v))


def _free(name: str, scope: str, dialect: Dialect) -> str:
    if not isinstance(name, str) or not dialect.holds(name):
        raise ConfigError(f"values {shown(name)}: must have a name of text that {dialect.what} can hold")
    if _base(name) in dialect.taken(scope):
        raise ConfigError(f"values {brief(name)}: {dialect.what} takes this name for itself")
    return name


def _unused(name: str, attributes: Mapping[str, Any]) -> str:
    if name in attributes:
        raise ConfigError(f"values {brief(name)}: the network has an attribute of that name")
    return name


def _by_id(name: str, values: Any, ids: Sequence[Any]) -> Mapping[Any, Any]:
    """Return values as a mapping by id; an array is in the order of `ids`."""
    if isinstance(values, Mapping):
        return values
    array = np.asarray(values)
    if array.shape != (len(ids),):
        raise ConfigError(f"values {brief(name)} have shape {array.shape}: must be ({len(ids)},), or by name")
    return dict(zip(ids, array.tolist(), strict=True))


def _mean(value: Any, name: str, where: Any) -> float:
    mean = float(np.mean(value))
    if not math.isfinite(mean):
        raise ConfigError(f"value {brief(name)} of {brief(where)} is {mean}: a file keeps finite numbers")
    return mean


def lines(attributes: Mapping[str, Any], values: Iterable[str]) -> list[str]:
    """Format the attributes named in `values` as `a = 0.5`, for labels of pictures; missing ones are skipped."""
    return [f"{name} = {attributes[name]:.3g}" for name in values if name in attributes]


def writer(dialect: Dialect, dump: Callable[[Any, Path], bytes]) -> Callable[..., Mapping[str, bytes]]:
    """Make the function `write` of a format from `dump(graph, path)`, which serializes a graph to bytes."""

    def write(
        net: Network,
        path: Path,
        *,
        node_values: Mapping[str, Any] | None = None,
        edge_values: Mapping[str, Any] | None = None,
    ) -> Mapping[str, bytes]:
        """Return the file of a network with all its attributes, as {file name: content}.

        Args:
            node_values, edge_values: attributes by name: mappings from a node (some may be missing) or (source, target)
                to a number or a vector, which becomes its mean; or arrays (V,), (E,) in the order of the columns.

        Raises:
            GraphError: the format cannot hold an id or an attribute, or a function is user-defined.
            ConfigError: values have a name that is reserved or exists, another shape, or are not finite.
        """
        return {path.name: dump(plain(net, dialect, node_values or {}, edge_values or {}), path)}

    return write


# ---- in -----------------------------------------------------------------------------------------------------


def reader(parse: Callable[[bytes, str, Found], Any], dialect: Dialect) -> Callable[..., Network]:
    """Make the function `read` of a format from `parse(data, name, found)`, which converts bytes to a graph."""

    def read(
        source: Source,
        *,
        id: str | None = None,
        integer_ids: bool | None = None,
        duplicates: Duplicates = "error",
        drop_self_loops: bool = False,
        inputs: Iterable[Hashable] | None = None,
        outputs: Iterable[Hashable] | None = None,
        activation: Any = "tanh",
        output_activation: Any = "identity",
        seed: int = 0,
        initializer: Any = None,
    ) -> Network:
        """Read the network of a graph in a format of graph tools.

        Args:
            id: attribute of nodes that is used as id, such as "name" or "label". Default: the format's own id.
            integer_ids: whether ids are integers. Default: the type that the file states, else text.
            duplicates: for several edges between the same two nodes: "first" keeps the first, "sum" keeps the first
                with the sum of the weights, "error" raises FileError.
            drop_self_loops: whether edges from a node to itself are skipped; otherwise they raise FileError.
            inputs, outputs: ids, in order. Default: the nodes with the attribute `input` or `output`, in the order of
                its values, else as for `Network.from_networkx`.
            activation, output_activation: activation of hidden neurons and of outputs for which the file gives none.
            seed, initializer: seed (an integer ≥ 0) and initializer of the weights that the file does not give.

        Raises:
            FileError: the file is not of the format; the graph is undirected; an edge is a self-loop, is given twice
                or has a node that is not listed; a node is given twice; ids are not distinct, or not integers as
                `integer_ids` requires; the values of `input` or `output` are not 0, 1, 2, …
            GraphError, CycleError, UnknownNameError: as `Network.from_networkx`.
        """
        graph, what = _parsed(source, parse, Found(duplicates, drop_self_loops)), str(source.path)
        if id is not None:
            graph = renamed(graph, _named_by(graph, id, what))
        if integer_ids or (graph.graph.get(IDS) == "int" and integer_ids is None):
            graph = _numbered(graph, what)
        first, last = (
            _in_order(graph, place, what) if given is None else _given(graph, place, given)
            for place, given in zip(PLACES, (inputs, outputs), strict=True)
        )
        graph = _settled(graph, source, dialect)
        functions = activation, output_activation
        return Network.from_networkx(graph, first, last, *functions, seed, initializer=initializer)

    return read


def _settled(graph: Any, source: Source, dialect: Dialect) -> Any:
    """Replace names of functions by functions, order in-edges by `place`, restore attribute names; return the graph."""
    what = str(source.path)
    for _, attributes in graph.nodes(data=True):
        for kind in ("activation", "aggregation"):
            if isinstance(attributes.get(kind), str):
                attributes[kind] = source.function(f"{kind}s", attributes[kind])
    if any(type(attributes.get(PLACE)) is int for _, _, attributes in graph.edges(data=True)):
        graph = _by_place(graph, what)
    if graph.graph.get(IDS) in ("int", "text"):
        del graph.graph[IDS]
    for v, attributes in graph.nodes(data=True):
        dialect.restore("node", attributes, f"{what}: node {v!r:.80}")
    for u, v, attributes in graph.edges(data=True):
        dialect.restore("edge", attributes, f"{what}: edge {u!r:.80} → {v!r:.80}")
    dialect.restore("graph", graph.graph, f"{what}: the graph")
    return graph


def _numbered(graph: Any, what: str) -> Any:
    names = {}
    for v in graph:
        try:
            names[v] = int(v)
        except (TypeError, ValueError):
            raise FileError(f"{what}: node {brief(v)} is not an integer") from None
    if len(set(names.values())) < len(names):
        raise FileError(f"{what}: two nodes have one number")
    return renamed(graph, names)


def _named_by(graph: Any, key: str, what: str) -> dict[Hashable, Hashable]:
    """Map each node to its value of the attribute `key`, to be its id.

    Raises:
        FileError: a node has no value, values are neither all text nor all integers, or two nodes have the same.
    """
    names = {v: attributes.get(key) for v, attributes in graph.nodes(data=True)}
    kinds = set(map(type, names.values()))
    by_name: dict[Hashable, Hashable] = {}
    for v, name in names.items():
        if name is None:
            has = suggest(key, map(str, graph.nodes[v]))
            raise FileError(f"{what}: node {brief(v)} has no {brief(key)}, which id= takes for ids{has}")
        if (kinds != {int} and type(name) is not str) or name == "":
            raise FileError(f"{what}: node {brief(v)}: {key} {shown(name)} is no id: text, or integers throughout")
        if by_name.setdefault(name, v) != v:
            said = f"nodes {brief(by_name[name])} and {brief(v)} have one {brief(key)}, {brief(name)}"
            raise FileError(f"{what}: {said}: id= takes an attribute that tells nodes apart")
    return names


def renamed(graph: Any, names: Mapping[Hashable, Hashable]) -> nx.DiGraph[Any]:
    """Return a copy of the graph with renamed nodes, the order of nodes and in-edges unchanged."""
    renamed: nx.DiGraph[Any] = nx.DiGraph()
    renamed.graph.update(graph.graph)
    for v, attributes in graph.nodes(data=True):
        renamed.add_node(names[v])
        renamed.nodes[names[v]].update(attributes)
    for v in graph:
        for u, attributes in graph.pred[v].items():
            renamed.add_edge(names[u], names[v])
            renamed.edges[names[u], names[v]].update(attributes)
    return renamed


def _in_order(graph: Any, place: str, what: str) -> list[Hashable] | None:
    """List the nodes by their attribute `input` or `output`, and delete it; None if no value of it is an integer.

    Raises:
        FileError: the numbers are not 0, 1, 2, …
    """
    found = {v: attributes[place] for v, attributes in graph.nodes(data=True) if place in attributes}
    if not any(type(k) is int for k in found.values()):
        return None
    by_place: dict[int, Hashable] = {}
    for v, k in found.items():
        if type(k) is not int or k in by_place:
            raise FileError(
                f"{what}: node {brief(v)}: {place} {shown(k)} must be an integer of its own, 0, 1, 2, …; "
                f"with {place}s= it may be anything"
            )
        by_place[k] = v
    if sorted(by_place) != list(range(len(by_place))):
        raise FileError(f"{what}: the places {place} of nodes have a gap; with {place}s= they may be anything")
    for v in found:
        del graph.nodes[v][place]
    return [by_place[k] for k in sorted(by_place)]


def _given(graph: Any, place: str, given: Iterable[Hashable]) -> Iterable[Hashable]:
    """Return the ids that the caller gave, and delete the attribute `input` or `output` where it is flowgrad's."""
    with contextlib.suppress(FileError):
        _in_order(graph, place, "")
    return given


def _by_place(graph: Any, what: str) -> Any:
    """Return the graph with the in-edges of every neuron in the order of their `place`, which is deleted."""
    ordered: nx.DiGraph[Any] = nx.DiGraph()
    ordered.graph.update(graph.graph)
    ordered.add_nodes_from(graph.nodes(data=True))
    for v in graph:
        sources = list(graph.pred[v])
        places = [graph.edges[u, v].pop(PLACE, None) for u in sources]
        if any(place is not None for place in places):
            if not all(type(place) is int for place in places) or sorted(places) != list(range(len(places))):
                raise FileError(
                    f"{what}: node {brief(v)}: the places of its in-edges are not 0, 1, 2, …: {shown(places)}"
                )
            sources = [u for _, u in sorted(zip(places, sources, strict=True), key=lambda pair: pair[0])]
        ordered.add_edges_from((u, v, graph.edges[u, v]) for u in sources)
    return ordered


def _parsed(source: Source, parse: Callable[[bytes, str, Found], Any], found: Found) -> Any:
    """Parse the file to a graph; exceptions other than flowgrad's and MemoryError become a FileError of one line."""
    data = source.read()
    try:
        return parse(data, str(source.path), found)
    except (FlowgradError, MemoryError):
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise FileError(f"{source.path} cannot be read: {said}") from None
