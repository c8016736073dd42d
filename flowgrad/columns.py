"""Columns: what a network is, as arrays; `rules` says which columns are a network.

A Network's truth. Nodes and edges stand in the order in which they were given; a row is a place in that order.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import frozen
from flowgrad.attributes import Bools, Codes, Floats, Ints
from flowgrad.errors import CycleError, brief
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.maths.initializers import Initializer
from flowgrad.order import find_cycle, grouped, id_rank, levels
from flowgrad.registry import find
from flowgrad.weights import drawn, shared

Coded: TypeAlias = tuple[Any, tuple[Any, ...]]
"""Indices, one a node or edge (or one for all), and the table that they are into."""


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
    initializer  draws the absent weights; None leaves it to the activation of each edge's target
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
    initializer: Initializer | None = None
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

    @classmethod
    def of(
        cls,
        ids: Sequence[Hashable],
        inputs: npt.ArrayLike,
        outputs: npt.ArrayLike,
        source: npt.ArrayLike,
        target: npt.ArrayLike,
        activation: Coded,
        aggregation: Coded | None = None,
        *,
        weight: npt.ArrayLike = np.nan,
        bias: npt.ArrayLike = 0.0,
        response: npt.ArrayLike = 1.0,
        trainable: npt.ArrayLike = True,
        edge_trainable: npt.ArrayLike = True,
        param: Coded = (-1, ()),
        **rest: Any,
    ) -> Columns:
        """Make columns of what is known of a network: every other column is that of a plain, trainable network.

        Each column is one value a node or edge, or one for all of them, and gets its dtype here. What stands at inputs
        is blanked: they have no functions, a bias of 0, a response of 1, and are not trainable.

        Args:
            activation: codes and their table, as `attributes.encode` gives them; what inputs have is ignored.
            aggregation: the same; None is the sum for all.
            weight: NaN where the seed decides.
            param: codes, −1 for none, and the names of the shared weights.
            rest: `seed`, `initializer`, `part`, `place`, `known_level`, `node_extra`, `edge_extra`, `graph_extra`.
        """
        V, E = len(ids), np.size(source)
        codes, activations = activation
        agg_codes, aggregations = aggregation or (0, (find("aggregations", "sum"),))
        input_rows = np.asarray(inputs, np.int32)
        at_input = np.zeros(V, np.bool_)
        at_input[input_rows] = True
        return cls(
            ids=ids,
            inputs=input_rows,
            outputs=np.asarray(outputs, np.int32),
            activation=np.where(at_input, -1, codes).astype(np.int16),
            aggregation=np.where(at_input, -1, agg_codes).astype(np.int16),
            bias=np.where(at_input, 0.0, bias),
            response=np.where(at_input, 1.0, response),
            trainable=np.where(at_input, False, trainable),
            source=np.asarray(source, np.int32),
            target=np.asarray(target, np.int32),
            weight=_column(weight, E, np.float64),
            edge_trainable=_column(edge_trainable, E, np.bool_),
            param=_column(param[0], E, np.int32),
            activations=activations,
            aggregations=aggregations,
            params=param[1],
            **rest,
        )

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
        """(E,) float64: the weights, absent ones drawn from the seed (`initializer`), one for all edges of a param.

        Raises:
            GraphError: two edges of one param were given different weights.
        """
        functions = self.activation, self.activations
        weight = drawn(self.weight, self.source, self.target, *functions, self.seed, self.initializer)
        return frozen(shared(weight, ~np.isnan(self.weight), self.param, self.params, self.edge_name))

    def edge_name(self, row: int) -> str:
        """`'a' → 'b'` of an edge, for messages."""
        return f"{brief(self.ids[self.source[row]])} → {brief(self.ids[self.target[row]])}"


def _column(values: npt.ArrayLike, n: int, dtype: Any) -> npt.NDArray[Any]:
    """(n,) of that dtype: one value for all, or one each."""
    return np.full(n, values, dtype) if np.ndim(values) == 0 else np.asarray(values, dtype)


class _Absent:
    """The entry of an attribute's column at a node or edge that has no such attribute."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
