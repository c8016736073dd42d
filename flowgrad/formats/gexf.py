"""Read GEXF, Gephi's format, in every version, and write version 1.2.

GEXF itself defines an edge's weight, a node's label, the visual attributes `viz`, the creator, keywords and
description of the graph, and the type of its ids. Every other attribute is an `<attvalue>`, and other attributes of
the graph are JSON in `<meta>`. A value that is not text, a number or a truth value is JSON in a column of type string
that has `flowgrad.type="json"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as etree  # for writing only

from flowgrad.errors import FileError
from flowgrad.format import Format
from flowgrad.formats import _graph, _xml
from flowgrad.formats._assembly import Found, add_edge, add_node, is_serial, put, undirected
from flowgrad.formats._gexf import Columns, attributes_of, look_elements, meta_of, write_meta
from flowgrad.formats._xml import local

NAMESPACE = "http://www.gexf.net/1.2draft"
DIALECT = _graph.Dialect("GEXF", keep=_xml.keep, holds=_xml.holds)
WEIGHT = "weight"
DIRECTED = "directed"


def parse_graph(data: bytes, what: str, found: Found) -> Found:
    """Parse GEXF to a graph.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill, which is returned.

    Raises:
        FileError: the file is not GEXF, or has features that a network cannot have: several or nested graphs,
            undirected edges, a weight (or another number that flowgrad reads) that changes over time; an attribute is
            given twice.
    """
    root = _xml.root_of(data, what, "gexf")
    graphs = [child for child in root if local(child.tag) == "graph"]
    if len(graphs) != 1:
        raise FileError(f"{what} cannot be read: it holds {len(graphs)} graphs, and a network is one")
    (element,) = graphs
    for child in root:
        if local(child.tag) == "meta":
            found.graph.update(meta_of(child, what))
        elif child is not element:
            raise _xml.refused(child, what)
    for name, text in element.attrib.items():
        if name not in ("defaultedgetype", "idtype") and (name, text) != ("mode", "static"):
            put(found.graph, local(name), text, f"{what}: the graph")
    if element.get("idtype") == "integer":
        found.graph[_graph.IDS] = "int"
    columns = Columns(element, what)
    listed: dict[str, list[Any]] = {"nodes": [], "edges": []}
    for child in element:
        if local(child.tag) in listed:
            listed[local(child.tag)] += _members(child, what)
        elif local(child.tag) != "attributes":
            raise _xml.refused(child, f"{what}: the graph")
    for child in listed["nodes"]:
        _add_node(found, child, columns, what)
    _add_edges(found, listed["edges"], element.get("defaultedgetype", "undirected"), columns, what)
    return found


def _members(parent: Any, what: str) -> list[Any]:
    """Return the `<node>` elements of `<nodes>`, or the `<edge>` elements of `<edges>`."""
    name = local(parent.tag)
    for child in parent:
        if local(child.tag) != name[:-1]:
            raise _xml.refused(child, f"{what}: <{name}>")
    return list(parent)


def _add_node(found: Any, node: Any, columns: Columns, what: str) -> None:
    name = _xml.required(node, "id", what)
    place = f"{what}: node {name!r:.80}"
    attributes = attributes_of("node", node, columns, place)
    if node.get("label", name) != name:  # tools without labels write the id
        put(attributes, "label", node.get("label"), place)
    _others(attributes, node, ("id", "label"), place)
    add_node(found, name, columns.with_defaults("node", attributes), what)


def _add_edges(found: Any, edges: list[Any], default: str, columns: Columns, what: str) -> None:
    if default != DIRECTED and not edges:
        raise undirected(what)
    serial = is_serial([edge.get("id") for edge in edges])
    known = ("source", "target", "type", WEIGHT, *(["id"] if serial else []))
    for edge in edges:
        u, v = (_xml.required(edge, end, f"{what}: an edge") for end in ("source", "target"))
        place = f"{what}: edge {u!r:.80} → {v!r:.80}"
        if edge.get("type", default) != DIRECTED:
            raise undirected(place, "edge")
        attributes = attributes_of("edge", edge, columns, place)
        if WEIGHT in edge.attrib:
            number = _xml.value_of(edge.get(WEIGHT), "double", f"{place}: weight")
            if attributes.get(WEIGHT) != number:
                put(attributes, WEIGHT, number, place)
        _others(attributes, edge, known, place)
        add_edge(found, u, v, columns.with_defaults("edge", attributes), what)


def _others(attributes: dict[str, Any], element: Any, known: tuple[str, ...], place: str) -> None:
    """Add the XML attributes that are not in `known`, as text: start, end, kind, pid, …"""
    for name, text in element.attrib.items():
        if name not in known:
            put(attributes, local(name), text, place)


def dump(graph: Any, path: Path) -> bytes:
    """Serialize a graph to GEXF 1.2; return the bytes of the file."""
    root = etree.Element("gexf", {"xmlns": NAMESPACE, "xmlns:viz": f"{NAMESPACE}/viz", "version": "1.2"})
    about, keys = dict(graph.graph), _xml.Keys("")
    idtype = {"int": "integer", "text": "string"}[about.pop(_graph.IDS)]
    write_meta(root, about)
    element = etree.SubElement(root, "graph", defaultedgetype=DIRECTED, mode="static", idtype=idtype)
    nodes, edges = etree.Element("nodes"), etree.Element("edges")
    for v, attributes in graph.nodes(data=True):
        label = attributes.get("label")
        native = type(label) is str and _xml.holds(label) and label != str(v)
        node = etree.SubElement(nodes, "node", id=str(v), label=label if native else str(v))
        _add_attributes(node, "node", _without(attributes, "label") if native else attributes, keys)
    for k, (u, v, attributes) in enumerate(graph.edges(data=True)):
        weight = _xml.text_of(attributes[WEIGHT], "double")
        edge = etree.SubElement(edges, "edge", id=str(k), source=str(u), target=str(v), weight=weight)
        _add_attributes(edge, "edge", _without(attributes, WEIGHT), keys)
    declared = {scope: etree.Element("attributes", {"class": scope, "mode": "static"}) for scope in ("node", "edge")}

    def declare(key: str, scope: str, title: str, kind: str, mark: Mapping[str, str]) -> None:
        etree.SubElement(declared[scope], "attribute", {"id": key, "title": title, "type": kind, **mark})

    keys.declare(declare)
    element.extend([*(columns for columns in declared.values() if len(columns)), nodes, edges])
    return _xml.written(root)


def _add_attributes(element: Any, scope: str, attributes: Mapping[str, Any], keys: _xml.Keys) -> None:
    """Add visual attributes in Gephi's form, if that gives them back, and all others as `<attvalue>`."""
    looks = look_elements(attributes.get("viz"))
    values = [keys(scope, name, value) for name, value in attributes.items() if name != "viz" or not looks]
    if values:
        parent = etree.SubElement(element, "attvalues")
        for key, text in values:
            etree.SubElement(parent, "attvalue", {"for": key, "value": text})
    element.extend(looks)


def _without(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key != name}


read = _graph.reader(parse_graph, DIALECT)
write = _graph.writer(DIALECT, dump)

entry = Format(
    name="gexf",
    suffixes=(".gexf",),
    summary="GEXF, for Gephi",
    read=read,
    write=write,
    keeps="network",
)
