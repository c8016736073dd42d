"""Edge lists: one edge a row, source and target and perhaps a weight, as CSV, TSV or Parquet.

A first row that is `source,target`, `parent,child` or `from,to` is a header; any other header is named by the
columns that are asked for. Between `parent` and `child` the signal runs from child to parent, as in ontologies.
Large files are read and written a piece at a time, in columns.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, FileError, GraphError, UnknownNameError, suggest
from flowgrad.format import Format, Parts, Source
from flowgrad.formats import _parquet
from flowgrad.formats._edges import Names, Place, build, names_only, quoted
from flowgrad.formats._rows import Delimited, floats
from flowgrad.network import Network

Column = str | int
PAIRS = {"source": "target", "child": "parent", "from": "to"}  # the signal runs from key to value
BETWEEN = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}
EDGES = 100_000  # that a piece of text holds


def read(
    source: Source,
    *,
    source_column: Column | None = None,
    target_column: Column | None = None,
    weight_column: Column | None = None,
    where: Mapping[Column, str] | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    integer_ids: bool = False,
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | Mapping[Hashable, str] | None = None,
    activation: Any = "sigmoid",
    output_activation: Any = "identity",
    seed: int = 0,
) -> Network:
    """A network from an edge list.

    Args:
        source_column, target_column: where the signal comes from and goes to, by name or by position from 0;
            None takes a known pair of names, else positions 0 and 1.
        weight_column: None takes the column `weight`, without a header the third of three, else the seed draws.
        where: takes the rows only that have these texts in these columns, as {"type": "chemical"}.
        header: whether the first row names the columns; None says yes where it holds a known pair of names, or
            a name asked for.
        delimiter: None is a comma in `.csv`, a tab elsewhere; a `.csv` with decimal commas is refused.
        integer_ids: node ids are whole numbers and not text.
        outputs: ids, or {id: label}, the label becoming the attribute `label`; None takes the neurons without
            out-edges.

    Raises:
        FileError: a row, field, name or number that is not as it should be, with its line.
        UnknownNameError: a column that is not there, with the nearest name.
        GraphError, CycleError: the edges are no network.
    """
    suffix = source.path.suffix.lower()
    table = _parquet.Table(source) if suffix == ".parquet" else Delimited(source, delimiter or _delimiter(suffix))
    if delimiter is None and suffix == ".csv":
        _refuse_decimal_commas(source)
    asked = {c for c in (source_column, target_column, weight_column, *(where or ())) if isinstance(c, str)}
    heads = _header(table, asked, header)
    pair = _pair(heads, source_column, target_column, table.what)
    u, v = (_column(heads, table, c) for c in pair)
    w = _weights(heads, table, weight_column)
    kept = {_column(heads, table, c): text for c, text in (where or {}).items()}
    rows = _Rows(table, {u, v, *([] if w is None else [w])}, kept)
    names, src, dst, weight = _edges(rows, u, v, w, integer_ids)
    return build(
        names,
        src,
        dst,
        rows.place,
        weight=weight,
        inputs=inputs,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
    )


def _delimiter(suffix: str) -> str:
    return "," if suffix == ".csv" else "\t"


def _refuse_decimal_commas(source: Source) -> None:
    """Raise FileError where the first row has semicolons between its fields and a comma in a number of it."""
    try:
        table = Delimited(source, ";")
    except FileError:  # a broken quotation
        return
    fields = table.first
    number = next((field for field in fields if re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", field.strip())), None)
    if number is not None and len(fields) > 2:
        raise FileError(
            f"{table.place(0)}: {number!r} is a number with a decimal comma, in a row of {len(fields)} fields between "
            f"semicolons: write {number.replace(',', '.')!r} and give delimiter=';' (or ',' if commas part the fields)"
        )


def _edges(rows: _Rows, u: int, v: int, w: int | None, integer_ids: bool) -> tuple[Names, Any, Any, Any]:
    """The names in columns `u` and `v`; (E,) int32 numbers of sources and targets; (E,) float64 weights, or None."""
    names, codes, weights = Names(), [], []
    for columns, place in rows:
        ends = columns[u], columns[v]
        _check_ids(rows.table, u, v, ends)
        codes.append(names.codes(*(_integers(c, place) for c in ends) if integer_ids else ends))
        if w is not None:
            weights.append(_finite(columns[w], place))
    src, dst = (np.concatenate([c[k] for c in codes]) if codes else np.empty(0, np.int32) for k in (0, 1))
    return names, src, dst, np.concatenate(weights) if weights else None


class _Rows:
    """Columns of a table, batch by batch, of the rows that are wanted; `place` says where one of them stands."""

    def __init__(self, table: Any, columns: set[int], where: Mapping[int, str]) -> None:
        self.table, self.columns, self.where = table, columns, where
        self.kept: list[Any] = []  # of each batch, the numbers in the file of the rows that stay

    def place(self, row: int) -> str:
        found: str = self.table.place(int(np.concatenate(self.kept)[row]))
        return found

    def __iter__(self) -> Iterator[tuple[dict[int, Any], Place]]:
        read = stay = 0
        for columns in self.table.batches(self.columns | set(self.where)):
            rows = np.arange(read, read + len(next(iter(columns.values()))))
            read += len(rows)
            for k, text in self.where.items():
                good = _equal(columns[k], text)
                rows, columns = rows[good], {k: _taken(c, good) for k, c in columns.items()}
            self.kept.append(rows)
            yield columns, partial(self._from, stay)
            stay += len(rows)
        if self.where and not stay:
            head = getattr(self.table, "data", 1)
            said = {(self.table.first[k].strip() if head else f"column {k}"): text for k, text in self.where.items()}
            wanted = " and ".join(f"{name} is {text!r}" for name, text in said.items())
            raise FileError(f"{self.table.what} has no row where {wanted}")

    def _from(self, first: int, row: int) -> str:
        return self.place(first + row)


def _equal(column: Any, text: str) -> Any:
    """(n,) bool."""
    values = column.astype(str).tolist() if isinstance(column, np.ndarray) else column
    values = values if isinstance(values, list) else values.to_pylist()
    return np.fromiter((value == text for value in values), np.bool_, len(values))


def _taken(column: Any, rows: Any) -> Any:
    """The entries where `rows` (n,) is True."""
    if isinstance(column, list):
        return [value for value, good in zip(column, rows.tolist(), strict=True) if good]
    return column[rows] if isinstance(column, np.ndarray) else column.filter(rows)


def _header(table: Any, asked: set[str], header: bool | None) -> list[str] | None:
    """The names of the columns; None where the first row is an edge."""
    if isinstance(table, _parquet.Table):
        return table.first
    names = [name.strip() for name in table.first]
    known = any({a, b} <= set(names) for a, b in PAIRS.items()) or bool(asked & set(names))
    if header is False or not (known or header):
        return None
    table.data = 1
    return names


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


def _column(names: list[str] | None, table: Any, column: Column) -> int:
    """The place of a column; without a header, digits are a position."""
    if names is None and isinstance(column, str) and column.isdecimal() and len(column) < 10:
        column = int(column)
    if isinstance(column, str):
        if names is None:
            raise UnknownNameError(
                f"{table.what} has no header, so no column {column!r}: give a position{_other(table)}"
            )
        if names.count(column) != 1:
            twice = "twice" if column in names else "not"
            raise UnknownNameError(f"{table.what} has {twice} a column {column!r}{suggest(column, names)}")
        return names.index(column)
    if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < len(table.first):
        raise UnknownNameError(f"{table.what} has no column {column!r}: {_fields(table)}")
    return column


def _fields(table: Any) -> str:
    """How many fields rows have, and between what."""
    n = len(table.first)
    said = f"its rows have {n} field{'' if n == 1 else 's'}, from 0"
    if isinstance(table, _parquet.Table):
        return said
    return f"between {BETWEEN.get(table.delimiter, repr(table.delimiter))} {said}{_other(table)}"


def _other(table: Delimited) -> str:
    """What to say of another common delimiter that finds more fields in the first row, where there is one."""
    for other in BETWEEN:
        with suppress(FileError):  # between commas, say, a quotation may be broken
            found = len(Delimited(table.source, other).first)
            if found > len(table.first):
                return f"; delimiter={other!r} finds {found} fields in the first row"
    return ""


def _weights(names: list[str] | None, table: Any, column: Column | None) -> int | None:
    if column is not None:
        return _column(names, table, column)
    if names is not None:
        return _column(names, table, "weight") if "weight" in names else None
    if len(table.first) > 3:
        raise FileError(f"{table.what} has {len(table.first)} columns and no header: name what they are by …_column=")
    return 2 if len(table.first) == 3 else None


def _check_ids(table: Any, u: int, v: int, ends: tuple[Any, Any]) -> None:
    """Ids are text or whole numbers, and all of one kind."""
    kinds = [column.dtype.kind if isinstance(column, np.ndarray) else "text" for column in ends]
    if kinds[0] != kinds[1] or "f" in kinds:
        names = f"{table.first[u]!r} and {table.first[v]!r}"
        raise FileError(f"{table.what}: columns {names}: must both be text, or both whole numbers")


def _integers(values: Any, place: Place) -> Any:
    """Ids as whole numbers."""
    if isinstance(values, np.ndarray):
        return values
    found = []
    for row, value in enumerate(values if isinstance(values, list) else values.to_pylist()):
        try:
            found.append(int(value))
        except ValueError:
            raise FileError(f"{place(row)}: node {value!r:.80} is no whole number") from None
    return found


def _finite(values: Any, place: Place) -> Any:
    """(n,) float64 of finite numbers; FileError names the row of one that is not."""
    found = values if isinstance(values, np.ndarray) else floats(values)
    if np.isfinite(found).all():
        return found.astype(np.float64)
    wrong = int(np.flatnonzero(~np.isfinite(found))[0])
    raise FileError(f"{place(wrong)}: weight {_shown(values[wrong])} is no finite number")


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, float) else repr(str(value))[:80]


def write(
    net: Network, path: Path, *, gradient: Any = None, edge_values: Mapping[str, Any] | None = None
) -> Mapping[str, bytes | Parts]:
    """Rows `source,target,weight`, a column `gradient`, and one for each of `edge_values`.

    `gradient` and the values: (E,) numbers in the order of the rows, or a mapping from (source, target), where a
    vector becomes its mean.

    Functions and biases are not kept: this is for looking, and for tools that take edges.

    Raises:
        GraphError: an id is neither text nor a whole number throughout.
        ConfigError: values of another length, or under a name that is taken.
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
    delimiter = _delimiter(path.suffix.lower())
    fields = list(map(str if delimiter == "\t" else quoted, c.ids))
    columns = [c.weights, *values.values()]

    def part(k: int) -> bytes:
        """Rows of `EDGES` edges; first of all the header."""
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
    """(E,) float64 in the order of the rows."""
    c = net.columns
    if name in ("source", "target", "weight"):
        raise ConfigError(f"values {name!r}: an edge list has a column of that name")
    if isinstance(values, Mapping):
        values = [np.mean(values[ends]) for ends in c.ends]
    column = np.asarray(values, np.float64)
    if column.shape != (c.n_edges,):
        raise ConfigError(f"{name} has shape {column.shape}: must be ({c.n_edges},), one an edge")
    if not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column))[0])
        raise ConfigError(f"value {name!r} of {c.edge_name(row)} is {column[row]}: a file keeps finite numbers")
    return column


def _refuse_tabs(names: Iterable[Hashable]) -> None:
    for name in names:
        if isinstance(name, str) and set(name) & set("\t\r\n"):
            raise GraphError(f"{name!r} holds a tab or a new line: write .csv, which quotes")


entry = Format(
    name="edgelist",
    suffixes=(".csv", ".tsv", ".parquet"),
    summary="one edge a row: source, target, perhaps weight; CSV, TSV or Parquet",
    read=read,
    write=write,
    keeps="weights",
)
