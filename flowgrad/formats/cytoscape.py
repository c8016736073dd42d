"""Read and write Cytoscape's JSON (`.cyjs`): elements of nodes and edges, each with its `data`.

Three variants are read. In files of flowgrad and of NetworkX, a node's `value` is its id. Cytoscape's desktop program
replaces ids by serial numbers, `SUID`, and keeps the original id as `name`: if all nodes have distinct names, these
become the ids; otherwise the serial numbers are the ids, and the names become labels. In all other files `id` is the
id.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowgrad.errors import FileError, brief
from flowgrad.format import Format
from flowgrad.formats import _graph
from flowgrad.formats._assembly import Found, add_edge, add_node, is_serial, put, undirected
from flowgrad.formats._strict import parse

ID, VALUE, NAME, SERIAL, KEY, POSITION = "id", "value", "name", "SUID", "key", "position"
ENDS = ("source", "target")
DIALECT = _graph.Dialect("Cytoscape JSON", node=(ID, VALUE), edge=(ID, *ENDS))
KNOWN = ("data", "elements", "directed", "multigraph")


def parse_graph(data: bytes, what: str, found: Found) -> Found:
    """Parse Cytoscape's JSON to a graph; keys of an element besides `data` become attributes, too.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill, which is returned.

    Raises:
        FileError: the JSON has another form, or the graph is undirected; `add_node` or `add_edge` rejects an entry.
    """
    document = _object(parse(data, what), what)
    elements = _object(document.get("elements"), f"{what}: elements")
    if document.get("directed") is False:
        raise undirected(what)
    found.graph.update(_about(document, what))
    of_networkx = isinstance(document.get("data"), list)
    ids = _add_nodes(found, _entries(elements, "nodes", what), of_networkx)
    edges = _entries(elements, "edges", what)
    numbered = _are_numbers([values for values, _ in edges])
    for values, place in edges:
        u, v = (_id(values.pop(end, None), f"{place}.data.{end}", of_networkx) for end in ENDS)
        if numbered:
            values.pop(ID, None)
        if document.get("multigraph") and values.get(KEY) == 0:  # NetworkX numbers parallel edges
            del values[KEY]
        add_edge(found, ids.get(u, u), ids.get(v, v), values, place)
    return found


def _about(document: dict[str, Any], what: str) -> dict[str, Any]:
    """Return the attributes of the graph: its data, an object or NetworkX's list of pairs, and other keys."""
    given = document.get("data", {})
    if isinstance(given, list) and all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in given):
        given = dict(given)
    found = dict(_object(given, f"{what}: data"))
    for name, value in document.items():
        if name not in KNOWN:
            put(found, name, value, f"{what}: data")
    return found


def _entries(elements: dict[str, Any], name: str, what: str) -> list[tuple[dict[str, Any], str]]:
    """Return (attributes, place) of every node or edge, from its data and keys beside them (position, selected, …)."""
    entries = elements.get(name)
    if not isinstance(entries, list):
        raise FileError(f"{what}: elements.{name} is {brief(entries)}: must be a list")
    found = []
    for k, entry in enumerate(entries):
        place = f"{what}: elements.{name}[{k}]"
        values = dict(_object(_object(entry, place).get("data"), f"{place}.data"))
        for beside, value in entry.items():
            if beside != "data":
                put(values, beside, value, place)
        found.append((values, place))
    return found


def _add_nodes(found: Any, entries: list[tuple[dict[str, Any], str]], of_networkx: bool) -> dict[Any, Any]:
    """Add the nodes; return their ids by the names that edges use: `value` in NetworkX's files, else `id`."""
    nodes = [values for values, _ in entries]
    desktop = bool(nodes) and all(SERIAL in values and values.get(ID) == str(values[SERIAL]) for values in nodes)
    source = ID
    if (of_networkx or _graph.IDS in found.graph) and _tell_apart(nodes, VALUE, (str, int)):
        source = VALUE
    elif desktop and all(node.get(NAME) for node in nodes) and _tell_apart(nodes, NAME, (str,)):
        source = NAME
    ids: dict[Any, Any] = {}
    for values, place in entries:
        name = _id(values[VALUE] if of_networkx else values.get(ID), f"{place}.data.id", of_networkx)
        if name in ids:
            raise FileError(f"{place}: node {brief(name)} is listed twice")
        ids[name] = values[source] if source != ID else name
        if source == VALUE:
            del values[VALUE]
        if desktop and source == ID and isinstance(values.get(NAME), str):
            values.setdefault("label", values[NAME])
        if not of_networkx or values.get(ID) == str(name):
            values.pop(ID, None)
        add_node(found, ids[name], values, place)
    return ids


def _tell_apart(nodes: list[dict[str, Any]], key: str, types: tuple[type, ...]) -> bool:
    """Tell whether the nodes' values under the key are distinct and of one of the types."""
    values = [node.get(key) for node in nodes]
    return all(type(value) in types for value in values) and len(set(values)) == len(values)


def _are_numbers(edges: list[dict[str, Any]]) -> bool:
    """Tell whether the ids of edges are serial numbers: of the file, or the desktop program's `SUID`."""
    serial = [SERIAL in values and values.get(ID) == str(values[SERIAL]) for values in edges]
    return all(serial) or is_serial([values.get(ID) for values in edges])


def _object(value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise FileError(f"{place} is {brief(value)}: must be an object")
    return value


def _id(value: Any, place: str, as_it_is: bool) -> Any:
    """Return an id as text, or unchanged if it may be an integer, as in NetworkX's files."""
    if type(value) not in (str, int):
        raise FileError(f"{place} is {brief(value)}: must be text or an integer")
    return value if as_it_is else str(value)


def dump(graph: Any, path: Path) -> bytes:
    """Serialize a graph to Cytoscape's JSON: positions beside `data`, all other attributes in it; return bytes."""
    nodes = []
    for v, attributes in graph.nodes(data=True):
        data = {ID: str(v), VALUE: v, **attributes}
        beside = {POSITION: data.pop(POSITION)} if _is_position(attributes.get(POSITION)) else {}
        nodes.append({"data": data, **beside})
    edges = [
        {"data": {ID: f"e{k}", "source": str(u), "target": str(v), **attributes}}
        for k, (u, v, attributes) in enumerate(graph.edges(data=True))
    ]
    document = {
        "data": graph.graph,
        "directed": True,
        "multigraph": False,
        "elements": {"nodes": nodes, "edges": edges},
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _is_position(value: Any) -> bool:
    return (
        isinstance(value, dict) and value.keys() == {"x", "y"} and all(type(c) in (int, float) for c in value.values())
    )


read = _graph.reader(parse_graph, DIALECT)
write = _graph.writer(DIALECT, dump)

entry = Format(
    name="cytoscape",
    suffixes=(".cyjs",),
    summary="Cytoscape's JSON",
    read=read,
    write=write,
    keeps="network",
)
