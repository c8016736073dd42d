"""Concatenation of the columns of several networks to those of one (`topologies.union`)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.columns import ABSENT, Coded, Columns


def columns(parts: list[Columns], share_inputs: bool) -> Columns:
    """Make the columns of the union of networks; ids and inputs as documented in `topologies.union`."""
    shared: dict[Hashable, int] = {}
    if share_inputs:
        for c in parts:
            for row in c.inputs.tolist():
                shared.setdefault(c.ids[row], len(shared))
    rows, first = [], len(shared)
    for c in parts:
        rows.append(_rows_in_union(c, shared, first))
        first += c.n_nodes - (len(c.inputs) if share_inputs else 0)
    return _concatenate(parts, rows, shared, first)


def _rows_in_union(c: Columns, shared: dict[Hashable, int], first: int) -> npt.NDArray[np.int32]:
    """Map rows of one network to rows of the union, (V,) int32; its own nodes begin at `first`, after shared inputs."""
    if not shared:
        return np.arange(first, first + c.n_nodes, dtype=np.int32)
    rows = np.empty(c.n_nodes, np.int32)
    rows[~c.is_input] = np.arange(first, first + c.n_nodes - len(c.inputs), dtype=np.int32)
    rows[c.inputs] = [shared[c.ids[k]] for k in c.inputs.tolist()]
    return rows


def _concatenate(
    parts: list[Columns], rows: list[npt.NDArray[np.int32]], shared: dict[Hashable, int], V: int
) -> Columns:
    """Concatenate the columns of all parts; node k of part i gets the row `rows[i][k]`, of V rows."""
    to = np.concatenate(rows)

    def nodes(name: str, fill: Any) -> Any:
        values = [getattr(c, name) for c in parts]
        column = np.full(V, fill, values[0].dtype)
        column[to] = np.concatenate(values)
        return column

    def edges(name: str) -> Any:
        return np.concatenate([getattr(c, name) for c in parts])

    def moved(name: str) -> Any:
        return np.concatenate([row[getattr(c, name)] for c, row in zip(parts, rows, strict=True)])

    part, place = _places(parts, rows, len(shared), V)
    level = np.zeros(V, np.int32)
    level[to] = np.concatenate([c.level for c in parts])
    inputs = np.arange(len(shared), dtype=np.int32) if shared else moved("inputs")
    return Columns.of(
        _ids(parts, rows, shared, V),
        inputs,
        moved("outputs"),
        moved("source"),
        moved("target"),
        _recode(parts, "activation", "activations", to, V),
        _recode(parts, "aggregation", "aggregations", to, V),
        weight=edges("weights"),
        bias=nodes("bias", 0.0),
        response=nodes("response", 1.0),
        trainable=nodes("trainable", False),
        edge_trainable=edges("edge_trainable"),
        param=_params(parts),
        seed=parts[0].seed,
        initializer=parts[0].initializer if len({c.initializer for c in parts}) == 1 else None,
        node_extra=_extra([c.node_extra for c in parts], rows, V),
        edge_extra=_extra(
            [c.edge_extra for c in parts],
            [
                np.arange(c.n_edges) + e
                for c, e in zip(parts, np.cumsum([0, *(c.n_edges for c in parts)]), strict=False)
            ],
            sum(c.n_edges for c in parts),
        ),
        part=part,
        place=place,
        known_level=level,
    )


def _ids(
    parts: list[Columns], rows: list[npt.NDArray[np.int32]], shared: dict[Hashable, int], V: int
) -> list[Hashable]:
    """List the V ids of the union: shared inputs keep theirs, node `id` of network k becomes (k, id)."""
    ids: list[Hashable] = [*shared, *[None] * (V - len(shared))]
    for k, (c, row) in enumerate(zip(parts, rows, strict=True)):
        for place, name in zip(row.tolist(), c.ids, strict=True):
            if place >= len(shared):
                ids[place] = (k, name)
    return ids


def _places(
    parts: list[Columns], rows: list[npt.NDArray[np.int32]], n_shared: int, V: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Make the columns `part` and `place` of the union, (V,) each, as in `Columns`."""
    part, place = np.full(V, -1, np.int32), np.zeros(V, np.int64)
    part[np.concatenate(rows)] = np.repeat(np.arange(len(parts), dtype=np.int32), [c.n_nodes for c in parts])
    part[:n_shared] = -1
    starts = np.cumsum([0, *(c.n_nodes for c in parts)])
    for c, row, start in zip(parts, rows, starts.tolist(), strict=False):
        place[row[c.order]] = start + np.arange(c.n_nodes)
    return part, place


def _params(parts: list[Columns]) -> Coded:
    """Merge params: (E,) index of each edge's param, −1 for none, and names; `name` of network k becomes (k, name)."""
    first = np.cumsum([0, *(len(c.params) for c in parts)]).tolist()
    moved = [np.where(c.param >= 0, c.param + o, -1) for c, o in zip(parts, first, strict=False)]
    return np.concatenate(moved), tuple((k, name) for k, c in enumerate(parts) for name in c.params)


def _recode(parts: list[Columns], name: str, table: str, to: npt.NDArray[np.int32], V: int) -> Coded:
    """Merge the function tables of all parts: returns the codes (V,) into the merged table, and this table."""
    known: dict[Any, int] = {}
    codes = np.full(V, -1, np.int16)
    moved = []
    for c in parts:
        map_ = np.array([*(known.setdefault(f, len(known)) for f in getattr(c, table)), -1], np.int16)
        moved.append(map_[getattr(c, name)])
    codes[to] = np.concatenate(moved)
    return codes, tuple(known)


def _extra(columns: list[Any], rows: Iterable[Any], n: int) -> dict[str, list[Any]]:
    """Merge the user's attributes to columns of n entries; `rows` maps each part's entries to rows of the union."""
    merged: dict[str, list[Any]] = {}
    for extra, row in zip(columns, rows, strict=True):
        for key, values in extra.items():
            column = merged.setdefault(key, [ABSENT] * n)
            for place, value in zip(row.tolist(), values, strict=True):
                column[place] = value
    return merged
