"""Assemble a network from arrays of neurons while a graph of tensors is read.

A neuron is identified by its row, an integer that never changes. Edges and biases may have a *key*, the number of a
parameter. A parameter that is used once becomes an ordinary weight or bias; one that is used more often becomes a
weight that edges share, and a bias then becomes an edge from a neuron whose value is 1.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.attributes import encode
from flowgrad.columns import Columns
from flowgrad.errors import FileError
from flowgrad.format import Claim
from flowgrad.formats._groups import Names
from flowgrad.network import Network

Array = npt.NDArray[Any]
MOST = 50_000_000  # maximal total of neurons, edges and numbers of a file, unless max_bytes is given
NEURON, EDGE, NUMBER = 320, 120, 20  # peak memory of each in bytes, while a network is made; measured, rounded up
NODE = np.dtype(
    [
        ("activation", np.int16),
        ("aggregation", np.int16),
        ("bias", np.float64),
        ("key", np.int64),
        ("label", np.int32),
        ("place", np.int64),
        ("named", np.bool_),
    ]
)


class Assembly:
    """Collect neurons, edges and parameters; `claim` counts the memory that the file needs."""

    def __init__(self, claim: Claim) -> None:
        what = str(claim.path)
        self.claim, self.what, self.spent, self.n = claim, what, 0, 0
        self.folder = claim.path.parent  # the only folder from which external data are read
        self.place = what  # the part of the file that is being read, for messages
        self.batch = False  # whether the first axis of arrays of rows is the batch axis, of length 1
        self.nodes = np.zeros(1024, NODE)
        self.labels: list[tuple[str, tuple[int, ...]]] = []
        self.functions: dict[str, list[str]] = {"activations": ["identity"], "aggregations": ["sum"]}
        self.edges: list[tuple[Array, Array, Array, Array]] = []
        self.parameters: list[tuple[int, str, tuple[int, ...]]] = []
        self.n_parameters = 0
        self.ids: dict[int, Hashable] = {}

    def spend(self, neurons: int = 0, edges: int = 0, numbers: int = 0) -> None:
        """Count neurons, edges and numbers before they are made.

        Raises:
            FileError: more than `MOST` of them, or more memory than the file may claim.
        """
        self.spent += neurons + edges + numbers
        if self.spent > MOST and self.claim.max_bytes is None:
            many = f"more than {MOST:,} neurons, edges and numbers"
            raise FileError(f"{self.place}: {many}: too large to unroll (max_bytes= allows more)")
        amount = NEURON * neurons + EDGE * edges + NUMBER * numbers
        self.claim.add(amount, self.place, f"{self.spent:,} neurons, edges and numbers")

    # ---- neurons --------------------------------------------------------------------------------------------

    def neurons(
        self, shape: tuple[int, ...], label: str, activation: str = "identity", aggregation: str = "sum"
    ) -> Array:
        """Make new neurons without edges; return their rows, int64 of this shape."""
        size = int(np.prod(shape, dtype=object))
        self.spend(neurons=size)
        first, self.n = self.n, self.n + size
        if self.n > len(self.nodes):
            more = np.zeros(max(self.n, 2 * len(self.nodes)) - len(self.nodes), NODE)
            self.nodes = np.concatenate([self.nodes, more])
        rows = np.arange(first, self.n).reshape(shape)
        self.nodes["aggregation"][first : self.n] = self.code("aggregations", aggregation)
        self.nodes["key"][first : self.n] = -1
        self.activate(rows, activation)
        self.name(rows, label)
        return rows

    def activate(self, rows: Array, activation: str) -> None:
        self.nodes["activation"][rows] = -1 if activation == "input" else self.code("activations", activation)

    def name(self, rows: Array, label: str) -> None:
        """Name the neurons `label[i,j]` by their indices in the array, without the batch axis."""
        self.labels.append((label, rows.shape[1:] if self.batch and rows.shape[:1] == (1,) else rows.shape))
        self.nodes["label"][rows] = len(self.labels) - 1
        self.nodes["place"][rows] = np.arange(rows.size).reshape(rows.shape)

    def identify(self, rows: Array, ids: Sequence[Hashable]) -> None:
        """Set the ids of these rows, which must have none yet."""
        self.nodes["named"][rows] = True
        self.ids |= dict(zip(rows.ravel().tolist(), ids, strict=True))

    def code(self, kind: str, function: str) -> int:
        table = self.functions[kind]
        if function not in table:
            table.append(function)
        return table.index(function)

    def plain(self, rows: Array) -> bool:
        """Tell whether all these neurons are a = m, the sum of their terms: identity, without bias or parameter."""
        found = self.nodes[rows]
        return not (
            found["activation"].any() or found["aggregation"].any() or found["bias"].any() or (found["key"] >= 0).any()
        )

    def linear(self, rows: Array) -> bool:
        """Tell whether all these neurons have the activation identity, whatever their aggregation and bias."""
        return not self.nodes["activation"][rows].any()

    def bias(self, rows: Array, values: Array, keys: Array | None = None) -> None:
        self.nodes["bias"][rows] = values
        self.nodes["key"][rows] = -1 if keys is None else keys

    # ---- edges and parameters -------------------------------------------------------------------------------

    def connect(self, source: Array, target: Array, weight: Any = 1.0, keys: Array | None = None) -> None:
        """Add edges between rows, arrays broadcast together, none where source is −1. Without keys they are frozen."""
        shape = np.broadcast_shapes(source.shape, target.shape, np.shape(weight))
        self.spend(edges=int(np.prod(shape, dtype=object)))
        parts = [np.broadcast_to(v, shape).ravel() for v in (source, target, weight, -1 if keys is None else keys)]
        if parts[0].size and parts[0].min() < 0:
            there = parts[0] >= 0
            parts = [part[there] for part in parts]
        self.edges.append((parts[0].astype(np.int32), parts[1].astype(np.int32), parts[2].astype(np.float64), parts[3]))

    def fresh(self, shape: tuple[int, ...], name: str) -> Array:
        """Make new parameters; return their keys, int64 of this shape."""
        first = self.n_parameters
        self.n_parameters += int(np.prod(shape, dtype=object))
        self.parameters.append((first, name, shape))
        return np.arange(first, self.n_parameters).reshape(shape)

    # ---- the whole ------------------------------------------------------------------------------------------

    def network(self, inputs: Array, outputs: Array) -> Network:
        """Build the network; rows without ids are named after their tensors."""
        source, target, weight, key = self._columns_of_edges()
        shared = self._used_twice(key)
        tied = np.flatnonzero(np.isin(self.nodes["key"][: self.n], shared)) if len(shared) else np.empty(0, np.int64)
        if len(tied):
            one = self.neurons((1,), "one")
            self.bias(one, np.ones(1))
            source = np.concatenate([source, np.full(len(tied), one[0], np.int32)])
            target = np.concatenate([target, tied.astype(np.int32)])
            weight = np.concatenate([weight, self.nodes["bias"][tied]])
            key = np.concatenate([key, self.nodes["key"][tied]])
            self.bias(tied, np.zeros(len(tied)))
        nodes = self.nodes[: self.n]
        self._refuse_infinite(nodes["bias"], weight)
        param = np.searchsorted(shared, key) if len(shared) else np.full(len(key), -1)
        param[~np.isin(key, shared)] = -1
        kinds = self.functions
        return Network.from_columns(
            Columns.of(
                self._ids(),
                inputs,
                outputs,
                source,
                target,
                (nodes["activation"], encode("activations", kinds["activations"], kinds["activations"])[1]),
                (nodes["aggregation"], encode("aggregations", kinds["aggregations"], kinds["aggregations"])[1]),
                weight=weight,
                bias=nodes["bias"],
                trainable=nodes["key"] >= 0,
                edge_trainable=key >= 0,
                param=(param, tuple(self._parameter_names(shared))),
            )
        )

    def _columns_of_edges(self) -> list[Array]:
        empty = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), np.empty(0, np.int64))
        return [np.concatenate(part) for part in zip(*(self.edges or [empty]), strict=True)]

    def _used_twice(self, key: Array) -> Array:
        """Return the parameters, ascending, that more than one edge or bias uses."""
        uses = np.concatenate([key[key >= 0], self.nodes["key"][: self.n][self.nodes["key"][: self.n] >= 0]])
        found, count = np.unique(uses, return_counts=True)
        return found[count > 1]

    def _refuse_infinite(self, bias: Array, weight: Array) -> None:
        for values, what in ((bias, "a bias"), (weight, "a weight")):
            if not np.isfinite(values).all():
                raise FileError(f"{self.what}: {what} comes to {values[~np.isfinite(values)][0]}: must be finite")

    def _parameter_names(self, keys: Array) -> list[str]:
        starts = [first for first, _, _ in self.parameters]
        named, names = [], Names()
        for key, block in zip(keys.tolist(), (np.searchsorted(starts, keys, "right") - 1).tolist(), strict=True):
            first, name, shape = self.parameters[block]
            named.append(names.free(_indexed(name, shape, key - first)))
        return named

    def _ids(self) -> list[Hashable]:
        given = self.ids
        names = Names([name for name in given.values() if isinstance(name, str)])
        ids: list[Hashable] = []
        for row, (block, place) in enumerate(self.nodes[["label", "place"]][: self.n].tolist()):
            label, shape = self.labels[block]
            ids.append(given[row] if row in given else names.free(_indexed(label, shape, place)))
        return ids


def _indexed(name: str, shape: tuple[int, ...], place: int) -> str:
    """Return `name[i,j]` for a flat index into an array of this shape; `name` alone where it has no axes.

    >>> _indexed("h", (2, 3), 5), _indexed("h", (), 0)
    ('h[1,2]', 'h')
    """
    if not shape:
        return name
    index = []
    for size in reversed(shape):
        place, k = divmod(place, size)
        index.append(k)
    return f"{name}[{','.join(map(str, reversed(index)))}]"
