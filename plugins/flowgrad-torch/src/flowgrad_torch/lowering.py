"""Lower a plan to tensors: nodes renumbered by level, for each level a CSR matrix of in-edges and one of out-edges.

Edges into neurons whose aggregation is a multiple of the sum are *linear*: they are rows of sparse matrices. The
in-edges of other neurons stand in blocks of neurons with the same aggregation and the same number of in-edges K.
V nodes, E edges, L linear edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowgrad.plan import Plan
from flowgrad_torch import activations, aggregations
from flowgrad_torch.activations import Function


@dataclass(frozen=True, slots=True)
class Block:
    """n neurons of one level with one aggregation, not linear, and K in-edges each."""

    f: Function
    df: Function
    rows: Tensor  # (n,) int64 within the level
    source: Tensor  # (n, K) int64 positions
    edge: Tensor  # (n, K) int64 edge numbers


@dataclass(frozen=True, slots=True)
class Level:
    """Nodes lo … hi−1, none of which depends on another."""

    lo: int
    hi: int
    into: tuple[int, int]  # range of their linear in-edges
    into_rows: Tensor  # (hi−lo+1,) int32, row pointers
    out: tuple[int, int]  # range of their linear out-edges, in the transposed order
    out_rows: Tensor  # (hi−lo+1,) int32
    functions: tuple[tuple[Function, Function, Tensor | None], ...]  # σ, σ', rows within the level (None: all)
    blocks: tuple[Block, ...]


class Lowered:
    """The tensors that a kernel reads.

    order (V,) int64: position here → position in the plan, None where they are the same; edges (E,) likewise.
    levels: the inputs first, then the neurons, level by level.
    into (E,) int64: position of each edge's target.
    source, target (L,) int32: ends of the linear edges; transposed (L,) int64: their order by source;
    origin, successor (L,) int32: their ends in that order.
    response, coefficient (V, 1) float, or None where all are 1: r of (2), c of linear aggregations m = c·Σt.
    """

    def __init__(self, plan: Plan, dtype: torch.dtype, device: str) -> None:
        self.plan, self.dtype, self.device = plan, dtype, torch.device(device)
        neuron = plan.activation >= 0
        rank = np.where(neuron, plan.level + 1, 0)
        order = np.argsort(rank, kind="stable")
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        fan_in = np.diff(plan.in_ptr)
        target = position[plan.in_target]
        edges = np.argsort(target, kind="stable")
        same = bool((order == np.arange(len(order))).all())
        self.order: Any = None if same else order
        self.edges: Any = None if same else edges
        self.inputs, self.outputs = self._index(position[plan.inputs]), self._index(position[plan.outputs])
        self.into = self._index(target[edges])
        self._edges_of(plan, position[plan.in_source][edges], target[edges], fan_in[order], order)
        self.levels = self._levels(rank[order], plan, order)

    def _index(self, values: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(self.device)

    def _short(self, values: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.int32)).to(self.device)

    def _column(self, values: Any) -> Tensor | None:
        """Convert values to a column (V, 1) on the device, or to None if all are 1."""
        if bool((values == 1).all()):
            return None
        return torch.from_numpy(np.ascontiguousarray(values, np.float64)).to(self.device, self.dtype)[:, None]

    def _edges_of(self, plan: Plan, source: Any, target: Any, fan_in: Any, order: Any) -> None:
        """Split the edges into linear ones and others; source and target (E,) are positions here, sorted by target."""
        names = np.array([a.name for a in plan.aggregations] + [""])  # the last is an input's
        code = plan.aggregation[order]
        self._names, self._fan_in, self._source = names[code], fan_in, source
        coefficient = plan.coefficient[order]
        linear = ~np.isnan(coefficient)
        self._linear = linear
        chosen = linear[target]
        self.linear = None if bool(chosen.all()) else self._index(np.flatnonzero(chosen))
        s, t = source[chosen], target[chosen]
        by_source = np.argsort(s, kind="stable")
        V = plan.n_nodes
        self._in_ptr = np.concatenate([[0], np.cumsum(np.bincount(t, minlength=V))])
        self._out_ptr = np.concatenate([[0], np.cumsum(np.bincount(s, minlength=V))])
        self.source, self.target = self._short(s), self._short(t)
        self.rows = self._short(self._in_ptr)
        self.transposed = self._index(by_source)
        self.origin, self.successor = self._short(s[by_source]), self._short(t[by_source])
        self.response = self._column(plan.response[order])
        self.coefficient = self._column(np.where(linear, coefficient, 1.0))
        self._neuron_codes = plan.activation[order]

    def _levels(self, rank: Any, plan: Plan, order: Any) -> list[Level]:
        edge_ptr = np.concatenate([[0], np.cumsum(self._fan_in)])
        ends = np.flatnonzero(np.diff(rank)) + 1
        bounds = [0, *ends.tolist(), len(rank)]
        into, out = self._in_ptr.tolist(), self._out_ptr.tolist()
        plain = bool(self._linear.all())
        levels = []
        for lo, hi in pairwise(bounds):
            levels.append(
                Level(
                    lo,
                    hi,
                    (into[lo], into[hi]),
                    self._short(self._in_ptr[lo : hi + 1] - into[lo]),
                    (out[lo], out[hi]),
                    self._short(self._out_ptr[lo : hi + 1] - out[lo]),
                    self._functions(self._neuron_codes[lo:hi], plan),
                    () if plain else self._blocks(lo, hi, edge_ptr),
                )
            )
        return levels

    def _functions(self, codes: Any, plan: Plan) -> tuple[tuple[Function, Function, Tensor | None], ...]:
        first = int(codes[0])
        if bool((codes == first).all()):
            return () if first < 0 else ((*activations.FUNCTIONS[plan.activations[first].name], None),)
        return tuple(
            (*activations.FUNCTIONS[plan.activations[code].name], self._index(np.flatnonzero(codes == code)))
            for code in np.unique(codes).tolist()
        )

    def _blocks(self, lo: int, hi: int, edge_ptr: Any) -> tuple[Block, ...]:
        rows = np.flatnonzero(~self._linear[lo:hi])
        kinds = sorted({(str(self._names[lo + k]), int(self._fan_in[lo + k])) for k in rows.tolist()})
        blocks = []
        for name, K in kinds:
            members = rows[(self._names[lo + rows] == name) & (self._fan_in[lo + rows] == K)]
            edge = edge_ptr[lo + members][:, None] + np.arange(K)
            f, df = aggregations.FUNCTIONS[name]
            blocks.append(Block(f, df, self._index(members), self._index(self._source[edge]), self._index(edge)))
        return tuple(blocks)
