"""Columns: what a network is, as arrays; and the rules that make columns a network.

A Network's truth. Nodes and edges stand in the order in which they were given; a row is a place in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import frozen, plain
from flowgrad.errors import CycleError, GraphError, UnknownNameError, brief, suggest
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.maths.initializers import Initializer
from flowgrad.order import find_cycle, grouped, id_rank, levels
from flowgrad.registry import find, singular

Ints = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Columns:
    """One validated network: V nodes, E edges. Its arrays are read-only from the moment they stand in it.

    ids          V node ids, a range where they are 0 … V−1
    inputs       (I,) int32 rows of the inputs, in order
    outputs      (O,) int32 rows of the outputs, in order
    activation   (V,) int16 index into `activations`, −1 for inputs
    aggregation  (V,) int16 index into `aggregations`, −1 for inputs
    bias, response (V,) float64; trainable (V,) bool: whether θ holds the bias
    source, target (E,) int32 rows; weight (E,) float64, NaN where the seed decides; edge_trainable (E,) bool
    param        (E,) int32 index into `params` of the shared weight's name, −1 for none
    part         of a union, (V,) int32: the number of the node's network, −1 for shared inputs
    place        of a union, (V,) int64: network by network, each node's place in its own canonical order
    known_level  `level`, where who makes the columns has it already; no column, and not kept by `replace`
    node_extra, edge_extra, graph_extra: the user's other attributes; a column's missing entries are `ABSENT`
    """

    ids: Sequence[Hashable]
    inputs: Ints
    outputs: Ints
    activation: Codes
    aggregation: Codes
    bias: Floats
    response: Floats
    trainable: Bools
    source: Ints
    target: Ints
    weight: Floats
    edge_trainable: Bools
    param: Ints
    activations: tuple[Activation, ...]
    aggregations: tuple[Aggregation, ...]
    params: tuple[Hashable, ...] = ()
    seed: int = 0
    part: Ints | None = None
    place: npt.NDArray[np.int64] | None = None
    node_extra: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    edge_extra: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    graph_extra: Mapping[str, Any] = field(default_factory=dict)
    known_level: InitVar[Ints | None] = None

    def __post_init__(self, known_level: Ints | None) -> None:
        for f in fields(self):
            frozen(getattr(self, f.name))
        if known_level is not None:
            object.__setattr__(self, "level", frozen(known_level))  # in the place of what the property would find

    def __reduce__(self) -> tuple[type[Columns], tuple[Any, ...]]:
        return Columns, tuple(getattr(self, f.name) for f in fields(self))  # without what was found

    @property
    def n_nodes(self) -> int:
        """V."""
        return len(self.ids)

    @property
    def n_edges(self) -> int:
        """E."""
        return len(self.source)

    @cached_property
    def index(self) -> Mapping[Hashable, int]:
        """Node id → row."""
        return dict(zip(self.ids, range(self.n_nodes), strict=True))

    @property
    def ends(self) -> list[tuple[Hashable, Hashable]]:
        """(E,) source and target of each edge, as ids."""
        ids = self.ids
        pairs = zip(self.source.tolist(), self.target.tolist(), strict=True)
        return [(ids[u], ids[v]) for u, v in pairs]

    @cached_property
    def is_input(self) -> Bools:
        """(V,) bool."""
        mask = np.zeros(self.n_nodes, np.bool_)
        mask[self.inputs] = True
        return frozen(mask)

    @cached_property
    def level(self) -> Ints:
        """(V,) int32: longest path from a node without in-edges, in edges.

        Raises:
            CycleError: the graph has a cycle, which is named node by node.
        """
        found = levels(self.n_nodes, self.source, self.target)
        if found is None:
            raise CycleError([self.ids[k] for k in find_cycle(self.n_nodes, self.source, self.target)])
        return frozen(found)

    @cached_property
    def order(self) -> Ints:
        """(V,) int32 rows in canonical order: the inputs in theirs, then neurons by level and id, in a union
        network by network."""
        neurons = np.flatnonzero(~self.is_input).astype(np.int32)
        if self.place is not None:
            return frozen(np.concatenate([self.inputs, neurons[np.argsort(self.place[neurons])]]))
        rank = id_rank(self.ids)
        by_level = self.level[neurons]
        if rank is None or isinstance(self.ids, range):
            place = grouped(by_level, self.n_nodes)
        else:
            place = np.lexsort((rank[neurons], by_level))
        return frozen(np.concatenate([self.inputs, neurons[place]]))

    @cached_property
    def weights(self) -> Floats:
        """(E,) float64: the weights, absent ones drawn from the seed (Glorot or He) in the order of the edges."""
        return frozen(initial_weights(self))

    def edge_name(self, row: int) -> str:
        """`'a' → 'b'` of an edge, for messages."""
        return f"{brief(self.ids[self.source[row]])} → {brief(self.ids[self.target[row]])}"


class _Absent:
    """The entry of an attribute's column at a node or edge that has no such attribute."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


