"""DOT, Graphviz's language, written for looking at, and read: flowgrad's own files, and those of other programs.

What the network carries stands as `flowgrad_<name>`, which Graphviz lets be: text as it is, all else, and text that
could be something else, as JSON.
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
OWN = "flowgrad_"  # begins the attributes that a network carries
SECONDS = 300  # that Graphviz gets for one picture
SHAPES = {"input": "box", "output": "doublecircle"}


def keep(value: Any) -> Any:
    """The value, where `_text` can write it.

    Raises:
        TypeError: a type that JSON does not keep.
    """
    encode(value)
    return value


def _text(value: Any) -> str:
    """A value as text that `_kept` gives back: as it is, else as JSON, which text is that is JSON or cannot stand."""
    plain = type(value) is str and _xml.holds(value) and _kept(value, "") is value
    return value if plain else json.dumps(encode(value))


def _kept(text: str, place: str) -> Any:
    """The value that `_text` made the text of."""
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
    """Nodes, edges and the graph with all that they carry as attributes. `node_values`, `edge_values`: see
    `_graph.plain`; they stand in the labels as well.

    Raises:
        GraphError: an id or a value that DOT cannot hold.
        FileError: a picture is asked for, and Graphviz is not installed, refuses, or does not end.
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
    """An attribute list: what is shown, and what the network carries."""
    return "[" + ", ".join(f"{name}={value}" for name, value in {**shown, **_carried(attributes)}.items()) + "]"


def _carried(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What a network carries, called `flowgrad_<name>`, so that none of it means a style."""
    return {quoted(f"{OWN}{name}"): quoted(_text(value)) for name, value in attributes.items()}


def quoted(value: object) -> str:
    r"""A quoted string. Backslashes are doubled, so that none of them escapes a quotation mark or stands for
    something in a label; in an id, which Graphviz keeps as written, they stay double.

    >>> print(quoted('a"b'), quoted("<b>"))
    "a\"b" "<b>"
    """
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def escaped(value: str) -> str:
    r"""A label: quoted, with its lines as `\n`; an escape such as `\N` in the text shows as it stands.

    >>> print(escaped("h\\N\nrelu"))
    "h\\N\nrelu"
    """
    return quoted(value).replace("\n", "\\n")


# ---- in -----------------------------------------------------------------------------------------------------


def parse_graph(data: bytes, what: str, found: Found) -> Any:
    """The graph of DOT; of flowgrad's own what it carries, of other programs' every attribute, as text.

    `weight`, `bias` and `response` are numbers, and `trainable` is true or false.

    Raises:
        FileError: no DOT, an undirected graph or edge, an attribute that is no number.
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
    """What the network carried, and nothing of how it is drawn."""
    carried = {_single(name): _single(value) for name, value in attributes.items()}
    attributes.clear()
    for name, value in carried.items():
        if name.startswith(OWN):
            attributes[name.removeprefix(OWN)] = _kept(value, f"{place}: {name:.80}")


def _single(text: str) -> str:
    """Text as it was before `quoted` doubled its backslashes."""
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
