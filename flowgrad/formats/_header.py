"""Find the columns of a table of edges (source, target, weight, attributes), by argument or by common header names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from flowgrad.errors import ConfigError, FileError, UnknownNameError, brief, listing, suggest
from flowgrad.formats._parquet import Table, entries
from flowgrad.formats._rows import Delimited

Column = str | int
PAIRS = (  # names of the source and the target column, as `normal` returns them
    ("source", "target"),  # Gephi, Cytoscape, OmniPath, decoupler, NetworkX
    ("from", "to"),  # igraph
    ("child", "parent"),  # ontologies
    ("tf", "target"),  # pySCENIC, GRNBoost, DoRothEA
    ("tf", "gene"),
    ("tf", "targetgene"),
    ("regulator", "target"),
    ("regulator", "gene"),
    ("regulatorygene", "targetgene"),  # GENIE3
    ("sourcenode", "targetnode"),
    ("sourceid", "targetid"),
    ("fromnode", "tonode"),
    ("fromnodeid", "tonodeid"),  # SNAP
    ("fromid", "toid"),
    ("startid", "endid"),  # Neo4j
    ("src", "dst"),
    ("pre", "post"),  # connectomes
    ("bodyidpre", "bodyidpost"),
    ("prerootid", "postrootid"),
    ("subject", "object"),
)
WEIGHTS = ("weight", "weights", "edgeweight", "mor")  # "mor": mode of regulation, of decoupler and DoRothEA
UNDIRECTED = {"type": ("undirected",), "directed": ("false", "0", "no"), "isdirected": ("false", "0", "no")}
"""Column, as `normal` returns it → values that mark an undirected edge: Gephi's Type, OmniPath's is_directed."""
RESERVED = ("weight", "trainable", "param")  # edge attributes that flowgrad reads itself: reserved names
BETWEEN = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}  # delimiter → its name in messages


@dataclass(frozen=True)
class Layout:
    """Hold the positions of a table's columns.

    names       the names of the columns; None where there is no header
    weight      None where the seed draws the weights
    guessed     True where there is no header and the caller named neither the end columns nor the weight column
    attributes  name → position of the columns kept as attributes of the edges
    directed    the column that says whether an edge is directed; None if there is none, or the caller named the ends
    """

    names: Sequence[str] | None
    source: int
    target: int
    weight: int | None
    guessed: bool
    attributes: dict[str, int]
    directed: int | None


def layout(
    table: Delimited | Table,
    source: Column | None,
    target: Column | None,
    weight: Column | Literal[False] | None,
    attributes: Iterable[Column] | None,
    where: Iterable[Column],
    header: bool | None,
) -> Layout:
    """Determine the columns of a table, and remove a header row from its data. Arguments: see `edgelist.read`.

    Raises:
        ConfigError, FileError: the columns of the ends, of the weight or of an attribute cannot be determined.
        UnknownNameError: the table has no such column.
    """
    kept = None if attributes is None else list(attributes)
    asked = {c for c in (source, target, weight, *(kept or ()), *where) if isinstance(c, str)}
    names = _names(table, asked, header)
    if (source is None) != (target is None):
        raise ConfigError("source_column and target_column go together")
    if source is not None and target is not None:
        u, v = position(names, table, source), position(names, table, target)
    else:
        u, v = (position(names, table, 0), position(names, table, 1)) if names is None else _ends(names, table.what)
    w = _weight(names, table, weight, (u, v), source is not None)
    if kept is None:
        rest = [k for k in range(len(table.first)) if k not in (u, v, w)]
    else:
        rest = [position(names, table, column) for column in kept]
    return Layout(
        names,
        u,
        v,
        w,
        names is None and source is None and weight is None,
        _attributes(names, rest, table.what, chosen=w is not None or weight is False),
        None if source is not None else _directed(names),
    )


def normal(name: str) -> str:
    """Normalize a column's name for comparison: lower case, letters and digits only.

    >>> normal("#Source Node"), normal("regulatory_gene"), normal(":START_ID")
    ('sourcenode', 'regulatorygene', 'startid')
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """List the positions (source, target) of every pair in PAIRS whose two names each occur once."""
    words = list(map(normal, names))
    return [(words.index(a), words.index(b)) for a, b in PAIRS if words.count(a) == 1 and words.count(b) == 1]


def weights(names: Sequence[str]) -> list[int]:
    """List the positions of the columns with a name in WEIGHTS."""
    return [k for k, name in enumerate(names) if normal(name) in WEIGHTS]


def _names(table: Any, asked: set[str], header: bool | None) -> Sequence[str] | None:
    """Return the column names, from the first row or from a comment before it; None where the first row is an edge."""
    if isinstance(table, Table):
        return table.first
    if header is False:
        return None
    wanted = {name.casefold() for name in asked}

    def known(names: Sequence[str]) -> bool:
        return bool(pairs(names)) or not wanted.isdisjoint(map(str.casefold, names))

    names: list[str] = [name.strip() for name in table.first]
    if not known(names):
        table.header = next(filter(known, table.headers), None)
        if table.header is not None or not header:
            return table.header  # type: ignore[no-any-return]  # a list of str
    table.data = 1
    return names


