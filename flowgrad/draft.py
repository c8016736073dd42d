"""Draft: a mutable network under construction."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from flowgrad.arguments import hashable
from flowgrad.attributes import encode
from flowgrad.columns import ABSENT, Columns
from flowgrad.errors import GraphError, UnknownNameError, brief, suggest
from flowgrad.maths.initializers import Initializer

LEFT_OUT = "left out"
"""Placeholder for an activation that was not given; `columns` replaces it when the outputs are known."""


class Draft:
    """Nodes and edges as lists; the editing methods of Network append to them, `columns` makes arrays."""

    def __init__(self) -> None:
        self.ids: list[Hashable] = []
        self.index: dict[Hashable, int] = {}
        self.inputs: list[int] = []
        self.outputs: list[int] | None = None
        self.functions: list[tuple[Any, Any]] = []  # activation and aggregation, (None, None) for inputs
        self.values: list[tuple[float, float, bool]] = []  # bias, response, trainable
        self.edges: dict[tuple[int, int], tuple[float, bool, Hashable]] = {}  # weight, trainable, param
        self.extra: tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]] = ({}, {}, {})

    @classmethod
    def of(cls, c: Columns) -> Draft:
        """Make a draft with the nodes and edges of a finished network."""
        draft = cls()
        draft.ids, draft.index = list(c.ids), dict(c.index)
        draft.inputs, draft.outputs = c.inputs.tolist(), c.outputs.tolist()
        draft.functions = [
            (None, None) if a < 0 else (c.activations[a], c.aggregations[g])
            for a, g in zip(c.activation.tolist(), c.aggregation.tolist(), strict=True)
        ]
        draft.values = list(zip(c.bias.tolist(), c.response.tolist(), c.trainable.tolist(), strict=True))
        params = (*c.params, None)  # index −1 is None
        ends = zip(c.source.tolist(), c.target.tolist(), strict=True)
        shared = (params[k] for k in c.param.tolist())
        attributes = zip(c.weights.tolist(), c.edge_trainable.tolist(), shared, strict=True)
        draft.edges = dict(zip(ends, attributes, strict=True))
        draft.extra = (c.node_extra, c.edge_extra, c.graph_extra)
        return draft

    def row(self, name: Hashable) -> int:
        """Return the row of a node; raises UnknownNameError, with the nearest name."""
        row = self.index.get(name) if hashable(name) else None
        if row is None:
            raise UnknownNameError(f"{brief(name)} is no node of the network{suggest(name, self.index)}")
        return row

    def add_node(self, name: Hashable, sigma: Any, agg: Any, bias: float, response: float, trainable: bool) -> None:
        if not hashable(name):
            raise GraphError(f"node {brief(name)} is a {type(name).__name__}: ids must be hashable")
        if name in self.index:
            taken = self.ids[self.index[name]]
            same = "" if repr(taken) == repr(name) else f" (as {brief(taken)}, which Python holds equal)"
            raise GraphError(f"node {brief(name)} exists already{same}")
        if sigma is None:
            self.inputs.append(len(self.ids))
        self.index[name] = len(self.ids)
        self.ids.append(name)
        self.functions.append((sigma, agg))
        self.values.append((bias, response, trainable))

    def add_edge(self, u: int, v: int, weight: float, trainable: bool, param: Hashable) -> None:
        name = f"{brief(self.ids[u])} → {brief(self.ids[v])}"
        if u == v:
            raise GraphError(f"self-loop at node {brief(self.ids[u])}: a feed-forward neuron never feeds itself")
        if (u, v) in self.edges:
            raise GraphError(f"edge {name} exists already")
        if self.functions[v][0] is None:
            raise GraphError(f"edge {name} goes into an input: inputs have no in-edges")
        self.edges[u, v] = (weight, bool(trainable), param)

    def columns(self, seed: int, initializer: Initializer | None) -> Columns:
        """Make columns of the draft; outputs default to the neurons without out-edges.

        Activations that were not given are tanh, and identity at outputs.
        """
        V, E = len(self.ids), len(self.edges)
        ends = np.array(list(self.edges), np.int32).reshape(E, 2)
        outputs = self.outputs
        if outputs is None:
            feeds = {u for u, _ in self.edges}
            outputs = [v for v in range(V) if v not in feeds and self.functions[v][0] is not None]
        last = set(outputs)
        left_out = {row: "identity" if row in last else "tanh" for row in range(V)}
        functions = [left_out[row] if s == LEFT_OUT else s for row, (s, _) in enumerate(self.functions)]
        weight, trainable, shared = zip(*self.edges.values(), strict=True) if E else ((), (), ())
        params: dict[Hashable, int] = {None: -1}
        for name in shared:
            params.setdefault(name, len(params) - 1)
        node_extra, edge_extra, graph_extra = self.extra
        return Columns.of(
            list(self.ids),
            np.array(self.inputs, np.int32),
            np.array(outputs, np.int32),
            ends[:, 0].copy(),
            ends[:, 1].copy(),
            encode("activations", functions, self.ids),
            encode("aggregations", [g for _, g in self.functions], self.ids),
            bias=np.array([b for b, _, _ in self.values], np.float64),
            response=np.array([r for _, r, _ in self.values], np.float64),
            trainable=np.array([t for _, _, t in self.values], np.bool_),
            weight=weight,
            edge_trainable=trainable,
            param=([params[name] for name in shared], tuple(params)[1:]),
            seed=seed,
            initializer=initializer,
            node_extra={k: [*column, *[ABSENT] * (V - len(column))] for k, column in node_extra.items()},
            edge_extra={k: [*column, *[ABSENT] * (E - len(column))] for k, column in edge_extra.items()},
            graph_extra=graph_extra,
        )
