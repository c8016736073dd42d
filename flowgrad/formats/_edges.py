"""Rows of edges to a network, at array speed: what the readers of edge lists and ontologies share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import whole
from flowgrad.attributes import formula, rows_of
from flowgrad.columns import ABSENT, Columns
from flowgrad.errors import ConfigError, FileError, GraphError, brief, listing
from flowgrad.formats._arrow import needed
from flowgrad.formats._delimited import Place
from flowgrad.maths.activation import Activation
from flowgrad.maths.initializers import Initializer
from flowgrad.network import Network
from flowgrad.weights import initializer_for

Codes = npt.NDArray[np.int32]
Duplicates = Literal["error", "first", "sum"]
Function = str | Activation
Initial = str | Initializer | None


class Names:
    """Ids of nodes, numbered from 0 in the order of first appearance, whole columns at a time."""

    def __init__(self, first: Iterable[Hashable] = ()) -> None:
        self.index: dict[Hashable, int] = {}
        self._rows(first)

    def codes(self, source: Any, target: Any) -> tuple[Codes, Codes]:
        """The numbers of two columns of as many ids (n each), row by row the source first.

        Args:
            source, target: lists of any ids, arrays of integers, or pyarrow arrays of text, dictionary arrays or not.
        """
        if isinstance(source, (list, tuple)):
            both: list[Hashable] = [None] * (2 * len(source))
            both[0::2], both[1::2] = source, target
            self._rows(dict.fromkeys(both))
            look = self.index.__getitem__
            src, dst = (np.fromiter(map(look, column), np.int32, len(column)) for column in (source, target))
            return src, dst
        distinct = _distinct_integers if isinstance(source, np.ndarray) else _distinct
        unique, code = distinct(source, target)
        if self.index:
            rows = self._rows(unique)[code]
        else:
            self.index, rows = dict(zip(unique, range(len(unique)), strict=True)), code
        return rows[: len(source)], rows[len(source) :]

    def _rows(self, ids: Iterable[Hashable]) -> Codes:
        """The rows of these ids, the new ones numbered on."""
        index = self.index
        return np.array([index.setdefault(name, len(index)) for name in ids], np.int32)


def _distinct(source: Any, target: Any) -> tuple[list[str], Codes]:
    """Distinct texts of two arrays of pyarrow in the order of first appearance, and (2n,) which one of them it is."""
    n, concatenated = len(source), needed("numbering names").concat_arrays
    if hasattr(source, "dictionary"):
        found, k = concatenated([source.dictionary, target.dictionary]).dictionary_encode(), len(source.dictionary)
        place = found.indices.to_numpy()
        code = np.concatenate([place[:k][source.indices.to_numpy()], place[k:][target.indices.to_numpy()]])
    else:
        found = concatenated([source, target]).dictionary_encode()
        code = found.indices.to_numpy()
    place = np.concatenate([np.arange(0, 2 * n, 2), np.arange(1, 2 * n, 2)])  # row by row, the source first
    first = np.full(len(found.dictionary), 2 * n)
    for half in (slice(2 * n - 1, n - 1, -1), slice(n - 1, None, -1) if n else slice(0)):
        seen = np.full_like(first, 2 * n)
        seen[code[half]] = place[half]  # backwards: the first mention stays
        first = np.minimum(first, seen)
    order = np.argsort(first)
    used = int((first < 2 * n).sum())  # a dictionary may hold what no row names
    return found.dictionary.take(order[:used]).to_pylist(), _inverse(order)[code]


def _distinct_integers(source: Any, target: Any) -> tuple[list[int], Codes]:
    """As `_distinct`, of arrays of integers."""
    unique, first, code = np.unique(np.stack([source, target], axis=1), return_index=True, return_inverse=True)
    order = np.argsort(first)
    return unique[order].tolist(), _inverse(order)[code.reshape(-1, 2).T.ravel()]


def _inverse(order: npt.NDArray[Any]) -> Codes:
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank


def network(
    source: Sequence[Hashable],
    target: Sequence[Hashable],
    place: Place,
    *,
    nodes: Iterable[Hashable] = (),
    **options: Any,
) -> Network:
    """The network of these edges; `nodes` come first, all others in the order of first appearance.

    `options` and errors are those of `build`.
    """
    names = Names(nodes)
    return build(names, *names.codes(source, target), place, **options)


def build(
    names: Names,
    src: Codes,
    dst: Codes,
    place: Place,
    *,
    weight: Any = None,
    edge_extra: Mapping[str, list[Any]] | None = None,
    duplicates: Duplicates = "error",
    drop_self_loops: bool = False,
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | Mapping[Hashable, str] | None = None,
    activation: Any = "tanh",
    output_activation: Any = "identity",
    seed: int = 0,
    initializer: Any = None,
    node_extra: Callable[[Sequence[Hashable]], dict[str, list[Any]]] | None = None,
) -> Network:
    """The network of edges between numbered names.

    Args:
        src, dst: (E,) int32 numbers of `names`.
        weight: (E,) float64, or None where the seed draws them.
        edge_extra: attributes of the edges, E entries each.
        duplicates: of edges between the same two nodes, "first" keeps the first, "sum" too and adds up the
            weights, "error" none.
        drop_self_loops: leaves out the edges from a node to itself.
        inputs: ids; None takes the nodes without in-edges.
        outputs: ids; None takes the neurons without out-edges. A mapping says the label of each as well, which
            becomes its attribute `label`.
        node_extra: attributes of the nodes, made from their ids.

    Raises:
        FileError: an empty name, a self-loop or an edge given twice, with the line.
        ConfigError: `duplicates` that are none of these, or "sum" without weights; a seed below 0.
        GraphError, CycleError, UnknownNameError: as `Network.from_networkx`.
    """
    index, seed = names.index, whole("seed", seed, 0)
    ids, V = list(index), len(index)
    if "" in index:
        raise FileError(f"{place(int(np.flatnonzero((src == index['']) | (dst == index['']))[0]))}: an empty name")
    rows, weight = _merged(src, dst, V, weight, duplicates, drop_self_loops)
    edge_extra = {name: [column[k] for k in rows.tolist()] for name, column in (edge_extra or {}).items()}
    src, dst, place = src[rows], dst[rows], _at(rows, place)
    _refuse_infinite(weight, src, dst, ids, place)
    input_rows, output_rows = _ends(index, src, dst, inputs, outputs)
    role = np.zeros(V, np.int8)
    role[output_rows], role[input_rows] = 1, -1
    extra = {} if node_extra is None else node_extra(ids)
    if isinstance(outputs, Mapping):
        extra["label"] = [outputs.get(name, ABSENT) for name in ids]
    columns = Columns.of(
        ids,
        input_rows,
        output_rows,
        src,
        dst,
        _functions(role, (activation, output_activation), ids),
        weight=np.nan if weight is None else weight,
        seed=seed,
        initializer=initializer_for(initializer),
        node_extra=extra,
        edge_extra=edge_extra,
    )
    try:
        return Network.from_columns(columns)
    except GraphError:
        _refuse_repeats(src, dst, ids, place, weight is not None)  # which knows the line
        raise


def _merged(
    src: Codes, dst: Codes, V: int, weight: Any, duplicates: Duplicates, drop_self_loops: bool
) -> tuple[npt.NDArray[np.int64], Any]:
    """The rows that stay of the edges, ascending, and their weights."""
    if duplicates not in get_args(Duplicates):
        raise ConfigError(f"duplicates={brief(duplicates)}: must be one of {listing(get_args(Duplicates))}")
    if duplicates == "sum" and weight is None:
        raise ConfigError("duplicates='sum' adds up weights, and there are none here: 'first' keeps the first edge")
    rows = np.flatnonzero(src != dst) if drop_self_loops else np.arange(len(src))
    if duplicates == "error":
        return rows, None if weight is None else weight[rows]
    key = dst[rows].astype(np.int64) * V + src[rows]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    if duplicates == "sum":
        weight = weight.copy()
        weight[rows[first]] = np.bincount(group, weight[rows], minlength=len(first))
    rows = np.sort(rows[first])
    return rows, None if weight is None else weight[rows]


def _refuse_infinite(weight: Any, src: Codes, dst: Codes, ids: Sequence[Hashable], place: Place) -> None:
    """Refuse weights, finite each by itself, whose sum is not."""
    if weight is not None and not np.isfinite(weight).all():
        row = int(np.flatnonzero(~np.isfinite(weight))[0])
        said = f"edge {ids[src[row]]!r:.150} → {ids[dst[row]]!r:.150}"
        raise FileError(f"{place(row)}: the weights of {said} add up to {weight[row]}")


def _at(rows: npt.NDArray[np.int64], place: Place) -> Place:
    return lambda row: place(int(rows[row]))


def _ends(
    index: Mapping[Hashable, int],
    src: Codes,
    dst: Codes,
    inputs: Iterable[Hashable] | None,
    outputs: Iterable[Hashable] | None,
) -> tuple[Codes, Codes]:
    """Rows of the inputs (I,) and of the outputs (O,), named, or found by having no in-edges or no out-edges."""
    first, last = (np.bincount(end, minlength=len(index)) == 0 for end in (dst, src))
    input_rows = np.flatnonzero(first).astype(np.int32) if inputs is None else rows_of(inputs, index, "input")
    if outputs is not None:
        return input_rows, rows_of(outputs, index, "output")
    last[input_rows] = False
    return input_rows, np.flatnonzero(last).astype(np.int32)


def _functions(
    role: npt.NDArray[np.int8], given: Sequence[Any], ids: Sequence[Hashable]
) -> tuple[Any, tuple[Any, ...]]:
    """Codes and table of the functions of neurons by their role, an index into `given`; −1 is an input."""
    code, records = np.full(len(role), -1, np.int16), list[Any]()
    for k, value in enumerate(given):
        mine = np.flatnonzero(role == k)
        if len(mine):
            record = formula("activations", value, partial(" at neuron {!r}".format, ids[mine[0]]))
            if record not in records:
                records.append(record)
            code[mine] = records.index(record)
    return code, tuple(records)


def _refuse_repeats(src: Codes, dst: Codes, ids: Sequence[Hashable], place: Place, weighted: bool) -> None:
    loops = np.flatnonzero(src == dst)
    if len(loops):
        row = int(loops[0])
        raise FileError(
            f"{place(row)}: self-loop at {brief(ids[src[row]])}: a feed-forward neuron never feeds itself "
            "(drop_self_loops=True leaves such edges out)"
        )
    key = dst.astype(np.int64) * len(ids) + src
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    if len(again):
        row = int(order[1:][again].min())
        ways = "'first' keeps the first, 'sum' adds up the weights" if weighted else "'first' keeps the first"
        said = f"edge {ids[src[row]]!r:.150} → {ids[dst[row]]!r:.150} is given twice"
        raise FileError(f"{place(row)}: {said} (duplicates={ways})")