def _ends(names: Sequence[str], what: str) -> tuple[int, int]:
    """Return the positions of source and target; FileError unless exactly one pair of PAIRS is found."""
    found = pairs(names)
    if len(found) == 1:
        return found[0]
    if not found:
        said = listing(names)[:300]
        raise FileError(f"{what} has columns {said}: say which by source_column and target_column")
    said = " or ".join(f"{names[u]!r:.80} to {names[v]!r:.80}" for u, v in found[:3])
    raise FileError(f"{what}: edges may go from {said}: say which by source_column and target_column")


def _weight(
    names: Sequence[str] | None,
    table: Any,
    column: Column | Literal[False] | None,
    ends: tuple[int, int],
    named: bool,
) -> int | None:
    """Return the position of the weight column, or None. `named`: whether the caller named the end columns."""
    if column is False:
        return None
    if column is not None:
        return position(names, table, column)
    if names is not None:
        found = [k for k in weights(names) if k not in ends]
        if len(found) < 2:
            return found[0] if found else None
        said = " or ".join(f"{names[k]!r:.80}" for k in found[:3])
        raise FileError(f"{table.what}: the weight may be {said}: say which by weight_column, or False for none")
    if len(table.first) > 3 and not named:
        raise FileError(
            f"{table.what} has {len(table.first)} columns and no header: name what they are by source_column and "
            "target_column, as 0 and 1, and weight_column"
        )
    return 2 if len(table.first) == 3 and set(ends) == {0, 1} else None


def _attributes(names: Sequence[str] | None, columns: Iterable[int], what: str, chosen: bool) -> dict[str, int]:
    """Map the names of attribute columns to positions; a column without a name is called `column k`, k from 0.

    A column `weight` is skipped where `chosen` is True: another column, or none, is the weight.
    """
    found: dict[str, int] = {}
    for k in columns:
        name = (names[k] if names is not None else "") or f"column {k}"
        if name == "weight" and chosen:
            continue
        if name in RESERVED or found.setdefault(name, k) != k:
            why = "is a word of flowgrad's own for edges" if name in RESERVED else "is the name of two columns"
            raise FileError(
                f"{what}: column {brief(name)} cannot be kept as an attribute: {why}. attributes=[…] says what to keep"
            )
    return found


def _directed(names: Sequence[str] | None) -> int | None:
    return next((k for k, name in enumerate(names or ()) if normal(name) in UNDIRECTED), None)


def undirected(name: str, value: object) -> bool:
    """Tell whether `value`, in the column `name` of UNDIRECTED, marks an undirected edge."""
    return str(value).strip().casefold() in UNDIRECTED[normal(name)]


def position(names: Sequence[str] | None, table: Any, column: Column) -> int:
    """Return the position of a column given by name (in any case if unambiguous), position, or digits if no header."""
    if names is None and isinstance(column, str) and column.isdecimal() and len(column) < 10:
        column = int(column)
    if isinstance(column, str):
        if names is None:
            raise UnknownNameError(
                f"{table.what} has no header, so no column {brief(column)}: give a position{_other(table)}"
            )
        found = [k for k, name in enumerate(names) if name == column] or [
            k for k, name in enumerate(names) if name.casefold() == column.casefold()
        ]
        if len(found) != 1:
            twice = "twice" if found else "not"
            raise UnknownNameError(f"{table.what} has {twice} a column {brief(column)}{suggest(column, names)}")
        return found[0]
    if not 0 <= column < len(table.first):
        raise UnknownNameError(f"{table.what} has no column {brief(column)}: {_fields(table)}")
    return int(column)


def _fields(table: Any) -> str:
    """Describe, for a message, the number of fields in a row and their delimiter."""
    n = len(table.first)
    said = f"its rows have {n} field{'' if n == 1 else 's'}, from 0"
    if isinstance(table, Table):
        return said
    return f"between {BETWEEN.get(table.delimiter, repr(table.delimiter))} {said}{_other(table)}"


def _other(table: Delimited) -> str:
    """Suggest, for a message, another common delimiter that finds more fields in the first row; "" if there is none."""
    for other in BETWEEN:
        with suppress(FileError):  # between commas, say, a quotation may be broken
            found = len(Delimited(table.source, other, table.comment).first)
            if found > len(table.first):
                return f"; delimiter={other!r} finds {found} fields in the first row"
    return ""


def looks_like_relations(sources: Sequence[str], targets: Sequence[str], weights: Sequence[str]) -> bool:
    """Tell whether three columns are node, relation, node, as in Cytoscape's SIF, and not source, target, weight.

    They are if the nodes are integers, the first and third columns share some of them, and no relation is an integer.

    >>> looks_like_relations(["7157", "4193"], ["pp", "pp"], ["4193", "1026"])
    True
    """
    if not (sources and sources[0].isdecimal() and weights[0].isdecimal() and not targets[0].isdecimal()):
        return False
    ids = set(sources)
    numbers = all(map(str.isdecimal, ids)) and all(map(str.isdecimal, weights))
    return numbers and not any(map(str.isdecimal, set(targets))) and not ids.isdisjoint(weights)


def texts(values: Any) -> list[Any]:
    """Convert a column to a list of Python objects."""
    if isinstance(values, list):
        return values
    return values.tolist() if isinstance(values, np.ndarray) else entries(values)