# ---- values on nodes and edges ------------------------------------------------------------------------------


def formula(kind: str, value: object, where: Callable[[], str]) -> Any:
    """The Activation or Aggregation that a name, or the record itself, stands for."""
    record = {"activations": Activation, "aggregations": Aggregation}[kind]
    if isinstance(value, record):
        return value
    if not isinstance(value, str):
        raise GraphError(
            f"{singular(kind)} {brief(value)}{where()} is a {type(value).__name__}: give a name or a {record.__name__}"
        )
    try:
        return find(kind, value)
    except UnknownNameError as error:
        unknown, said, rest = str(error).partition(brief(value))
        raise UnknownNameError(f"{unknown}{said}{where()}{rest}") from None


def _at_neuron(name: Hashable) -> str:
    return f" at neuron {brief(name)}"


def encode(kind: str, values: Sequence[Any], ids: Sequence[Hashable]) -> tuple[Codes, tuple[Any, ...]]:
    """Codes and table of one formula a node; `None` (an input) has code −1."""
    table: dict[Any, int] = {None: -1}
    records: list[Any] = []
    codes = np.empty(len(values), np.int16)
    for row, value in enumerate(values):
        code = table.get(value) if isinstance(value, Hashable) else None
        if code is None:
            record = formula(kind, value, partial(_at_neuron, ids[row]))
            code = table.get(record)
            if code is None:
                code = table[record] = len(records)
                records.append(record)
            table[value] = code
        codes[row] = code
    return codes, tuple(records)


_REAL = (int, float, np.integer, np.floating)


def numbers(values: Any, what: str, name: Callable[[int], str], absent: float | None = None) -> Floats:
    """A column of finite float64; `None` entries become `absent` where it is given.

    Raises:
        GraphError: an entry is text, complex, bool, NaN, infinite or no number at all; the message names the
            node or edge by `name(row)`.
    """
    array = plain(values, what) if isinstance(values, np.ndarray) else _as_array(values)
    if len(array) == len(values) and array.ndim == 1 and array.dtype.kind in "fiu":
        column = array.astype(np.float64)
        finite = np.isfinite(column)
        if finite.all():
            return column
        row = int(np.flatnonzero(~finite)[0])
        raise GraphError(f"{what} {column[row]} at {name(row)}: must be finite")
    column = np.empty(len(values), np.float64)
    for row, value in enumerate(values):
        column[row] = absent if value is None and absent is not None else number(value, what, name, row)
    return column


def _as_array(values: Any) -> npt.NDArray[Any]:
    """A list of real numbers as an array; without entries where one is something else, which the slow path names."""
    kinds = set(map(type, values))
    plain = all(issubclass(kind, _REAL) and kind is not bool for kind in kinds)
    return np.asarray(values) if plain else np.empty(0, object)


def number(value: Any, what: str, name: Callable[[int], str], row: int = 0) -> float:
    """One finite float, or the error that names where it stands."""
    if not isinstance(value, _REAL) or isinstance(value, bool):
        raise GraphError(f"{what} {brief(value)} at {name(row)} is a {type(value).__name__}: must be a real number")
    try:
        result = float(value)
    except OverflowError:
        result = float("inf")
    if not np.isfinite(result):
        raise GraphError(f"{what} {value} at {name(row)}: must be finite")
    return result


def flags(values: Iterable[Any], what: str, name: Callable[[int], str]) -> Bools:
    """A column of bool; `None` (or ABSENT) is True."""
    column = []
    for row, value in enumerate(values):
        if value is None or value is ABSENT:
            value = True
        elif not isinstance(value, (bool, np.bool_)):
            raise GraphError(f"{what} {brief(value)} at {name(row)}: must be True or False")
        column.append(bool(value))
    return np.array(column, np.bool_)


