"""Parse XML safely (no document type, no entities, bounded depth); convert typed values to its text and back."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.etree import ElementTree as etree  # for writing only

from flowgrad.errors import FileError, MissingDependencyError, brief
from flowgrad.formats import _strict
from flowgrad.formats._values import decode, encode

DEPTH = 64  # maximal nesting of elements
JSON = "json"  # a type of keys beside the tools' own: values of any type that `encode` supports, as JSON text
MARK = "flowgrad.type"  # XML attribute that marks a key of type JSON
_INTEGERS = ("int", "integer", "long", "short", "byte", "biginteger")
_FLOATS = ("float", "double", "real")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def parse(data: bytes, what: str) -> Any:
    """Parse a document and return its root element.

    Raises:
        FileError: no well-formed XML, a DTD, an entity, elements nested too deep; with the line where known.
        MissingDependencyError: defusedxml is not installed.
    """
    try:
        from defusedxml import ElementTree
        from defusedxml.common import DefusedXmlException
    except ModuleNotFoundError:
        raise MissingDependencyError("defusedxml", "xml", "reading XML") from None
    try:
        root = ElementTree.fromstring(data, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise FileError(f"{what}: a document type or an entity stands in it, which is refused: {error}") from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise FileError(f"{what} is no well-formed XML: {error}") from None
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise FileError(f"{what}: elements are nested more than {DEPTH} deep")
        level = [child for element in level for child in element]
    return root


def root_of(data: bytes, what: str, name: str) -> Any:
    """Parse a document and return its root element, which must be called `name`, in any namespace.

    Raises:
        as `parse`. FileError: it has another name.
    """
    root = parse(data, what)
    if local(root.tag) != name:
        raise FileError(f"{what} cannot be read: its outermost element is <{local(root.tag):.80}>, not <{name}>")
    return root


def local(name: str) -> str:
    """Return the name of an element or attribute without its namespace."""
    return name.rpartition("}")[2]


def refused(element: Any, place: str) -> FileError:
    """Return the error for an unknown element, so that none is skipped silently."""
    return FileError(f"{place} holds an element <{local(element.tag):.80}>, which flowgrad does not read: take it out")


def required(element: Any, name: str, place: str) -> str:
    """Return the value of the XML attribute `name`.

    Raises:
        FileError: the element has none.
    """
    found = element.get(name)
    if found is None:
        raise FileError(f"{place}: a <{local(element.tag)}> has no {name}")
    return str(found)


def inner(element: Any) -> str:
    """Return the text of an element, or the XML of its child elements if it has any (yEd's shapes)."""
    if len(element) == 0:
        return element.text or ""
    return "".join(etree.tostring(child, encoding="unicode").strip() for child in element)


# ---- values -------------------------------------------------------------------------------------------------


def holds(text: str) -> bool:
    """Tell if a text is read back from an XML attribute: no control character, lone surrogate, U+FFFE or U+FFFF."""
    return _FORBIDDEN.search(text) is None


def holds_content(text: str) -> bool:
    """Tell whether a text is read back from an element's content, where a carriage return becomes a line feed."""
    return holds(text) and "\r" not in text


def keep(value: Any) -> Any:
    """Return the value, if `text_of` can write it.

    Raises:
        TypeError: its type, or one within it, is not supported.
    """
    encode(value)
    return value


def kind_of(value: Any) -> str:
    """Return the type of a key for the value: one of the tools' own if it holds it unchanged, else `JSON`."""
    kind = type(value)
    if kind is bool:
        return "boolean"
    if kind is int and -(2**63) <= value < 2**63:
        return "long"
    if kind is float:
        return "double"
    if kind is str and holds_content(value):
        return "string"
    return JSON


def text_of(value: Any, kind: str) -> str:
    """Format a value for a key of type `kind`, which `kind_of` gave for it."""
    match kind:
        case "boolean":
            return str(value).lower()
        case "double":
            return repr(value) if math.isfinite(value) else {"inf": "INF", "-inf": "-INF", "nan": "NaN"}[repr(value)]
        case "long" | "string":
            return str(value)
    return json.dumps(encode(value), allow_nan=False)


def value_of(text: str, kind: str, place: str) -> Any:
    """Parse the text of a key of type `kind`; for an unknown type, return the text.

    Raises:
        FileError: the text is no value of the type.
    """
    try:
        if kind in _INTEGERS:
            return int(_number(text))
        if kind in _FLOATS:
            return float(_number(text))
        if kind == "boolean":
            return _BOOLEANS[text.strip().lower()]
        if kind == JSON:
            return decode(_strict.parse(text, place))
    except (KeyError, ValueError):
        raise FileError(f"{place} is {brief(text)}: must be of type {kind}") from None
    return text


def _number(text: str) -> str:
    """Return the text; ValueError if it has an underscore: only Python reads 1_0 as a number."""
    if "_" in text:
        raise ValueError
    return text


class Keys:
    """Assign the keys of a file that is written: one for each scope (node, edge, graph), name and type of values.

    Values of one name and several types, such as 1 and 1.5, get a key for each type, so that none is converted.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix, self.of = prefix, dict[tuple[str, str, str], str]()

    def __call__(self, scope: str, name: str, value: Any) -> tuple[str, str]:
        """Return the key's id and the value's text."""
        kind = kind_of(value)
        key = self.of.setdefault((scope, name, kind), f"{self.prefix}{len(self.of)}")
        return key, text_of(value, kind)

    def declare(self, add: Any) -> None:
        """Call `add(id, scope, name, type, further XML attributes)` for every key."""
        for (scope, name, kind), key in self.of.items():
            add(key, scope, name, "string" if kind == JSON else kind, {MARK: JSON} if kind == JSON else {})


def written(root: Any) -> bytes:
    """Serialize a root element to a document, indented."""
    etree.indent(root)
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"
