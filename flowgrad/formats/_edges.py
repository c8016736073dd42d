"""Rows of edges to a network, at array speed: what the readers of edge lists and ontologies share."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from flowgrad.columns import Columns, encode, rows_of
from flowgrad.errors import FileError, GraphError
from flowgrad.network import Network

Place = Callable[[int], str]
"""Where in the file an edge stands, for messages: "net.csv, line 7"."""


def text(data: bytes, what: str) -> str:
    """UTF-8 text, a byte-order mark taken off.

    Raises:
        FileError: it is not UTF-8, or holds a NUL; the message names the line.
    """
    try:
        found = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(f"{what}, line {line}: no UTF-8 text") from None
    if "\0" in found:
        line = found.count("\n", 0, found.index("\0")) + 1
        raise FileError(f"{what}, line {line}: a NUL is no text")
    return found


def table(data: bytes, what: str, delimiter: str) -> tuple[list[list[str]], Place]:
    """The rows of a delimited file, blank lines left out, all of one length; and where a row stands.

    Raises:
        FileError: not UTF-8, a broken quotation, rows of unequal length, no rows; the message names the line.
    """
    source = text(data, what)
    quoting: Any = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE

    def reader() -> Any:
        lines = io.StringIO(source, newline="")
        return csv.reader(lines, delimiter=delimiter, strict=True, quoting=quoting)

    def line(row: int) -> str:
        rows = reader()
        full = (rows.line_num for fields in rows if fields)
        return f"{what}, line {next(number for k, number in enumerate(full) if k == row)}"

    rows = reader()
    try:
        found = [fields for fields in rows if fields]
    except csv.Error as error:
        raise FileError(f"{what}, line {rows.line_num}: {error}") from None
    if not found:
        raise FileError(f"{what} is empty")
    width = len(found[0])
    if set(map(len, found)) != {width}:
        row = next(k for k, fields in enumerate(found) if len(fields) != width)
        raise FileError(f"{line(row)}: {len(found[row])} fields, where the first row has {width}")
    return found, line


def numbers(values: Sequence[str], what: str, place: Place) -> Any:
    """(n,) float64 of finite decimal numbers; FileError names the line of one that is not."""
    try:
        column = np.array(list(map(float, values)))
    except ValueError:
        column = np.array([np.nan])
    if len(column) == len(values) and np.isfinite(column).all():
        return column
    for row, value in enumerate(values):
        try:
            good = np.isfinite(float(value))
        except ValueError:
            good = False
        if not good:
            raise FileError(f"{place(row)}: {what} {value!r} is no finite number")
    raise AssertionError("some value is no finite number")


def network(
    source: Sequence[Hashable],
    target: Sequence[Hashable],
    place: Place,
    *,
    weight: Any = None,
    nodes: Iterable[Hashable] = (),
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | None = None,
    activation: Any = "sigmoid",
    output_activation: Any = "identity",
    seed: int = 0,
    node_extra: Callable[[Sequence[Hashable]], dict[str, list[Any]]] | None = None,
) -> Network:
    """The network of these edges; `nodes` come first, all others in the order of first appearance.

    Args:
        weight: (E,) float64, or None where the seed draws them.
        inputs: ids; None takes the nodes without in-edges.
        outputs: ids; None takes the neurons without out-edges.
        node_extra: attributes of the nodes, made from their ids.

    Raises:
        FileError: an empty name, a self-loop or an edge given twice, with the line.
        GraphError, CycleError, UnknownNameError: as `Network.from_networkx`.
    """
    index: dict[Hashable, int] = {}
    for name in chain(nodes, chain.from_iterable(zip(source, target, strict=True))):
        index.setdefault(name, len(index))
    V, E = len(index), len(source)
    if "" in index:
        row = next(k for k in range(E) if "" in (source[k], target[k]))
        raise FileError(f"{place(row)}: an empty name")
    src = np.fromiter(map(index.__getitem__, source), np.int32, E)
    dst = np.fromiter(map(index.__getitem__, target), np.int32, E)
    _refuse_repeats(src, dst, V, source, target, place)
    ids = list(index)
    fan_in, fan_out = np.bincount(dst, minlength=V), np.bincount(src, minlength=V)
    is_input = np.zeros(V, np.bool_)
    input_rows = np.flatnonzero(fan_in == 0).astype(np.int32) if inputs is None else rows_of(inputs, index, "input")
    is_input[input_rows] = True
    last = np.flatnonzero((fan_out == 0) & ~is_input).astype(np.int32)
    output_rows = last if outputs is None else rows_of(outputs, index, "output")
    functions = np.full(V, activation, object)
    functions[output_rows] = output_activation
    functions[is_input] = None
    codes, activations = encode("activations", functions.tolist(), ids)
    aggregation, aggregations = encode("aggregations", [None if i else "sum" for i in is_input.tolist()], ids)
    return Network.from_columns(
        Columns(
            ids=ids,
            inputs=input_rows,
            outputs=output_rows,
            activation=codes,
            activations=activations,
            aggregation=aggregation,
            aggregations=aggregations,
            bias=np.zeros(V),
            response=np.ones(V),
            trainable=~is_input,
            source=src,
            target=dst,
            weight=np.full(E, np.nan) if weight is None else weight,
            edge_trainable=np.ones(E, np.bool_),
            param=np.full(E, -1, np.int32),
            seed=seed,
            node_extra={} if node_extra is None else node_extra(ids),
        )
    )


def _refuse_repeats(
    src: Any, dst: Any, V: int, source: Sequence[Hashable], target: Sequence[Hashable], place: Place
) -> None:
    loops = np.flatnonzero(src == dst)
    if len(loops):
        row = int(loops[0])
        raise FileError(f"{place(row)}: self-loop at {source[row]!r}: a feed-forward neuron never feeds itself")
    key = dst.astype(np.int64) * V + src
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    if len(again):
        second = int(order[1:][again].min())
        raise FileError(f"{place(second)}: edge {source[second]!r} → {target[second]!r} is given twice")


def names_only(ids: Iterable[Hashable], what: str) -> None:
    """Refuse ids that a text format would give back as something else.

    Raises:
        GraphError: an id is no text, or text that lines and fields cannot hold.
    """
    for name in ids:
        if type(name) is not str:
            raise GraphError(f"node {name!r} is a {type(name).__name__}: {what} keeps text ids only")
        if not name or "\0" in name or any(0xD800 <= ord(c) < 0xE000 for c in name):
            raise GraphError(f"node {name!r}: {what} cannot keep this id")
