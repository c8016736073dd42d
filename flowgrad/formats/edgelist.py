"""Read and write edge lists: one edge per row, source and target, optional weight and attributes; CSV, TSV, Parquet.

A first row with the words that tools use for the ends of edges (`source,target`, `from,to`, `TF,target` …) is a
header; any other header is recognized by the columns that the caller names. Between `parent` and `child` the signal
runs from child to parent, as in ontologies. Large files are read and written in pieces, by columns.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flowgrad.columns import ABSENT
from flowgrad.errors import ConfigError, FileError, FileWarning, GraphError, brief
from flowgrad.format import Format, Parts, Source
from flowgrad.formats import _header, _parquet
from flowgrad.formats._delimited import COMMENT, Place, names_only, quoted
from flowgrad.formats._edges import Duplicates, Function, Initial, Names, build
from flowgrad.formats._header import Column, Layout, texts
from flowgrad.formats._rows import Delimited, floats
from flowgrad.network import Network

EDGES = 100_000  # edges in one piece of the text that is written


def read(
    source: Source,
    *,
    source_column: Column | None = None,
    target_column: Column | None = None,
    weight_column: Column | Literal[False] | None = None,
    attributes: Iterable[Column] | None = None,
    where: Mapping[Column, str | int] | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    comment: str | None = None,
    integer_ids: bool = False,
    duplicates: Duplicates = "error",
    drop_self_loops: bool = False,
    max_bytes: int | None = None,
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | Mapping[Hashable, str] | None = None,
    activation: Function = "tanh",
    output_activation: Function = "identity",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read a network from an edge list.

    Columns are given by name, or by position from 0. A name matches in any letter case if it is unambiguous.

    Args:
        source_column, target_column: the columns of the nodes from which and to which the signal runs. None takes a
            known pair of names, in any letter case, or else positions 0 and 1. Give both or neither.
        weight_column: the column of weights; False means that the file has none, and weights are drawn from the seed.
            None takes the column `weight`, `weights`, `edge_weight` or `mor`, in any letter case; without a header it
            takes the third of three columns if the first two are the ends; otherwise there is none.
        attributes: the columns to keep as attributes of edges, always text in CSV and TSV; empty fields are skipped.
            None keeps all other columns, [] none.
        where: mapping from columns to texts, such as {"type": "chemical"}; only rows with these texts are read.
        header: whether the first row names the columns. None decides by whether it holds a known pair of names, or a
            name that another argument gives; a FileWarning is issued if it may be an unknown header.
        delimiter: separator of fields. None is a comma in `.csv`, a tab elsewhere; a `.csv` with semicolons and decimal
            commas then raises FileError.
        comment: prefix of lines to skip; "" skips none. None is "#"; a comment with as many fields as a row is then an
            error, except that one before the first row may be the header: `#source<TAB>target`.
        integer_ids: whether ids of nodes are integers rather than text.
        duplicates: for several rows between the same two nodes: "first" keeps the first, "sum" keeps the first with the
            sum of the weights, "error" raises FileError.
        drop_self_loops: whether rows from a node to itself are skipped (the node stays); otherwise they raise
            FileError.
        max_bytes: limit on the memory, in bytes, for reading a Parquet file. Default: 1 GiB plus 64 bytes for each byte
            of the file.
        inputs: ids of the inputs, in order; None takes the nodes without in-edges.
        outputs: ids of the outputs, in order, or a mapping {id: label}, which also sets their attribute `label`; None
            takes the neurons without out-edges.
        activation, output_activation: activation of the hidden neurons and of the outputs, a name or an Activation.
        seed, initializer: seed (an integer ≥ 0) and initializer of weights that the file does not give.

    Raises:
        FileError: a row, field, name or number is malformed (the message names its line), or the columns are ambiguous.
        UnknownNameError: the file has no such column, or no such node; the message suggests the nearest name.
        ConfigError: options contradict each other.
        GraphError, CycleError: the edges do not form a valid network.

    Warns:
        FileWarning: the first row is read as an edge, and may be a header.
    """
    suffix = source.suffix
    if suffix == ".parquet":
        table: _parquet.Table | Delimited = _parquet.Table(source, max_bytes)
    else:
        table = Delimited(source, delimiter or _delimiter(suffix), comment)
    if delimiter is None and suffix == ".csv":
        _refuse_decimal_commas(source, comment)
    ends = source_column, target_column
    layout = _header.layout(table, *ends, weight_column, attributes, where or (), header)
    kept = {_header.position(layout.names, table, c): str(text) for c, text in (where or {}).items()}
    rows = _Rows(table, layout, kept)
    edges = _edges(rows, layout, integer_ids)
    if header is None and layout.names is None and layout.weight is None and not kept:
        _warn_of_header(edges, str(source.path))
    return build(
        edges.names,
        edges.source,
        edges.target,
        rows.place,
        weight=edges.weight,
        edge_extra=edges.attributes,
        duplicates=duplicates,
        drop_self_loops=drop_self_loops,
        inputs=inputs,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
    )