def rows_of(names: Iterable[Hashable], index: Mapping[Hashable, int], what: str) -> Ints:
    """Rows of the named nodes, in order.

    Raises:
        UnknownNameError: a name is no node.
        GraphError: a name comes twice.
    """
    if isinstance(names, (str, bytes)):
        raise GraphError(f"{what}s={brief(names)}: give a list of node ids")
    rows: dict[int, None] = {}
    for name in names:
        row = index.get(name) if isinstance(name, Hashable) else None
        if row is None:
            raise UnknownNameError(f"{what} {brief(name)} is no node of the graph{suggest(name, index)}")
        if row in rows:
            raise GraphError(f"{what} {brief(name)} is named twice")
        rows[row] = None
    return np.fromiter(rows, np.int32, len(rows))


# ---- the whole ----------------------------------------------------------------------------------------------


def check(c: Columns) -> Columns:
    """The rules that need the whole network; gives the columns back.

    Raises:
        GraphError: no nodes, inputs or outputs; a self-loop, a double edge, an edge into an input; two weights
            under one param.
        CycleError: the graph has a cycle.
    """
    if not c.n_nodes:
        raise GraphError("the graph is empty: a network needs nodes")
    loops = np.flatnonzero(c.source == c.target)
    if len(loops):
        raise GraphError(
            f"self-loop at node {brief(c.ids[c.source[loops[0]]])}: a feed-forward neuron never feeds itself"
        )
    _check_double_edges(c)
    _ = c.level
    if not len(c.inputs):
        raise GraphError("the network has no inputs: every node has in-edges, or an activation, aggregation or bias")
    into = np.flatnonzero(c.is_input[c.target])
    if len(into):
        raise GraphError(
            f"input {brief(c.ids[c.target[into[0]]])} has an in-edge, {c.edge_name(int(into[0]))}: inputs have none"
        )
    if not len(c.outputs):
        raise GraphError("the network has no outputs: name them with outputs= or set_outputs([...])")
    if c.params:
        _ = c.weights  # raises where edges of one param were given different ones
    return c


def _check_double_edges(c: Columns) -> None:
    key = c.target.astype(np.int64) * c.n_nodes + c.source
    if len(key) < 2 or bool((key[1:] > key[:-1]).all()):
        return
    place = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[place[1:]] == key[place[:-1]])
    if len(same):
        first, second = place[same[0]], place[same[0] + 1]
        raise GraphError(f"edge {c.edge_name(int(first))} is given twice, as edges {first + 1} and {second + 1}")


def _initializer(activation: Activation) -> Initializer:
    try:
        found: Initializer = find("initializers", activation.initializer)
    except UnknownNameError as error:
        raise GraphError(f"activation {brief(activation.name)}: {error}") from None
    return found


def initial_weights(c: Columns) -> Floats:
    """(E,) float64: given weights kept, absent ones drawn; edges of one param agree.

    Standard deviation by the target's activation, its fan-in and the source's fan-out (`maths.initializers`).

    Raises:
        GraphError: two edges of one param were given different weights, or an activation names an initializer that
            does not exist.
    """
    weight = c.weight
    absent = np.isnan(weight)
    if absent.any():
        fan_in = np.bincount(c.target, minlength=c.n_nodes)[c.target]
        fan_out = np.bincount(c.source, minlength=c.n_nodes)[c.source]
        drawn = np.random.default_rng(c.seed).standard_normal(int(absent.sum()))
        std = np.empty(c.n_edges)
        for code, activation in enumerate(c.activations):
            mine = c.activation[c.target] == code
            std[mine] = _initializer(activation).std(fan_in[mine], fan_out[mine])
        weight = weight.copy()
        weight[absent] = drawn * std[absent]
    shared = np.flatnonzero(c.param >= 0)
    if not len(shared):
        return weight
    weight = weight.copy() if weight is c.weight else weight
    drawn_rows, given = shared[absent[shared]], shared[~absent[shared]]
    value = np.full(len(c.params), np.nan)
    for rows in (
        drawn_rows[::-1],
        given[::-1],
    ):  # of a param the first given weight stands, else its first drawn
        value[c.param[rows]] = weight[rows]
    unequal = given[weight[given] != value[c.param[given]]]
    if len(unequal):
        row = int(unequal[0])
        raise GraphError(
            f"param {brief(c.params[c.param[row]])} has two weights: {weight[row]} at edge {c.edge_name(row)}, "
            f"{value[c.param[row]]} at another; edges of one param share one weight"
        )
    weight[shared] = value[c.param[shared]]
    return weight
