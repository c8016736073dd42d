"""Mappings from node and edge ids to entries of result arrays and to slots of θ."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import hashable
from flowgrad.errors import FlowgradError, UnknownNameError, brief, show, suggest
from flowgrad.reprs import named

if TYPE_CHECKING:
    from flowgrad.columns import Columns
    from flowgrad.plan import Plan

Array = npt.NDArray[Any]
Edge = tuple[Hashable, Hashable]


class Labels:
    """Ids of a plan's positions and edges; every table is built at first use and kept."""

    def __init__(self, columns: Columns, plan: Plan) -> None:
        self.columns, self.plan = columns, plan

    @cached_property
    def nodes(self) -> tuple[Hashable, ...]:
        """List the V node ids by position."""
        ids = self.columns.ids
        return tuple(ids[k] for k in self.plan.nodes.tolist())

    @cached_property
    def _position(self) -> npt.NDArray[np.int64]:
        position = np.empty(self.plan.n_nodes, np.int64)
        position[self.plan.nodes] = np.arange(self.plan.n_nodes)
        return position

    def is_node(self, name: object) -> bool:
        """Tell whether `name` is a node's id."""
        return hashable(name) and name in self.columns.index

    def node(self, name: Hashable) -> int:
        """Find the position of a node; raises UnknownNameError."""
        if not self.is_node(name):
            raise UnknownNameError(f"{brief(name)} is no node of the network{suggest(name, self.columns.index)}")
        return int(self._position[self.columns.index[name]])

    def edge(self, key: object) -> int:
        """Find the number of the edge (source, target) in the plan; raises UnknownNameError."""
        if not isinstance(key, tuple) or len(key) != 2:
            raise UnknownNameError(f"{brief(key)} is no edge: give source, target")
        u, v = self.node(key[0]), self.node(key[1])
        first, last = self.plan.in_ptr[v], self.plan.in_ptr[v + 1]
        found = np.flatnonzero(self.plan.in_source[first:last] == u)
        if not len(found):
            into = [self.nodes[s] for s in self.plan.in_source[first:last].tolist()]
            raise UnknownNameError(
                f"there is no edge {brief(key[0])} → {brief(key[1])}; into {brief(key[1])} go edges from: "
                f"{', '.join(map(show, into[:10])) or 'nothing'}{' …' if len(into) > 10 else ''}"
            )
        return int(first + found[0])

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """List the E pairs of ids, (source, target), by edge number."""
        pairs = zip(self.plan.in_source.tolist(), self.plan.in_target.tolist(), strict=True)
        return tuple((self.nodes[u], self.nodes[v]) for u, v in pairs)


class _Named(Mapping[Any, Any]):
    """A mapping whose `[…]` raises UnknownNameError with the nearest name; `in` and `get` do not raise it."""

    def _pairs(self) -> Iterable[tuple[str, Any]]:
        """Yield each name as text and its value, for a repr."""
        return ((show(name), self[name]) for name in self)

    def _listed(self) -> str:
        return named(self._pairs(), len(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._listed()})"

    def __contains__(self, name: object) -> bool:
        try:
            self[name]
        except UnknownNameError:
            return False
        return True

    def get(self, name: Any, default: Any = None) -> Any:
        """Return the value of that name, or `default`."""
        try:
            return self[name]
        except UnknownNameError:
            return default


class ByNode(_Named):
    """Values of nodes, by id; `array` has one row per node, in the order of `net.nodes`."""

    def __init__(self, labels: Labels, array: Array) -> None:
        self._labels, self.array = labels, array

    def __getitem__(self, name: Hashable) -> Any:
        return self.array[self._labels.node(name)]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._labels.nodes)

    def __len__(self) -> int:
        return len(self.array)

    def __contains__(self, name: object) -> bool:
        return self._labels.is_node(name)


class ByInput(ByNode):
    """Values of the inputs, by id; `array` (B, I) has one column per input."""

    def __getitem__(self, name: Hashable) -> Any:
        position = self._labels.node(name)
        inputs = len(self._labels.plan.inputs)
        if position >= inputs:
            raise UnknownNameError(f"{brief(name)} is no input{suggest(name, self)}")
        return self.array[:, position]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._labels.nodes[: len(self._labels.plan.inputs)])

    def __len__(self) -> int:
        return int(self.array.shape[1])

    def __contains__(self, name: object) -> bool:
        return self._labels.is_node(name) and self._labels.node(name) < len(self)


