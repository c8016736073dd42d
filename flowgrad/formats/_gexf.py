"""Read the attributes of nodes, edges and the graph from GEXF; write visual attributes and metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as etree  # for writing only

from flowgrad.errors import FileError, brief
from flowgrad.formats import _xml
from flowgrad.formats._assembly import put, same
from flowgrad.formats._values import encode
from flowgrad.formats._xml import local
from flowgrad.nxgraph import EDGE_KEYS, NODE_KEYS

KNOWN = {"node": NODE_KEYS, "edge": EDGE_KEYS}
LOOKS = {"color": "rgb", "position": "xyz", "size": ("value",), "shape": ("value",), "thickness": ("value",)}
_LOOK_TYPES = {**dict.fromkeys("rgb", "long"), **dict.fromkeys("axyz", "double")}  # of XML attributes; else string
META = ("creator", "keywords", "description")
DATE = "lastmodifieddate"
OURS = "flowgrad"  # the element of <meta> that holds the graph's other attributes, as JSON


class Columns:
    """Read the attributes that a file declares: (name, type) by scope and id, and defaults by scope and name."""

    def __init__(self, graph: Any, what: str) -> None:
        self.of: dict[str, dict[str, tuple[str, str]]] = {"node": {}, "edge": {"weight": ("weight", "double")}}
        self.defaults: dict[str, dict[str, Any]] = {"node": {}, "edge": {}}
        seen = set()
        for group in graph:
            if local(group.tag) != "attributes":
                continue
            scope = _xml.required(group, "class", what)
            if scope not in self.of:
                raise FileError(f"{what}: attributes of class {brief(scope)}: must be node or edge")
            for column in group:
                key = _xml.required(column, "id", what)
                if (scope, key) in seen:
                    raise FileError(f"{what}: attribute {brief(key)} of class {scope} is declared twice")
                seen.add((scope, key))
                self._declare(scope, key, column, f"{what}: attribute {key!r:.80} of class {scope}")

    def _declare(self, scope: str, key: str, column: Any, place: str) -> None:
        name = key if (scope, key) == ("edge", "weight") else column.get("title", key)  # Gephi titles it Weight
        kind = column.get(_xml.MARK, column.get("type", "string"))
        self.of[scope][key] = (name, kind)
        for child in column:
            if local(child.tag) == "default":
                value = _xml.value_of(child.text or "", kind, f"{place}: default")
                put(self.defaults[scope], name, value, place)
            elif local(child.tag) != "options":  # values offered in forms: ignored
                raise _xml.refused(child, place)

    def with_defaults(self, scope: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes, with defaults for those that are missing."""
        return {**self.defaults[scope], **attributes}


def attributes_of(scope: str, element: Any, columns: Columns, place: str) -> dict[str, Any]:
    """Return the attributes in the elements of a node or an edge.

    The result holds values by name; `viz`, the visual attributes, in NetworkX's form; and `spells`, a list of dicts.

    Raises:
        FileError: graphs are nested, an element is unknown, or a value does not match its type or is given twice.
    """
    found: dict[str, Any] = {}
    looks: dict[str, Any] = {}
    for child in element:
        name = local(child.tag)
        match name:
            case "attvalues":
                _add_values(found, scope, child, columns, place)
            case "spells" | "slices":
                put(found, name, [_named(entry) for entry in child], place)
            case "parents":
                put(found, name, [_xml.required(entry, "for", place) for entry in child], place)
            case "nodes" | "edges" | "graph":
                raise FileError(f"{place} holds a graph of its own, and no neuron does: take it out of its group")
            case _ if name in LOOKS:
                put(looks, name, _look(name, _named(child), place), place)
            case _:
                raise _xml.refused(child, place)
    if looks:
        put(found, "viz", looks, place)
    return found


def _named(element: Any) -> dict[str, str]:
    return {local(name): text for name, text in element.attrib.items()}


def _add_values(found: dict[str, Any], scope: str, element: Any, columns: Columns, place: str) -> None:
    """Add each `<attvalue>` to `found`; those with a time become a list of dicts of value, start, end, …"""
    over_time: dict[str, list[dict[str, Any]]] = {}
    for child in element:
        if local(child.tag) != "attvalue":
            raise _xml.refused(child, place)
        times, key = _named(child), _xml.required(child, "for", place)
        if key not in columns.of[scope]:
            raise FileError(f"{place}: its value is of the attribute {brief(key)}, which is not declared")
        name, kind = columns.of[scope][key]
        value = _xml.value_of(_xml.required(child, "value", place), kind, f"{place}: {name!r:.80}")
        del times["for"], times["value"]
        if times:
            over_time.setdefault(name, []).append({"value": value, **times})
        elif name in found:
            raise FileError(f"{place}: attribute {brief(name)} is given twice")
        else:
            found[name] = value
    for name, values in over_time.items():
        if name in KNOWN[scope]:
            count = f"{len(values)} value{'' if len(values) == 1 else 's'}"
            raise FileError(f"{place}: {name} is given over time ({count}): a network has one; export a static graph")
        put(found, name, values, place)


# ---- visual attributes --------------------------------------------------------------------------------------


def _look(name: str, given: Mapping[str, str], place: str) -> Any:
    """Parse one of `LOOKS`: a number or text where it has a single value, else a dict."""
    types = {"value": "string" if name == "shape" else "double", **_LOOK_TYPES}
    found = {key: _xml.value_of(text, types.get(key, "string"), f"{place}: {name}") for key, text in given.items()}
    return found["value"] if found.keys() == {"value"} else found


def look_elements(viz: Any) -> list[Any]:
    """Return the XML elements of `viz`; an empty list where reading them would not give `viz` back."""
    if type(viz) is not dict or not viz.keys() <= LOOKS.keys():
        return []
    elements, found = [], {}
    for name, look in viz.items():
        values = look if type(look) is dict else {"value": look}
        if not set(LOOKS[name]) <= values.keys() <= {*LOOKS[name], "a", "uri"}:
            return []
        kinds = {key: _xml.kind_of(value) for key, value in values.items()}
        if _xml.JSON in kinds.values():
            return []
        texts = {key: _xml.text_of(value, kinds[key]) for key, value in values.items()}
        elements.append(etree.Element(f"viz:{name}", texts))
        try:
            found[name] = _look(name, texts, "")
        except FileError:
            return []
    return elements if same(found, viz) else []


# ---- the graph ----------------------------------------------------------------------------------------------


def meta_of(element: Any, what: str) -> dict[str, Any]:
    """Read the graph's attributes from `<meta>`."""
    found: dict[str, Any] = dict(_named(element))
    place = f"{what}: <meta>"
    for child in element:
        if local(child.tag) != OURS:
            put(found, local(child.tag), _xml.inner(child), place)
            continue
        values = _xml.value_of(child.text or "", _xml.JSON, place)
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise FileError(f"{place}: <{OURS}> holds no attributes by name")
        for name, value in values.items():
            put(found, name, value, place)
    return found


def write_meta(root: Any, attributes: Mapping[str, Any]) -> None:
    """Add `<meta>` to the root element, if the graph has attributes."""
    native = {
        name: value
        for name, value in attributes.items()
        if name in (*META, DATE) and type(value) is str and _xml.holds_content(value)
    }
    others = {name: value for name, value in attributes.items() if name not in native}
    if not attributes:
        return
    meta = etree.SubElement(root, "meta", {DATE: native.pop(DATE)} if DATE in native else {})
    for name, text in native.items():
        etree.SubElement(meta, name).text = text
    if others:
        etree.SubElement(meta, OURS).text = json.dumps(encode(others), allow_nan=False)