def _warn_of_header(edges: _Edges, what: str) -> None:
    """Warn that the first row may be a header: two names, no numbers, that occur only there, while others recur."""
    src, dst, names = edges.source, edges.target, edges.names.index
    if len(src) < 2 or len(names) == 2 * len(src):  # every name occurs once: the first row is no exception
        return
    ends = list(islice(names, 2))  # those of the first row: ids are numbered by first occurrence
    alone = all(np.count_nonzero((src == k) | (dst == k)) == 1 for k in (0, 1)) and src[0] != dst[0]
    if alone and all(isinstance(end, str) and not end.lstrip("+-").isdecimal() for end in ends):
        said = f"{brief(ends[0])} and {brief(ends[1])} stand in the first row alone, and are read as an edge"
        ways = (
            f"source_column={brief(ends[0])}, target_column={brief(ends[1])} (--option source_column=…) reads a header "
            "there, header=False (--option header=false) an edge"
        )
        warnings.warn(FileWarning(f"{what}: {said}; {ways}"), stacklevel=2)


def _delimiter(suffix: str) -> str:
    return "," if suffix == ".csv" else "\t"


def _refuse_decimal_commas(source: Source, comment: str | None) -> None:
    """Raise FileError where the first row has semicolons between its fields and a comma in a number of it."""
    try:
        table = Delimited(source, ";", comment)
    except FileError:  # a broken quotation
        return
    fields = table.first
    number = next((field for field in fields if re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", field.strip())), None)
    if number is not None and len(fields) > 2:
        raise FileError(
            f"{table.place(0)}: {brief(number)} is a number with a decimal comma, in a row of {len(fields)} fields "
            f"between semicolons: write {brief(number.replace(',', '.'))} and give delimiter=';' (or ',' if commas "
            "part the fields)"
        )


@dataclass
class _Edges:
    """Hold edges: numbers of `names` (E,) int32 each, weights (E,) float64 or None, attributes by name."""

    names: Names
    source: Any
    target: Any
    weight: Any
    attributes: dict[str, list[Any]]


def _edges(rows: _Rows, layout: Layout, integer_ids: bool) -> _Edges:
    """Collect the edges of all selected rows."""
    names, codes, weights = Names(), [], []
    attributes: dict[str, list[Any]] = {name: [] for name in layout.attributes}
    for columns, place in rows:
        ends = columns[layout.source], columns[layout.target]
        _check_ids(rows.table, layout.source, layout.target, ends)
        _check_directions(rows.table, layout, columns, place)
        codes.append(names.codes(*(_integers(c, place) for c in ends) if integer_ids else ends))
        if layout.weight is not None:
            weights.append(_finite(columns[layout.weight], place))
        for name, k in layout.attributes.items():
            attributes[name] += [ABSENT if value is None or value == "" else value for value in texts(columns[k])]
    src, dst = (np.concatenate([c[k] for c in codes]) if codes else np.empty(0, np.int32) for k in (0, 1))
    attributes = {name: column for name, column in attributes.items() if any(value is not ABSENT for value in column)}
    return _Edges(names, src, dst, np.concatenate(weights) if weights else None, attributes)


def _check_directions(table: Any, layout: Layout, columns: Mapping[int, Any], place: Place) -> None:
    """Refuse undirected edges, and a column of relations that would be read as nodes."""
    if layout.directed is not None:
        assert layout.names is not None
        name = layout.names[layout.directed]
        for row, value in enumerate(texts(columns[layout.directed])):
            if _header.undirected(name, value):
                said = f"{place(row)}: {name} is {value!r}, and a feed-forward network has directions"
                raise FileError(
                    f"{said}: where={{{brief(name)}: …}} takes some rows, source_column and target_column all"
                )
    if layout.guessed and layout.weight is not None and not isinstance(table, _parquet.Table):
        three = [texts(columns[k]) for k in (layout.source, layout.target, layout.weight)]
        if _header.looks_like_relations(*three):
            raise FileError(
                f"{place(0)}: {brief(three[1][0])} stands between the numbers {three[0][0]} and {three[2][0]}, as a "
                "relation does: source_column=0, target_column=2 reads node, relation, node"
            )


class _Rows:
    """Iterate over batches of a table's columns, selected rows only; `place` returns where in the file a row is."""

    def __init__(self, table: Any, layout: Layout, where: Mapping[int, str]) -> None:
        self.table, self.where, self.names = table, where, layout.names
        self.columns = {k for k in (layout.source, layout.target, layout.weight) if k is not None}
        self.loose = {k for k in (*layout.attributes.values(), layout.directed) if k is not None}
        self.kept: list[Any] = []  # for each batch, the file's numbers of the selected rows

    def place(self, row: int) -> str:
        found: str = self.table.place(int(np.concatenate(self.kept)[row]))
        return found

    def __iter__(self) -> Iterator[tuple[dict[int, Any], Place]]:
        read = stay = 0
        for columns in self.table.batches(self.columns, self.loose | set(self.where)):
            rows = np.arange(read, read + len(next(iter(columns.values()))))
            read += len(rows)
            for k, text in self.where.items():
                good = _equal(columns[k], text)
                rows, columns = rows[good], {k: _taken(c, good) for k, c in columns.items()}
            self.kept.append(rows)
            yield columns, partial(self._from, stay)
            stay += len(rows)
        if self.where and not stay:
            said = {(self.names[k] if self.names else f"column {k}"): text for k, text in self.where.items()}
            wanted = " and ".join(f"{name} is {text!r}" for name, text in said.items())
            raise FileError(f"{self.table.what} has no row where {wanted}")

    def _from(self, first: int, row: int) -> str:
        return self.place(first + row)


def _equal(column: Any, text: str) -> Any:
    """Return (n,) bool: whether an entry, as text, equals `text`."""
    return np.fromiter((str(value) == text for value in texts(column)), np.bool_, len(column))


def _taken(column: Any, rows: Any) -> Any:
    """Return the entries where `rows` (n,) is True."""
    if isinstance(column, list):
        return [value for value, good in zip(column, rows.tolist(), strict=True) if good]
    return column[rows] if isinstance(column, np.ndarray) else column.filter(rows)


def _check_ids(table: Any, u: int, v: int, ends: tuple[Any, Any]) -> None:
    """Raise FileError unless ids are all text or all integers."""
    kinds = [column.dtype.kind if isinstance(column, np.ndarray) else "text" for column in ends]
    if kinds[0] != kinds[1] or "f" in kinds:
        names = f"{table.first[u]!r} and {table.first[v]!r}"
        raise FileError(f"{table.what}: columns {names}: must both be text, or both integers")


def _integers(values: Any, place: Place) -> Any:
    """Convert ids to integers; FileError names the row of one that is none."""
    if isinstance(values, np.ndarray):
        return values
    found = []
    for row, value in enumerate(texts(values)):
        try:
            found.append(int(value))
        except ValueError:
            raise FileError(f"{place(row)}: node {brief(value)} is not an integer") from None
    return found


def _finite(values: Any, place: Place) -> Any:
    """Return (n,) float64 of finite numbers; FileError names the row of one that is not."""
    if hasattr(values, "dictionary"):
        values = texts(values)
    found = values if isinstance(values, np.ndarray) else floats(values)
    if np.isfinite(found).all():
        return found.astype(np.float64)
    wrong = int(np.flatnonzero(~np.isfinite(found))[0])
    raise FileError(
        f"{place(wrong)}: weight {_shown(values[wrong])} is no finite number (weight_column=False reads no weights)"
    )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, float) else repr(str(value))[:80]


def write(
    net: Network, path: Path, *, gradient: Any = None, edge_values: Mapping[str, Any] | None = None
) -> Mapping[str, bytes | Parts]:
    """Return the rows `source,target,weight` of a network, as {file name: content}.

    Functions and biases are not written: the file is for inspection, and for tools that read edges.

    Args:
        net: the network.
        path: path of the file; the suffix `.csv` selects commas, `.parquet` Parquet, any other tabs.
        gradient: values of an additional column `gradient`: (E,) numbers in the order of the rows, or a mapping from
            (source, target) to a number, or to a vector, of which the mean is taken.
        edge_values: values of further columns, by name, each as for `gradient`.

    Raises:
        GraphError: the ids are neither all text nor all integers; a tab-separated file cannot hold an id.
        ConfigError: values have another length, are not finite, or their name is reserved.
    """
    c = net.columns
    if not all(type(name) is int for name in c.ids):
        names_only(c.ids, "an edge list")
    given = ({} if gradient is None else {"gradient": gradient}) | dict(edge_values or {})
    values = {name: _of_edges(name, column, net) for name, column in given.items()}
    if path.suffix.lower() == ".parquet":
        return {path.name: _parquet.dump(c.ids, c.source, c.target, {"weight": c.weights, **values})}
    if path.suffix.lower() != ".csv":
        _refuse_tabs(c.ids)
        _refuse_tabs(values)
        _refuse_comments(c.ids[row] for row in np.unique(c.source).tolist())
    delimiter = _delimiter(path.suffix.lower())
    fields = list(map(str if delimiter == "\t" else quoted, c.ids))
    columns = [c.weights, *values.values()]

    def part(k: int) -> bytes:
        """Return piece k: the header for k = 0, else the rows of up to `EDGES` edges."""
        if k == 0:
            return (
                delimiter.join(["source", "target", "weight", *map(quoted if delimiter == "," else str, values)]) + "\n"
            ).encode()
        rows = slice((k - 1) * EDGES, k * EDGES)
        ends = [map(fields.__getitem__, end[rows].tolist()) for end in (c.source, c.target)]
        numbers = [map(repr, column[rows].tolist()) for column in columns]
        return ("\n".join(map(delimiter.join, zip(*ends, *numbers, strict=True))) + "\n").encode()

    return {path.name: Parts(1 + -(-c.n_edges // EDGES), part)}


def _of_edges(name: str, values: Any, net: Network) -> Any:
    """Return the values as (E,) float64 in the order of the rows."""
    c = net.columns
    heads = ["source", "target", name]
    if name in _header.RESERVED or _header.pairs(heads) != [(0, 1)] or _header.weights(heads):
        raise ConfigError(f"values {brief(name)}: an edge list has a column of that name")
    if isinstance(values, Mapping):
        values = [np.mean(values[ends]) for ends in c.ends]
    column = np.asarray(values, np.float64)
    if column.shape != (c.n_edges,):
        raise ConfigError(f"{name} has shape {column.shape}: must be ({c.n_edges},), one an edge")
    if not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column))[0])
        raise ConfigError(f"value {brief(name)} of {c.edge_name(row)} is {column[row]}: a file keeps finite numbers")
    return column


def _refuse_tabs(names: Iterable[Hashable]) -> None:
    for name in names:
        if isinstance(name, str) and set(name) & set("\t\r\n"):
            raise GraphError(f"{brief(name)} holds a tab or a new line: write .csv, which quotes")


def _refuse_comments(names: Iterable[Hashable]) -> None:
    for name in names:
        if isinstance(name, str) and name.startswith(COMMENT):
            raise GraphError(f"{brief(name)} would begin a line as a comment does: write .csv, which quotes")


entry = Format(
    name="edgelist",
    suffixes=(".csv", ".tsv", ".parquet"),
    summary="one edge a row: source, target, perhaps weight; CSV, TSV or Parquet",
    read=read,
    write=write,
    keeps="weights",
)
