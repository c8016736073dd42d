"""XML that is safe to parse: no document type, no entities, bounded depth; and typed values as its text."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.etree import ElementTree as etree  # to write with

from flowgrad.errors import FileError, MissingDependencyError, brief
from flowgrad.formats import _strict
from flowgrad.formats._values import decode, encode

DEPTH = 64
JSON = "json"  # beside the tools' own types: a value of any type that files keep, as JSON in a column of text
MARK = "flowgrad.type"  # the XML attribute of a key that says so
_INTEGERS = ("int", "integer", "long", "short", "byte", "biginteger")
_FLOATS = ("float", "double", "real")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def parse(data: bytes, what: str) -> Any:
    """The root element.

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
    """The root element, which must be called `name`, in whatever namespace.

    Raises:
        as `parse`. FileError: it has another name.
    """
    root = parse(data, what)
    if local(root.tag) != name:
        raise FileError(f"{what} cannot be read: its outermost element is <{local(root.tag):.80}>, not <{name}>")
    return root


def local(name: str) -> str:
    """The name of an element or attribute without its namespace."""
    return name.rpartition("}")[2]


def refused(element: Any, place: str) -> FileError:
    """The error for an element that has no meaning here, so that none is passed over."""
    return FileError(f"{place} holds an element <{local(element.tag):.80}>, which flowgrad does not read: take it out")


def required(element: Any, name: str, place: str) -> str:
    """The XML attribute of that name.

    Raises:
        FileError: the element has none.
    """
    found = element.get(name)
    if found is None:
        raise FileError(f"{place}: a <{local(element.tag)}> has no {name}")
    return str(found)


def inner(element: Any) -> str:
    """The text of an element, or the XML of the elements in it where there are any (yEd's shapes)."""
    if len(element) == 0:
        return element.text or ""
    return "".join(etree.tostring(child, encoding="unicode").strip() for child in element)


# ---- values -------------------------------------------------------------------------------------------------


def holds(text: str) -> bool:
    """Whether an XML attribute gives a text back: no control character, lone surrogate, U+FFFE or U+FFFF."""
    return _FORBIDDEN.search(text) is None


def holds_content(text: str) -> bool:
    """Whether the content of an element gives a text back: a carriage return comes back as a line feed."""
    return holds(text) and "\r" not in text


def keep(value: Any) -> Any:
    """The value, where `text_of` can write it.

    Raises:
        TypeError: its type, or one within it, is not kept.
    """
    encode(value)
    return value


def kind_of(value: Any) -> str:
    """The type of a key that holds the value: of the tools' own where one gives it back as it is, else `JSON`."""
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
    """The text of a value in a key of its `kind_of`."""
    match kind:
        case "boolean":
            return str(value).lower()
        case "double":
            return repr(value) if math.isfinite(value) else {"inf": "INF", "-inf": "-INF", "nan": "NaN"}[repr(value)]
        case "long" | "string":
            return str(value)
    return json.dumps(encode(value), allow_nan=False)


def value_of(text: str, kind: str, place: str) -> Any:
    """The value of a text in a key of that type; of a type that is unknown, the text.

    Raises:
        FileError: the text is none of the type.
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
    """The text, where it may be a number: Python alone reads 1_0 as one."""
    if "_" in text:
        raise ValueError
    return text


class Keys:
    """The keys of a file that is written: one for each scope (node, edge, graph), name and type of its values.

    Values of one name and several types, as 1 beside 1.5, have a key each, so that none is changed.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix, self.of = prefix, dict[tuple[str, str, str], str]()

    def __call__(self, scope: str, name: str, value: Any) -> tuple[str, str]:
        """The key's id, and the value's text."""
        kind = kind_of(value)
        key = self.of.setdefault((scope, name, kind), f"{self.prefix}{len(self.of)}")
        return key, text_of(value, kind)

    def declare(self, add: Any) -> None:
        """Calls `add(id, scope, name, type, further XML attributes)` for every key."""
        for (scope, name, kind), key in self.of.items():
            add(key, scope, name, "string" if kind == JSON else kind, {MARK: JSON} if kind == JSON else {})


def written(root: Any) -> bytes:
    """The document of a root element, indented."""
    etree.indent(root)
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"
