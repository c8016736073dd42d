"""Columns: the data of a network as arrays; `rules.check` validates that they form one.

A Network stores these; its graph is derived. Nodes and edges are in the order given; a row is an index in that order.
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
"""Codes, one per node or edge or one for all, and the table of entries that they index."""


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of one network: V nodes, E edges. The constructor makes the arrays read-only.

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
    place        of a union, (V,) int64: rank of each node, networks one after another, each in its canonical order
    known_level  `level` where the caller has computed it already; no column, and not kept by `replace`
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
            object.__setattr__(self, "level", frozen(known_level))  # fills the cache of the property

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
        """Make columns from those given; each other column has its default: trainable, no shared weights, bias 0.

        A column is one value per node or edge, or one for all of them, and is converted to its dtype here. Entries at
        inputs are overwritten: they have no functions, a bias of 0, a response of 1, and are not trainable.

        Args:
            activation: codes and their table, as `attributes.encode` returns them; entries at inputs are ignored.
            aggregation: the same; None is the sum for all.
            weight: NaN where the weight is to be drawn from the seed.
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
        return Columns, tuple(getattr(self, f.name) for f in fields(self))  # no cached properties

    @property
    def n_nodes(self) -> int:
        """Return V, the number of nodes."""
        return len(self.ids)

    @property
    def n_edges(self) -> int:
        """Return E, the number of edges."""
        return len(self.source)

    @cached_property
    def index(self) -> Mapping[Hashable, int]:
        """Map each node id to its row."""
        return dict(zip(self.ids, range(self.n_nodes), strict=True))

    @property
    def ends(self) -> list[tuple[Hashable, Hashable]]:
        """List the E edges as pairs of ids, (source, target), by row."""
        ids = self.ids
        pairs = zip(self.source.tolist(), self.target.tolist(), strict=True)
        return [(ids[u], ids[v]) for u, v in pairs]

    @cached_property
    def is_input(self) -> Bools:
        """Mark the rows of inputs, (V,) bool."""
        mask = np.zeros(self.n_nodes, np.bool_)
        mask[self.inputs] = True
        return frozen(mask)

    @cached_property
    def level(self) -> Ints:
        """Compute the longest path from a node without in-edges to each node, (V,) int32, in edges.

        Raises:
            CycleError: the graph has a cycle, which is named node by node.
        """
        found = levels(self.n_nodes, self.source, self.target)
        if found is None:
            raise CycleError([self.ids[k] for k in find_cycle(self.n_nodes, self.source, self.target)])
        return frozen(found)

    @cached_property
    def order(self) -> Ints:
        """Compute the canonical order, (V,) int32 rows: inputs in their own order, then neurons by level and id; in a
        union, neurons network by network."""
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
        """Compute the weights, (E,) float64: absent ones are drawn from the seed; edges of a param share one weight.

        Raises:
            GraphError: two edges of one param were given different weights.
        """
        functions = self.activation, self.activations
        weight = drawn(self.weight, self.source, self.target, *functions, self.seed, self.initializer)
        return frozen(shared(weight, ~np.isnan(self.weight), self.param, self.params, self.edge_name))

    def edge_name(self, row: int) -> str:
        """Write an edge as `'a' → 'b'` for messages."""
        return f"{brief(self.ids[self.source[row]])} → {brief(self.ids[self.target[row]])}"


def _column(values: npt.ArrayLike, n: int, dtype: Any) -> npt.NDArray[Any]:
    """Make an (n,) array of that dtype from one value per entry, or one for all."""
    return np.full(n, values, dtype) if np.ndim(values) == 0 else np.asarray(values, dtype)


class _Absent:
    """Type of `ABSENT`, the entry of an attribute's column at a node or edge without that attribute."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
