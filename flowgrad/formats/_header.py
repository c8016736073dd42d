"""Which column of a table of edges is what: as asked for, or by the words that the field's tools write as headers."""

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
PAIRS = (  # the signal runs from the first to the second; case, blanks and punctuation are let be
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
"""Column → what stands there of an edge without direction: Gephi's Type, OmniPath's is_directed."""
RESERVED = ("weight", "trainable", "param")  # what flowgrad reads on an edge, and so no attribute's name
BETWEEN = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}


@dataclass(frozen=True)
class Layout:
    """Columns of a table by position.

    names       of the columns; None where there is no header
    weight      None where the seed draws the weights
    guessed     whether there is no header and nobody has said which columns are the ends and the weight
    attributes  name → position: what else is kept of an edge
    directed    the column that says whether edges have a direction, where the header alone says which end is which
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
    """What the columns are; a header that is one is taken off the table. Arguments are `edgelist.read`'s.

    Raises:
        ConfigError, FileError: the columns of the ends, of the weight or of an attribute cannot be told.
        UnknownNameError: a column that is not there.
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
    """A column's name as words are compared: lower case, letters and digits alone.

    >>> normal("#Source Node"), normal("regulatory_gene"), normal(":START_ID")
    ('sourcenode', 'regulatorygene', 'startid')
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Every two columns that are a known pair, source first."""
    words = list(map(normal, names))
    return [(words.index(a), words.index(b)) for a, b in PAIRS if words.count(a) == 1 and words.count(b) == 1]


def weights(names: Sequence[str]) -> list[int]:
    """Every column that is called as a weight is."""
    return [k for k, name in enumerate(names) if normal(name) in WEIGHTS]


def _names(table: Any, asked: set[str], header: bool | None) -> Sequence[str] | None:
    """The names of the columns, from the first row or from a comment before it; None where the first row is an edge."""
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
    """The one pair of columns that are called as ends are."""
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
    """The column of weights, where there is one. `named`: whether the ends were."""
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
    """Name → position of what is kept beside ends and weight; a column without a name is `column k`, k from 0.

    A column `weight` is left out where it was `chosen` that another one, or none, is the weight.
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
    """Whether the value says, in a column of that name, that the edge has no direction."""
    return str(value).strip().casefold() in UNDIRECTED[normal(name)]


def position(names: Sequence[str] | None, table: Any, column: Column) -> int:
    """The position of a column, by its name in any case where only one has it; without a header, digits are one."""
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
    """How many fields rows have, and between what."""
    n = len(table.first)
    said = f"its rows have {n} field{'' if n == 1 else 's'}, from 0"
    if isinstance(table, Table):
        return said
    return f"between {BETWEEN.get(table.delimiter, repr(table.delimiter))} {said}{_other(table)}"


def _other(table: Delimited) -> str:
    """What to say of another common delimiter that finds more fields in the first row, where there is one."""
    for other in BETWEEN:
        with suppress(FileError):  # between commas, say, a quotation may be broken
            found = len(Delimited(table.source, other, table.comment).first)
            if found > len(table.first):
                return f"; delimiter={other!r} finds {found} fields in the first row"
    return ""


def looks_like_relations(sources: Sequence[str], targets: Sequence[str], weights: Sequence[str]) -> bool:
    """Whether three columns are node, relation, node, as Cytoscape's SIF has them, and not source, target, weight:
    the nodes are numbers, of which the third column has some of the first, and the relations are words.

    >>> looks_like_relations(["7157", "4193"], ["pp", "pp"], ["4193", "1026"])
    True
    """
    if not (sources and sources[0].isdecimal() and weights[0].isdecimal() and not targets[0].isdecimal()):
        return False
    ids = set(sources)
    numbers = all(map(str.isdecimal, ids)) and all(map(str.isdecimal, weights))
    return numbers and not any(map(str.isdecimal, set(targets))) and not ids.isdisjoint(weights)


def texts(values: Any) -> list[Any]:
    """Entries of a column as Python's own objects."""
    if isinstance(values, list):
        return values
    return values.tolist() if isinstance(values, np.ndarray) else entries(values)
