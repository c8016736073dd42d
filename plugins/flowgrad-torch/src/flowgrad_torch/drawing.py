"""Build a network layer by layer from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.columns import Columns
from flowgrad.network import Network
from flowgrad.registry import find

Array = npt.NDArray[Any]


class Drawing:
    """A network under construction; neurons are numbered in the order of creation, the inputs first."""

    def __init__(self, inputs: int) -> None:
        self.inputs = np.arange(inputs)
        self._count = inputs
        self._nodes: list[tuple[int, str, str, Array, bool]] = [(inputs, "identity", "sum", np.zeros(inputs), False)]
        self._edges: list[tuple[Array, Array, Array, bool]] = []

    def neurons(
        self, n: int, activation: str, aggregation: str = "sum", bias: Array | float = 0.0, trains: bool = False
    ) -> Array:
        """Add n neurons and return their numbers (n,)."""
        self._nodes.append((n, activation, aggregation, np.broadcast_to(bias, n), trains))
        self._count += n
        return np.arange(self._count - n, self._count)

    def connect(self, source: Array, target: Array, weight: Array | float = 1.0, trains: bool = False) -> None:
        """Add edges between neurons of these numbers; sources, targets and weights are broadcast."""
        source, target = np.broadcast_arrays(source, target)
        self._edges.append((source, target, np.broadcast_to(weight, source.shape), trains))

    def softmax(self, z: Array, log: bool = False) -> Array:
        """Add frozen neurons for softmax(z), or for its logarithm; the largest z is subtracted first."""
        largest = self.neurons(1, "identity", "max")
        self.connect(z, largest)
        exps = self.neurons(len(z), "exp")
        self.connect(z, exps)
        self.connect(largest, exps, -1.0)
        total = self.neurons(1, "log" if log else "reciprocal")
        self.connect(exps, total)
        found = self.neurons(len(z), "identity", "sum" if log else "product")
        if log:
            self.connect(z, found)
            self.connect(largest, found, -1.0)
            self.connect(total, found, -1.0)
        else:
            self.connect(exps, found)
            self.connect(total, found)
        return found

    def network(self, outputs: Array) -> Network:
        """Build the network, and check it."""
        counts = [n for n, *_ in self._nodes]
        edges = [np.size(source) for source, *_ in self._edges]
        return Network.from_columns(
            Columns.of(
                range(self._count),
                self.inputs,
                outputs,
                np.concatenate([source for source, *_ in self._edges]),
                np.concatenate([target for _, target, *_ in self._edges]),
                self._coded("activations", [activation for _, activation, *_ in self._nodes], counts),
                self._coded("aggregations", [aggregation for _, _, aggregation, *_ in self._nodes], counts),
                weight=np.concatenate([weight for *_, weight, _ in self._edges]),
                bias=np.concatenate([bias for *_, bias, _ in self._nodes]),
                trainable=np.repeat([trains for *_, trains in self._nodes], counts),
                edge_trainable=np.repeat([trains for *_, trains in self._edges], edges),
            )
        )

    @staticmethod
    def _coded(kind: str, used: list[str], counts: list[int]) -> tuple[Array, tuple[Any, ...]]:
        """Return the function code of every node, and the table of functions that the codes index."""
        table = list(dict.fromkeys(used))
        return np.repeat([table.index(name) for name in used], counts), tuple(find(kind, name) for name in table)
