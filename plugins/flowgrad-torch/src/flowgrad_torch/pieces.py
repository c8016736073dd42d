"""Cut a plan into pieces for torch's own operators: levels, and in each its dense parts and its gathered parts.

Arrays of positions are in the plan's order. `values` are the weights and biases that are in no dense part: first the
trained ones, one for each slot of θ, then the frozen ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.order import ranges
from flowgrad.plan import Plan

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Part:
    """n neurons of one level with one activation, one aggregation and K in-edges each.

    at (n,): positions; edges (n, K): numbers of in-edges; columns (n, K): of their sources in the level's joined input
    """

    at: Array
    edges: Array
    columns: Array
    dense: bool


@dataclass(frozen=True, eq=False)
class Level:
    """One level: the levels that it reads, the width of their concatenation, and its parts in the order of columns."""

    reads: list[int]
    width: int
    parts: list[Part]


class Pieces:
    """The levels of a plan, from level 1 on; level 0 are the inputs.

    reads: levels that hold outputs; outputs (O,): the outputs' columns in the concatenation of these levels.
    slots (S,): indices in θ of the trained `values`; frozen (F,) float64: the frozen `values`.
    of_edge (E,), of_bias (V,): indices into `values`; meaningless for what is in a dense part.
    column (V,): column of each node within its level; rank (V,): the node's level.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        neuron = plan.activation >= 0
        self.rank = np.zeros(plan.n_nodes, np.int64)
        self.rank[neuron] = 1 + np.unique(plan.level[neuron], return_inverse=True)[1]  # neurons without edges are of 0
        self.column = np.zeros(plan.n_nodes, np.int64)
        self.column[plan.inputs] = np.arange(len(plan.inputs))
        self._dense = list(self._dense_runs())
        self.slots, self.frozen, self.of_edge, self.of_bias = self._values()
        widths = [len(plan.inputs)]
        self.levels = list(self._levels(widths))
        self.reads = np.unique(self.rank[plan.outputs]).tolist()
        self.outputs = self._columns(self.reads, widths, plan.outputs)

    def _dense_runs(self) -> Iterator[tuple[int, int]]:
        """Yield (begin, end) of runs of a block that fit an `nn.Linear`: one activation, unshared, not part frozen."""
        p = self.plan
        uses = np.bincount(p.weight_slot[p.weight_slot >= 0], minlength=p.n_parameters)
        for first, last in p.blocks.tolist():
            cuts = np.flatnonzero(np.diff(p.activation[first:last])) + first + 1
            for begin, end in pairwise([first, *cuts.tolist(), last]):
                slots, biases = p.weight_slot[p.in_ptr[begin] : p.in_ptr[end]], p.bias_slot[begin:end]
                trained = (slots >= 0).all() and (uses[slots] == 1).all()
                if (trained or (slots < 0).all()) and ((biases >= 0).all() or (biases < 0).all()):
                    yield begin, end

    def _values(self) -> tuple[Array, Array, Array, Array]:
        p = self.plan
        rest = p.activation >= 0
        for begin, end in self._dense:
            rest[begin:end] = False
        slot = np.concatenate([p.weight_slot, p.bias_slot])
        value = np.concatenate([p.weight, p.bias])
        used = np.concatenate([rest[p.in_target], rest])
        slots = np.unique(slot[used & (slot >= 0)])
        fixed = used & (slot < 0)
        at = np.searchsorted(slots, slot)
        at[fixed] = len(slots) + np.arange(int(fixed.sum()))
        return slots, value[fixed], at[: p.n_edges], at[p.n_edges :]

    def _levels(self, widths: list[int]) -> Iterator[Level]:
        """Yield level 1 and those that follow; fills `column`, and appends each level's width to `widths`."""
        p, order = self.plan, np.argsort(self.rank, kind="stable")
        bounds = np.searchsorted(self.rank[order], np.arange(1, int(self.rank.max(initial=0)) + 2)).tolist()
        begins = dict(self._dense)
        for first, last in pairwise(bounds):
            at = order[first:last]
            begin, fan_in = p.in_ptr[at], p.in_ptr[at + 1] - p.in_ptr[at]
            sources = self.rank[p.in_source[ranges(begin, fan_in)]]
            reads = np.unique(sources).tolist()
            parts, width = [], 0
            for members, dense in self._parts(at, begins):
                v = members[0]
                edges = p.in_ptr[members][:, None] + np.arange(p.in_ptr[v + 1] - p.in_ptr[v])
                parts.append(Part(members, edges, self._columns(reads, widths, p.in_source[edges]), dense))
                self.column[members] = width + np.arange(len(members))
                width += len(members)
            yield Level(reads, sum(widths[k] for k in reads), parts)
            widths.append(width)

    def _columns(self, reads: list[int], widths: list[int], nodes: Array) -> Array:
        """Find the columns of nodes in the concatenation of the levels `reads`."""
        offset = np.zeros(len(widths), np.int64)
        offset[reads] = np.cumsum([0, *(widths[k] for k in reads)])[:-1]
        found: Array = offset[self.rank[nodes]] + self.column[nodes]
        return found

    def _parts(self, at: Array, dense: dict[int, int]) -> Iterator[tuple[Array, bool]]:
        """Yield (neurons, dense): a level's dense runs, then its others by activation, aggregation and fan-in."""
        p, single = self.plan, np.ones(len(at), np.bool_)
        for begin in at[np.isin(at, list(dense))].tolist():
            yield np.arange(begin, dense[begin]), True
            single[(at >= begin) & (at < dense[begin])] = False
        others = at[single]
        kinds = np.stack([p.activation[others], p.aggregation[others], np.diff(p.in_ptr)[others]], axis=1)
        found, which = np.unique(kinds, axis=0, return_inverse=True)
        for k in range(len(found)):
            yield others[which.reshape(-1) == k], False
