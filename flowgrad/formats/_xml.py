"""XML that is safe to parse: no document type, no entities, bounded depth."""

from __future__ import annotations

from typing import Any

from flowgrad.errors import FileError, GraphError, MissingDependencyError

DEPTH = 64


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


def refuse_characters(graph: Any, what: str) -> None:
    """Refuse text that XML cannot hold: control characters, lone surrogates, U+FFFE and U+FFFF.

    A carriage return is one of them: it would come back as a new line.

    Raises:
        GraphError: naming the node or edge.
    """
    for v, attributes in graph.nodes(data=True):
        for value in (v, *attributes, *attributes.values()):
            if isinstance(value, str) and not _holds(value):
                raise GraphError(f"node {v!r}: {value!r} has a character that {what} cannot hold")
    for u, v, attributes in graph.edges(data=True):
        for value in (*attributes, *attributes.values()):
            if isinstance(value, str) and not _holds(value):
                raise GraphError(f"edge {u!r} → {v!r}: {value!r} has a character that {what} cannot hold")


def _holds(value: str) -> bool:
    return not any((c < " " and c not in "\t\n") or "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff" for c in value)
