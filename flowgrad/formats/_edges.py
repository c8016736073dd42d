"""Build networks from rows of edges, with array operations: shared by the readers of edge lists and ontologies."""

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
    """Number the ids of nodes from 0 in the order of first appearance, a column at a time."""

    def __init__(self, first: Iterable[Hashable] = ()) -> None:
        self.index: dict[Hashable, int] = {}
        self._rows(first)

    def codes(self, source: Any, target: Any) -> tuple[Codes, Codes]:
        """Return the numbers (n,) int32 of two columns of n ids; new ids are numbered row by row, the source first.

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
        """Return the numbers of these ids; new ids get the next free numbers."""
        index = self.index
        return np.array([index.setdefault(name, len(index)) for name in ids], np.int32)


def _distinct(source: Any, target: Any) -> tuple[list[str], Codes]:
    """Return distinct strings of two pyarrow arrays, by first appearance, and the entries' (2n,) indices into them."""
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
        seen[code[half]] = place[half]  # assigned backwards, so that the first occurrence remains
        first = np.minimum(first, seen)
    order = np.argsort(first)
    used = int((first < 2 * n).sum())  # a dictionary may hold entries that no row uses
    return found.dictionary.take(order[:used]).to_pylist(), _inverse(order)[code]


def _distinct_integers(source: Any, target: Any) -> tuple[list[int], Codes]:
    """Do the same as `_distinct` for two arrays of integers."""
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
    """Build the network of these edges; `nodes` come first, then all others in the order of first appearance.

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
    """Build the network of edges between numbered names.

    Args:
        src, dst: (E,) int32 numbers of `names`.
        weight: (E,) float64, or None where the seed draws them.
        edge_extra: attributes of the edges, E entries each.
        duplicates: how to treat edges between the same two nodes: "first" keeps the first, "sum" keeps the first
            with the sum of the weights, "error" raises FileError.
        drop_self_loops: leaves out the edges from a node to itself.
        inputs: ids; None takes the nodes without in-edges.
        outputs: ids; None takes the neurons without out-edges. A mapping also gives the label of each output,
            stored as its attribute `label`.
        node_extra: function of the ids that returns the attributes of the nodes, V entries each.

    Raises:
        FileError: an empty name, a self-loop or an edge given twice, with the line.
        ConfigError: `duplicates` is none of these, or "sum" without weights; a seed below 0.
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
        _refuse_repeats(src, dst, ids, place, weight is not None)  # this error names the line
        raise


def _merged(
    src: Codes, dst: Codes, V: int, weight: Any, duplicates: Duplicates, drop_self_loops: bool
) -> tuple[npt.NDArray[np.int64], Any]:
    """Return the rows of the edges that remain, ascending, and their weights, summed over duplicates if so asked."""
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
    """Raise FileError for a weight that is not finite: the sum of finite weights of duplicate edges."""
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
    """Return rows of inputs (I,) and outputs (O,): as named, or nodes without in-edges, neurons without out-edges."""
    first, last = (np.bincount(end, minlength=len(index)) == 0 for end in (dst, src))
    input_rows = np.flatnonzero(first).astype(np.int32) if inputs is None else rows_of(inputs, index, "input")
    if outputs is not None:
        return input_rows, rows_of(outputs, index, "output")
    last[input_rows] = False
    return input_rows, np.flatnonzero(last).astype(np.int32)


def _functions(
    role: npt.NDArray[np.int8], given: Sequence[Any], ids: Sequence[Hashable]
) -> tuple[Any, tuple[Any, ...]]:
    """Return (V,) int16 function codes and their table; `role` (V,) holds indices into `given`, −1 at inputs."""
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