class ByOutput(_Named):
    """Values of the outputs, by id; `array` (O, …) has one row per output, in the order of `net.outputs`."""

    def __init__(self, labels: Labels, array: Array) -> None:
        self._labels, self.array = labels, array

    def __getitem__(self, name: Hashable) -> Any:
        place = np.flatnonzero(self._labels.plan.outputs == self._labels.node(name))
        if not len(place):
            raise UnknownNameError(f"{brief(name)} is no output{suggest(name, self)}")
        return self.array[place[0]]

    def __iter__(self) -> Iterator[Hashable]:
        return (self._labels.nodes[k] for k in self._labels.plan.outputs.tolist())

    def __len__(self) -> int:
        return len(self.array)


class ByEdge(_Named):
    """Values of edges, by `source, target`; `array` (E,) is in the plan's edge order, grouped by target."""

    def __init__(self, labels: Labels, array: Array) -> None:
        self._labels, self.array = labels, array

    def __getitem__(self, key: Edge) -> Any:
        return self.array[self._labels.edge(key)]

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._labels.edges)

    def __len__(self) -> int:
        return len(self.array)

    def _pairs(self) -> Iterable[tuple[str, Any]]:
        ends = zip(self._labels.plan.in_source.tolist(), self._labels.plan.in_target.tolist(), strict=True)
        names = self._labels.nodes
        return ((f"{show(names[u])} → {show(names[v])}", x) for (u, v), x in zip(ends, self.array, strict=True))


class _WeightSlots(ByEdge):
    """Slots of θ of the edges' weights; weights that θ does not hold are refused, and left out of the repr."""

    def _listed(self) -> str:
        return named(((name, slot) for name, slot in self._pairs() if slot >= 0), int((self.array >= 0).sum()))

    def __getitem__(self, key: Edge) -> int:
        slot = int(super().__getitem__(key))
        if slot < 0:
            raise UnknownNameError(
                f"the weight of edge {brief(key[0])} → {brief(key[1])} is not trainable: θ does not hold it"
            )
        return slot


class _BiasSlots(ByNode):
    """Slots of θ of the neurons' biases; biases that θ does not hold are refused, and left out of the repr."""

    def _listed(self) -> str:
        rows = np.flatnonzero(self.array >= 0)
        return named(((show(self._labels.nodes[v]), int(self.array[v])) for v in rows.tolist()), len(rows))

    def __getitem__(self, name: Hashable) -> int:
        slot = int(super().__getitem__(name))
        if slot < 0:
            position = self._labels.node(name)
            why = "is an input and has none" if self._labels.plan.activation[position] < 0 else "is not trainable"
            raise UnknownNameError(f"the bias of {brief(name)} {why}: θ does not hold it")
        return slot


class ThetaIndex:
    """Map parameters to slots of θ: `weight["x", "h"]`, `bias["h"]`, or short: `index["x", "h"]`, `index["h"]`."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self.weight = _WeightSlots(labels, labels.plan.weight_slot)
        self.bias = _BiasSlots(labels, labels.plan.bias_slot)

    def __len__(self) -> int:
        return self._labels.plan.n_parameters

    def __getitem__(self, key: Any) -> int:
        pair = isinstance(key, tuple) and len(key) == 2 and all(map(self._labels.is_node, key))
        if pair and self._labels.is_node(key):
            raise FlowgradError(f"{brief(key)} is a node and could be an edge: say theta_index.bias[…] or .weight[…]")
        is_edge = pair or (isinstance(key, tuple) and not self._labels.is_node(key))
        return self.weight[key] if is_edge else self.bias[key]

    def label(self, slot: int) -> tuple[Literal["weight", "bias"], Any]:
        """Name a slot's parameter: ("weight", (source, target)), the first edge of a shared one, or ("bias", node)."""
        plan = self._labels.plan
        if isinstance(slot, bool) or not isinstance(slot, (int, np.integer)) or not 0 <= slot < len(self):
            raise UnknownNameError(f"θ has no slot {brief(slot)}: it has {len(self)}")
        edge = np.flatnonzero(plan.weight_slot == slot)
        if len(edge):
            return "weight", self._labels.edges[edge[0]]
        return "bias", self._labels.nodes[int(np.flatnonzero(plan.bias_slot == slot)[0])]

    def __repr__(self) -> str:
        plan = self._labels.plan
        biases = int((plan.bias_slot >= 0).sum())
        size = f"{len(self) - biases:,} weights, {biases:,} biases"
        return f"ThetaIndex({size})\n  weight  {self.weight._listed()}\n  bias    {self.bias._listed()}"
