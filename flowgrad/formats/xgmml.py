"""Read XGMML, Cytoscape's XML: nodes and edges with `<att>` elements, each with a name, a type and a value.

A node's `label` is its id if the file's ids are all numbers, as in files of Cytoscape, and all labels are distinct.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as etree  # for writing only

from flowgrad.errors import FileError
from flowgrad.format import Format
from flowgrad.formats import _graph, _xml
from flowgrad.formats._assembly import Found, add_edge, add_node, is_serial, put, undirected
from flowgrad.formats._xml import local

ID, LABEL, WEIGHT, DIRECTED = "id", "label", "weight", "directed"
ENDS = ("source", "target")
YES = ("1", "true")
DIALECT = _graph.Dialect("XGMML")


def parse_graph(data: bytes, what: str, found: Found) -> Found:
    """Parse XGMML to a graph.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill, which is returned.

    Raises:
        FileError: the file is not XGMML, or has features that a network cannot have: groups, undirected edges; an
            attribute is given twice or does not match its type.
    """
    root = _xml.root_of(data, what, "graph")
    members: dict[str, list[Any]] = {"node": [], "edge": []}
    for child in root:
        members.get(local(child.tag), []).append(child)
    others = [child for child in root if local(child.tag) not in members]
    found.graph.update(_attributes(root, others, (ID, DIRECTED), f"{what}: the graph"))
    ids = _ids(members["node"], what)
    for node in members["node"]:
        name = ids[node.get(ID)]
        attributes = _attributes(node, node, (ID,), f"{what}: node {name!r:.80}")
        if attributes.get(LABEL) == name:
            del attributes[LABEL]
        add_node(found, name, attributes, what)
    default = root.get(DIRECTED, "0")
    if default not in YES and not members["edge"]:
        raise undirected(what)
    names = [edge.get(ID) for edge in members["edge"]]
    numbered = is_serial(names) or all(name is None or name.isdecimal() for name in names)
    for edge in members["edge"]:
        u, v = (ids.get(end, end) for end in (_xml.required(edge, end, f"{what}: an edge") for end in ENDS))
        place = f"{what}: edge {u!r:.80} → {v!r:.80}"
        said = {local(name): value for name, value in edge.attrib.items()}
        if said.get(DIRECTED, default).lower() not in YES:
            raise undirected(place, "edge")
        skipped = (*ENDS, DIRECTED, ID) if numbered else (*ENDS, DIRECTED)
        add_edge(found, u, v, _attributes(edge, edge, skipped, place), what)
    return found


def _ids(nodes: list[Any], what: str) -> dict[str, str]:
    """Return the names of nodes by their id in the file."""
    ids = [_xml.required(node, ID, f"{what}: a node") for node in nodes]
    labels = [node.get(LABEL) for node in nodes]
    serial = all(name.removeprefix("-").isdecimal() for name in ids)
    if serial and all(labels) and len(set(labels)) == len(labels) == len(set(ids)):
        return dict(zip(ids, labels, strict=True))
    return {name: name for name in ids}


def _attributes(element: Any, children: Any, skipped: tuple[str, ...], place: str) -> dict[str, Any]:
    """Return the attributes of an element: its XML attributes, its `<att>`, and `<graphics>` as XML."""
    found: dict[str, Any] = {}
    for name, text in element.attrib.items():
        if local(name) not in skipped:
            put(found, local(name), _xml.value_of(text, "real", place) if name == WEIGHT else text, place)
    for child in children:
        match local(child.tag):
            case "att" if child.get("name") is not None:
                name = child.get("name")
                value = _value(child, f"{place}: {name!r:.80}")
                if value is not None and name not in skipped:
                    put(found, name, value, place)
            case "graphics":
                put(found, "graphics", etree.tostring(child, encoding="unicode").strip(), place)
            case "att" if any(local(inner.tag) == "graph" for inner in child):
                raise FileError(f"{place} holds a graph of its own, and no neuron does: take it out of its group")
            case _:
                raise _xml.refused(child, place)
    return found


def _value(att: Any, place: str) -> Any:
    """Return the value of an `<att>`: a list of those within it, other elements as XML; None where it has none."""
    inner = list(att)
    if any(local(child.tag) == "graph" for child in inner):
        raise FileError(f"{place} holds a graph of its own, and no neuron does: take it out of its group")
    if att.get("type") == "list" or (inner and all(local(child.tag) == "att" for child in inner)):
        return [_value(child, place) for child in inner]
    if inner:
        return _xml.inner(att)
    text = att.get("value")
    return None if text is None else _xml.value_of(text, att.get("type", "string"), place)


read = _graph.reader(parse_graph, DIALECT)

entry = Format(
    name="xgmml",
    suffixes=(".xgmml",),
    summary="XGMML, Cytoscape's XML",
    read=read,
    example=b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<graph id="52" label="net" directed="1" xmlns:cy="http://www.cytoscape.org" xmlns="http://www.cs.rpi.edu/XGMML">
  <att name="networkMetadata"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></att>
  <node id="62" label="TP53"><att name="degree" value="1" type="integer" cy:type="Integer"/>
    <graphics x="1.5" y="-2"/></node>
  <node id="63" label="MDM2"><att name="bias" value="0.25" type="real"/>
    <att name="aliases" type="list"><att value="HDM2" type="string"/></att></node>
  <edge id="64" label="TP53 (pd) MDM2" source="62" target="63" cy:directed="1">
    <att name="weight" value="0.5" type="real"/></edge>
</graph>
""",
)
