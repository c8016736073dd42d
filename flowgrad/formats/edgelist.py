"""Edge lists: one edge a row, source and target and perhaps a weight, as CSV, TSV or Parquet.

A first row that is `source,target`, `parent,child` or `from,to` is a header; any other header is named by the
columns that are asked for. Between `parent` and `child` the signal runs from child to parent, as in ontologies.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, FileError, MissingDependencyError, UnknownNameError, suggest
from flowgrad.format import Format, Source
from flowgrad.formats._edges import Place, names_only, network, numbers, table
from flowgrad.network import Network

Column = str | int
PAIRS = {"source": "target", "child": "parent", "from": "to"}  # the signal runs from key to value


def read(
    source: Source,
    *,
    source_column: Column | None = None,
    target_column: Column | None = None,
    weight_column: Column | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    integer_ids: bool = False,
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | None = None,
    activation: Any = "sigmoid",
    output_activation: Any = "identity",
    seed: int = 0,
) -> Network:
    """A network from an edge list.

    Args:
        source_column, target_column: where the signal comes from and goes to, by name or by position from 0;
            None takes a known pair of names, else positions 0 and 1.
        weight_column: None takes the column `weight`, without a header the third of three, else the seed draws.
        header: whether the first row names the columns; None says yes where it holds a known pair of names, or
            the names asked for.
        delimiter: None is a comma in `.csv`, a tab elsewhere.
        integer_ids: node ids are whole numbers and not text.

    Raises:
        FileError: a row, field, name or number that is not as it should be, with its line.
        UnknownNameError: a column that is not there, with the nearest name.
        GraphError, CycleError: the edges are no network.
    """
    what = str(source.path)
    if source.path.suffix.lower() == ".parquet":
        columns, place = _parquet(source.read(), what)
        names: list[str] | None = list(columns)
        fields: Sequence[Sequence[Any]] = list(columns.values())
    else:
        rows, place = table(source.read(), what, delimiter or ("," if source.path.suffix.lower() == ".csv" else "\t"))
        wanted = {c for c in (source_column, target_column, weight_column) if isinstance(c, str)}
        first = [name.strip() for name in rows[0]]
        known = any({a, b} <= set(first) for a, b in PAIRS.items()) or bool(wanted & set(first))
        names = first if known or header else None
        if header is False:
            names = None
        if names is not None:
            del rows[0]
            place = _after_header(place)
        fields = list(zip(*rows, strict=True)) if rows else [()] * len(first)
    pair = _pair(names, source_column, target_column, what)
    u, v = (_column(names, fields, c, what) for c in pair)
    w = _weights(names, fields, weight_column, what)
    if integer_ids:
        u, v = _integers(u, place), _integers(v, place)
    return network(
        u,
        v,
        place,
        weight=None if w is None else numbers(w, "weight", place),
        inputs=inputs,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
    )


def _after_header(place: Place) -> Place:
    return lambda row: place(row + 1)


def _pair(names: list[str] | None, source: Column | None, target: Column | None, what: str) -> tuple[Column, Column]:
    """The two columns, as asked for or as a known pair of names."""
    if (source is None) != (target is None):
        raise ConfigError("source_column and target_column go together")
    if source is not None and target is not None:
        return source, target
    if names is None:
        return 0, 1
    for a, b in PAIRS.items():
        if a in names and b in names:
            return a, b
    raise FileError(f"{what} has columns {', '.join(names)}: say which by source_column and target_column")


def _column(names: list[str] | None, fields: Sequence[Sequence[Any]], column: Column, what: str) -> Sequence[Any]:
    if isinstance(column, str):
        if names is None:
            raise UnknownNameError(f"{what} has no header, so no column {column!r}: give a position")
        if names.count(column) != 1:
            twice = "twice" if column in names else "not"
            raise UnknownNameError(f"{what} has {twice} a column {column!r}{suggest(column, names)}")
        column = names.index(column)
    if not 0 <= column < len(fields):
        raise UnknownNameError(f"{what} has no column {column}: its rows have {len(fields)} fields, from 0")
    return fields[column]


def _weights(
    names: list[str] | None, fields: Sequence[Sequence[Any]], column: Column | None, what: str
) -> Sequence[Any] | None:
    if column is not None:
        return _column(names, fields, column, what)
    if names is not None:
        return _column(names, fields, "weight", what) if "weight" in names else None
    if len(fields) > 3:
        raise FileError(f"{what} has {len(fields)} columns and no header: name what they are by …_column=")
    return fields[2] if len(fields) == 3 else None


def _integers(values: Sequence[Any], place: Place) -> list[int]:
    try:
        return [int(v) for v in values]
    except ValueError:
        for row, value in enumerate(values):
            if not str(value).lstrip("-").isdecimal():
                raise FileError(f"{place(row)}: node {value!r} is no whole number") from None
        raise


def _parquet(data: bytes, what: str) -> tuple[Mapping[str, Sequence[Any]], Place]:
    """Columns of a Parquet file as lists."""
    try:
        import polars
    except ModuleNotFoundError:
        raise MissingDependencyError("polars", "polars", "reading Parquet") from None
    try:
        frame = polars.read_parquet(io.BytesIO(data))
        columns = {name: frame[name].to_list() for name in frame.columns}
    except Exception as error:
        raise FileError(f"{what} is no Parquet file: {str(error).splitlines()[0]}") from None
    for name, values in columns.items():
        if None in values:
            raise FileError(f"{what}, row {values.index(None) + 1}: column {name!r} is empty")
    return columns, lambda row: f"{what}, row {row + 1}"


def write(net: Network, path: Path, *, gradient: Any = None) -> Mapping[str, bytes]:
    """`source,target,weight` rows, and a column `gradient` where (E,) values in the order of the rows are given.

    Functions and biases are not kept: this is for looking, and for tools that take edges.

    Raises:
        GraphError: an id is neither text nor a whole number throughout.
    """
    c = net.columns
    if not all(type(name) is int for name in c.ids):
        names_only(c.ids, "an edge list")
    head = ["source", "target", "weight"]
    source, target = (list(map(c.ids.__getitem__, rows.tolist())) for rows in (c.source, c.target))
    columns: list[Sequence[Any]] = [source, target, c.weights.tolist()]
    if gradient is not None:
        values = np.asarray(gradient, np.float64)
        if values.shape != (c.n_edges,):
            raise ConfigError(f"gradient has shape {values.shape}: must be ({c.n_edges},), one an edge")
        head.append("gradient")
        columns.append(values.tolist())
    if path.suffix.lower() == ".parquet":
        return {path.name: _to_parquet(dict(zip(head, columns, strict=True)))}
    out = io.StringIO(newline="")
    if path.suffix.lower() == ".csv":
        writer = csv.writer(out, lineterminator="\n")
    else:
        _refuse_tabs(c.ids)
        writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    writer.writerow(head)
    writer.writerows(zip(*columns, strict=True))
    return {path.name: out.getvalue().encode()}


def _refuse_tabs(ids: Iterable[Hashable]) -> None:
    for name in ids:
        if isinstance(name, str) and set(name) & set("\t\r\n"):
            raise ConfigError(f"node {name!r} holds a tab or a new line: write .csv, which quotes")


def _to_parquet(columns: dict[str, Any]) -> bytes:
    try:
        import polars
    except ModuleNotFoundError:
        raise MissingDependencyError("polars", "polars", "writing Parquet") from None
    out = io.BytesIO()
    polars.DataFrame(columns).write_parquet(out)
    return out.getvalue()


entry = Format(
    name="edgelist",
    suffixes=(".csv", ".tsv", ".parquet"),
    summary="one edge a row: source, target, perhaps weight; CSV, TSV or Parquet",
    read=read,
    write=write,
)
