"""Write DOT, the language of Graphviz, and read it: flowgrad's own files and those of other programs.

The network's attributes are named `flowgrad_<name>`, which Graphviz ignores. Text is written unchanged; other values,
and text that would be read as another value, are written as JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowgrad.errors import FileError, brief
from flowgrad.format import Format
from flowgrad.formats import _graph, _strict, _xml
from flowgrad.formats._assembly import Found
from flowgrad.formats._delimited import text
from flowgrad.formats._dot import Parser, convert
from flowgrad.formats._values import decode, encode
from flowgrad.network import Network

PICTURES = (".svg", ".png")
OWN = "flowgrad_"  # prefix of the names of a network's attributes
SECONDS = 300  # time limit of Graphviz for one picture
SHAPES = {"input": "box", "output": "doublecircle"}


def keep(value: Any) -> Any:
    """Return the value unchanged, after checking that `_text` can write it.

    Raises:
        TypeError: `encode` does not support the type.
    """
    encode(value)
    return value


def _text(value: Any) -> str:
    """Format a value as text that `_kept` reads back: text unchanged, if it is no JSON and allowed, else JSON."""
    plain = type(value) is str and _xml.holds(value) and _kept(value, "") is value
    return value if plain else json.dumps(encode(value))


def _kept(text: str, place: str) -> Any:
    """Return the value that `_text` wrote as this text."""
    try:
        data = _strict.parse(text, place)
    except FileError:
        return text
    try:
        return decode(data)
    except ValueError as error:
        raise FileError(f"{place}: {brief(text)} is no value: {error}") from None


DIALECT = _graph.Dialect("DOT", keep=keep, holds=_xml.holds)


def write(
    net: Network,
    path: Path,
    *,
    node_values: Mapping[str, Any] | None = None,
    edge_values: Mapping[str, Any] | None = None,
) -> Mapping[str, bytes]:
    """Return the DOT file, or the picture, of a network with all its attributes, as {file name: content}.

    Args:
        net: the network.
        path: path of the file; the suffix `.svg` or `.png` selects a picture, drawn by Graphviz.
        node_values, edge_values: further values of nodes and edges, by name, which the labels show as well: mappings
            from a node, or from (source, target), to a number, or to a vector, of which the mean is taken; or arrays
            (V,) or (E,) in the order of the network's columns.

    Raises:
        GraphError: DOT cannot hold an id or a value.
        ConfigError: values have a name that is reserved or exists, another shape, or are not finite.
        FileError: the path is that of a picture, and Graphviz is not installed, fails, or takes more than `SECONDS`.
    """
    of_nodes, of_edges = node_values or {}, edge_values or {}
    graph = _graph.plain(net, DIALECT, of_nodes, of_edges)
    lines = ["digraph {", '  rankdir="LR";', *(f"  {name}={value};" for name, value in _carried(graph.graph).items())]
    for v, attributes in graph.nodes(data=True):
        place = next((p for p in _graph.PLACES if p in attributes), "hidden")
        label = [str(v), *([attributes["activation"]] if "activation" in attributes else [])]
        label += _graph.lines(attributes, of_nodes)
        shown = {"label": escaped("\n".join(label)), "shape": quoted(SHAPES.get(place, "ellipse"))}
        lines.append(f"  {quoted(v)} {_list(attributes, shown)};")
    for u, v, attributes in graph.edges(data=True):
        label = [f"{attributes['weight']:.3g}", *_graph.lines(attributes, of_edges)]
        shown = {"label": escaped("\n".join(label))}
        lines.append(f"  {quoted(u)} -> {quoted(v)} {_list(attributes, shown)};")
    data = "\n".join([*lines, "}", ""]).encode()
    suffix = path.suffix.lower()
    return {path.name: _picture(data, suffix[1:]) if suffix in PICTURES else data}


def _list(attributes: Mapping[str, Any], shown: Mapping[str, str]) -> str:
    """Format an attribute list: attributes that Graphviz draws, and the network's own."""
    return "[" + ", ".join(f"{name}={value}" for name, value in {**shown, **_carried(attributes)}.items()) + "]"


def _carried(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the network's attributes, named `flowgrad_<name>`, so that none of them is a style."""
    return {quoted(f"{OWN}{name}"): quoted(_text(value)) for name, value in attributes.items()}


def quoted(value: object) -> str:
    r"""Quote a text.

    Backslashes are doubled, so that none of them escapes a quotation mark or begins an escape sequence of a label; in
    an id, which Graphviz keeps as written, they stay doubled.

    >>> print(quoted('a"b'), quoted("<b>"))
    "a\"b" "<b>"
    """
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def escaped(value: str) -> str:
    r"""Format a label: quoted, line ends as `\n`; an escape sequence such as `\N` in the text is shown literally.

    >>> print(escaped("h\\N\nrelu"))
    "h\\N\nrelu"
    """
    return quoted(value).replace("\n", "\\n")


# ---- in -----------------------------------------------------------------------------------------------------


def parse_graph(data: bytes, what: str, found: Found) -> Any:
    """Parse DOT to a graph: flowgrad's own attributes if it wrote the file, otherwise every attribute, as text.

    In files of other programs `weight`, `bias` and `response` become numbers, and `trainable` becomes true or false.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill; it, or a copy with renamed nodes, is returned.

    Raises:
        FileError: the file is not DOT, the graph or an edge is undirected, or one of these attributes is not a number.
    """
    Parser(text(data, what), what, found).parse()
    own = f"{OWN}{_graph.IDS}" in found.graph
    if not own:
        for v, attributes in found.nodes(data=True):
            convert(attributes, f"{what}: node {v!r:.80}")
        return found
    _restore(found.graph, f"{what}: the graph")
    for v, attributes in found.nodes(data=True):
        _restore(attributes, f"{what}: node {v!r:.80}")
    for u, v, attributes in found.edges(data=True):
        _restore(attributes, f"{what}: edge {u!r:.80} → {v!r:.80}")
    return _graph.renamed(found, {v: _single(v) for v in found})


def _restore(attributes: dict[str, Any], place: str) -> None:
    """Decode the network's attributes, and drop those that Graphviz draws, in place."""
    carried = {_single(name): _single(value) for name, value in attributes.items()}
    attributes.clear()
    for name, value in carried.items():
        if name.startswith(OWN):
            attributes[name.removeprefix(OWN)] = _kept(value, f"{place}: {name:.80}")


def _single(text: str) -> str:
    """Undo the doubling of backslashes by `quoted`."""
    return text.replace("\\\\", "\\")


read = _graph.reader(parse_graph, DIALECT)


# ---- pictures -----------------------------------------------------------------------------------------------


def _picture(data: bytes, kind: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise FileError(f"a picture as {kind.upper()} needs Graphviz's program dot, which is not installed: write .dot")
    try:
        done = subprocess.run([program, f"-T{kind}"], input=data, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FileError(f"Graphviz makes no picture of the network: {error}") from None
    if done.returncode or not done.stdout:
        said = " ".join(done.stderr.decode(errors="replace").split())[:200]
        raise FileError(f"Graphviz makes no picture of the network: {said or done.returncode}")
    return done.stdout


entry = Format(
    name="dot",
    suffixes=(".dot", ".gv"),
    summary="DOT, Graphviz's language",
    read=read,
    write=write,
    keeps="network",
)
