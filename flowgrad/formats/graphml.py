"""Read and write GraphML, as NetworkX, yEd, igraph and Gephi do.

An attribute is a `<data>` element whose `<key>` gives its name and type. A value that is not text, a number or a truth
value is JSON in a key of type string that has `flowgrad.type="json"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as etree  # for writing only

from flowgrad.errors import FileError, brief
from flowgrad.format import Format
from flowgrad.formats import _graph, _xml
from flowgrad.formats._assembly import Found, add_edge, add_node, is_serial, put, undirected
from flowgrad.formats._xml import local

NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
DIALECT = _graph.Dialect("GraphML", keep=_xml.keep, holds=_xml.holds)
SCOPES = ("graph", "node", "edge")
HINTS = "parse."  # prefix of attributes of <graph> that tell a parser the numbers of nodes and edges


@dataclass
class _Keys:
    """Hold the keys of a file: (name, type) by id, and the defaults by scope and name."""

    of: dict[str, tuple[str, str]] = field(default_factory=dict)
    defaults: dict[str, dict[str, Any]] = field(default_factory=lambda: {scope: {} for scope in SCOPES})


def parse_graph(data: bytes, what: str, found: Found) -> Found:
    """Parse GraphML to a graph.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill, which is returned.

    Raises:
        FileError: the file is not GraphML, or has features that a network cannot have: nested or several graphs,
            hyperedges, ports, undirected edges; an attribute is given twice.
    """
    root = _xml.root_of(data, what, "graphml")
    keys, graphs = _keys(root, what), [child for child in root if local(child.tag) == "graph"]
    if len(graphs) != 1:
        raise FileError(f"{what} cannot be read: it holds {len(graphs)} graphs, and a network is one")
    (element,) = graphs
    inside = [child for child in element if local(child.tag) not in ("node", "edge")]
    around = [child for child in root if local(child.tag) not in ("graph", "key")]
    names = {k: v for k, v in element.attrib.items() if k != "edgedefault" and not k.startswith(HINTS)}
    found.graph.update(_attributes("graph", [*around, *inside], names, keys, f"{what}: the graph"))
    for child in element:
        if local(child.tag) == "node":
            name = _xml.required(child, "id", what)
            place = f"{what}: node {name!r:.80}"
            names = {k: v for k, v in child.attrib.items() if k != "id"}
            add_node(found, name, _attributes("node", child, names, keys, place), what)
    _add_edges(found, element, keys, what)
    return found


def _keys(root: Any, what: str) -> _Keys:
    keys = _Keys()
    for child in root:
        if local(child.tag) != "key":
            continue
        key, scope = _xml.required(child, "id", what), child.get("for", "all")
        place = f"{what}: key {key!r:.80}"
        name = next((n for n in map(child.get, ("attr.name", "yfiles.type")) if n is not None), key)
        kind = child.get(_xml.MARK, child.get("attr.type", "string"))
        if key in keys.of:
            raise FileError(f"{place} is declared twice")
        keys.of[key] = (name, kind)
        for default in child:
            if local(default.tag) == "desc":
                continue
            if local(default.tag) != "default":
                raise _xml.refused(default, place)
            for to in SCOPES if scope == "all" else (scope,):
                if to in keys.defaults:
                    put(keys.defaults[to], name, _xml.value_of(_xml.inner(default), kind, place), place)
    return keys


def _attributes(scope: str, children: Any, names: Mapping[str, str], keys: _Keys, place: str) -> dict[str, Any]:
    """Return the attributes of a node, an edge or the graph: XML attributes, data, and defaults of the rest."""
    found: dict[str, Any] = {}
    labels = []
    for child in children:
        match local(child.tag):
            case "data":
                key = _xml.required(child, "key", place)
                if key not in keys.of:
                    raise FileError(f"{place}: its data is of the key {brief(key)}, which is not declared")
                name, kind = keys.of[key]
                if name in found:
                    raise FileError(f"{place}: attribute {brief(name)} is given twice")
                found[name] = _xml.value_of(_xml.inner(child), kind, f"{place}: {name!r:.80}")
                labels += _labels(child)
            case "desc":
                put(found, "desc", child.text or "", place)
            case "graph":
                raise FileError(f"{place} holds a graph of its own, and no neuron does: take it out of its group")
            case "port":
                raise FileError(f"{place} has a port: a network's edges go from node to node")
            case "hyperedge":
                raise FileError(f"{place} has a hyperedge: a network's edges go from one node to one node")
            case _:
                raise _xml.refused(child, place)
    for name, text in names.items():
        put(found, local(name), text, place)
    if labels:
        found.setdefault("label", labels[0])
    return keys.defaults[scope] | found


def _labels(data: Any) -> list[str]:
    """Return the labels within the shapes that yEd draws."""
    drawn = (e for e in data.iter() if local(e.tag) in ("NodeLabel", "EdgeLabel"))
    return [e.text.strip() for e in drawn if e.text and e.text.strip()]


def _add_edges(found: Any, element: Any, keys: _Keys, what: str) -> None:
    edges = [child for child in element if local(child.tag) == "edge"]
    default = element.get("edgedefault", "undirected")
    if default != "directed" and not edges:
        raise undirected(what)
    serial = is_serial([edge.get("id") for edge in edges])
    known = ("source", "target", "directed", *(["id"] if serial else []))
    for edge in edges:
        u, v = (_xml.required(edge, end, f"{what}: an edge") for end in ("source", "target"))
        place = f"{what}: edge {u!r:.80} → {v!r:.80}"
        if edge.get("directed", str(default == "directed").lower()) not in ("true", "1"):
            raise undirected(place, "edge")
        for port in ("sourceport", "targetport"):
            if port in edge.attrib:
                raise FileError(f"{place} has a {port}: a network's edges go from node to node")
        names = {k: text for k, text in edge.attrib.items() if k not in known}
        add_edge(found, u, v, _attributes("edge", edge, names, keys, place), what)


def dump(graph: Any, path: Path) -> bytes:
    """Serialize a graph to GraphML; return the bytes of the file."""
    root, keys = etree.Element("graphml", xmlns=NAMESPACE), _xml.Keys("d")
    element = etree.Element("graph", edgedefault="directed")

    def add(parent: Any, scope: str, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            key, text = keys(scope, name, value)
            etree.SubElement(parent, "data", key=key).text = text

    def declare(key: str, scope: str, name: str, kind: str, mark: Mapping[str, str]) -> None:
        names = {"id": key, "for": scope, "attr.name": name, "attr.type": kind, **mark}
        etree.SubElement(root, "key", names)

    add(element, "graph", graph.graph)
    for v, attributes in graph.nodes(data=True):
        add(etree.SubElement(element, "node", id=str(v)), "node", attributes)
    for u, v, attributes in graph.edges(data=True):
        add(etree.SubElement(element, "edge", source=str(u), target=str(v)), "edge", attributes)
    keys.declare(declare)
    root.append(element)
    return _xml.written(root)


read = _graph.reader(parse_graph, DIALECT)
write = _graph.writer(DIALECT, dump)

entry = Format(
    name="graphml",
    suffixes=(".graphml",),
    summary="GraphML, for NetworkX, yEd, igraph and Gephi",
    read=read,
    write=write,
    keeps="network",
)
