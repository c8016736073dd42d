"""Compute equations (1)–(3) and (5)–(10) by torch operators, a level at a time, without autograd.

Matrices are (V, B), nodes by samples, in the order of `Lowered`. A level's linear terms are one product of a sparse
matrix with the activations, its pull (10) one product of the transposed matrix with ∂L/∂z; where a level has few edges
they are added up edge by edge instead. The gradients (5) of all linear edges are one sampled product ∂L/∂z · aᵀ at the
places of the edges.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowgrad.executor import Adjoint, Array, Live, Request, Saved
from flowgrad.maths.dropout import Dropout
from flowgrad.plan import Plan
from flowgrad_torch.lowering import Block, Level, Lowered

TILE_BYTES = 2**26  # largest (V, B) matrix in value_and_grad and predict
BLOCK_NUMBERS = 2**22  # elements of the largest (n, K, B) tensor of terms
FEW_EDGES, FEW_NUMBERS = 256, 2**13  # most edges, and edges × samples, of a level that is added up edge by edge

with warnings.catch_warnings():  # torch says once a process that its sparse matrices are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))


class Weights:
    """θ gathered by edges and nodes: weight (E,), linear and transposed (L,), bias (V, 1)."""

    def __init__(self, low: Lowered, theta: Array) -> None:
        weight, bias = low.plan.parameters(theta)
        if low.order is not None:
            weight, bias = weight[low.edges], bias[low.order]
        self.weight = torch.tensor(weight, dtype=low.dtype, device=low.device)
        self.bias = torch.tensor(bias, dtype=low.dtype, device=low.device)[:, None]
        self._spread(low)

    def _spread(self, low: Lowered) -> None:
        self.linear = self.weight if low.linear is None else self.weight[low.linear]
        self.transposed = self.linear[low.transposed]

    def leading(self, low: Lowered, live: Tensor) -> Weights:
        """Return a copy with 0 at edges into nodes that `live` (V,) does not mark."""
        found = copy(self)
        found.weight = torch.where(live[low.into], self.weight, 0.0)
        found._spread(low)
        return found


def sparse(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Make a CSR matrix over the given tensors, which are not checked."""
    return torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)


class TorchKernel:
    """Compute the passes of one network on one device, for one dtype.

    The kernel keeps no state between calls, so that threads may share it.
    """

    def __init__(self, plan: Plan, request: Request, device: str = "cpu") -> None:
        self.plan, self.dtype, self.loss = plan, request.dtype, request.loss
        self.low = Lowered(plan, getattr(torch, request.dtype.name), device)

    # ---- the protocol ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Compute z and a, (V, B) each, from θ (P,) and x (B, I)."""
        m = self._drawn(dropout, 0, len(x))
        z, a = self._forward(Weights(self.low, theta), x, m)
        return Saved(self._nodes(z), self._nodes(a), extra=(z, a, m))

    @torch.no_grad()
    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Compute ∂L/∂z and ∂L/∂a (V, B), and the gradient of every weight (E,) and bias (V,), from dy (B, O).

        Nodes that `live` (V,) does not mark contribute 0; None marks all.
        """
        z, a, m = saved.extra
        dz, da, weight, bias = self._backward(Weights(self.low, theta), z, a, dy, live, m)
        return Adjoint(self._nodes(dz), self._nodes(da), self._edges(weight), self._nodes(bias))

    @torch.no_grad()
    def predict(self, theta: Array, x: Array) -> Array:
        """Compute the outputs (B, O), tile by tile."""
        w, y = Weights(self.low, theta), np.empty((len(x), len(self.plan.outputs)), self.dtype)
        for rows in self._tiles(len(x)):
            _, a = self._forward(w, x[rows], None)
            y[rows] = self._outputs(a)
        return y

    @torch.no_grad()
    def value_and_grad(
        self,
        theta: Array,
        x: Array,
        t: Array,
        sample_weight: Array | None,
        scale: float,
        out: Array,
        dropout: Dropout | None = None,
    ) -> float:
        """Compute the loss and its gradient, tile by tile: memory is bounded by the tile, not by the batch."""
        w, value = Weights(self.low, theta), 0.0
        weight: Any = 0.0
        bias: Any = 0.0
        for rows in self._tiles(len(x)):
            m = self._drawn(dropout, rows.start, rows.stop - rows.start)
            z, a = self._forward(w, x[rows], m)
            y = self._outputs(a).astype(np.float64)
            loss, dy = self._loss(y, t[rows], None if sample_weight is None else sample_weight[rows])
            _, _, of_edges, of_nodes = self._backward(w, z, a, dy.astype(self.dtype), self.plan.live(), m)
            value, weight, bias = value + loss, weight + of_edges, bias + of_nodes
        edges, nodes = self._edges(weight), self._nodes(bias)
        if self.plan.direct:
            out[: len(edges)], out[len(edges) :] = edges, nodes[len(self.plan.inputs) :]
        else:
            self.plan.fold(edges, nodes, out)
        out *= self.dtype.type(scale)
        return value * scale

    def _loss(self, y: Array, t: Array, s: Array | None) -> tuple[float, Array]:
        """Compute Σ_b s_b·L_b of (4), and the base cases (9), (B, O)."""
        loss = self.loss
        assert loss is not None  # the program asks for a gradient only where it has a loss
        value, _, dy = loss.summed(y, t.astype(np.float64), None if s is None else s.astype(np.float64))
        return value, dy

    def _drawn(self, dropout: Dropout | None, first: int, samples: int) -> Tensor | None:
        """Draw dropout factors (V, B), 0 or 1/(1 − p), for samples from the batch's `first` on, in `low`'s order."""
        if dropout is None:
            return None
        m = self.plan.dropped(replace(dropout, first=dropout.first + first), samples)
        m = m if self.low.order is None else m[self.low.order]
        return torch.tensor(m, dtype=self.low.dtype, device=self.low.device)

    def _tiles(self, rows: int) -> Iterator[slice]:
        size = max(8, TILE_BYTES // (max(1, self.plan.n_nodes) * self.dtype.itemsize))
        return (slice(k, min(k + size, rows)) for k in range(0, rows, size))

    # ---- to and from NumPy, in the plan's order -------------------------------------------------------------

    def _nodes(self, values: Tensor) -> Array:
        return self._ordered(values, self.low.order)

    def _edges(self, values: Tensor) -> Array:
        return self._ordered(values, self.low.edges)

    def _ordered(self, values: Tensor, order: Any) -> Array:
        found: Array = values.cpu().numpy()
        if order is None:
            return found
        placed = np.empty_like(found)
        placed[order] = found
        return placed

    def _outputs(self, a: Tensor) -> Array:
        y: Array = np.ascontiguousarray(a[self.low.outputs].T.cpu().numpy())
        return y

    # ---- forward --------------------------------------------------------------------------------------------

    def _forward(self, w: Weights, x: Array, drawn: Tensor | None) -> tuple[Tensor, Tensor]:
        low = self.low
        z = torch.empty((self.plan.n_nodes, len(x)), dtype=low.dtype, device=low.device)
        a = torch.empty_like(z)
        z[low.inputs] = torch.tensor(x, device=low.device).T
        a[low.inputs] = z[low.inputs]
        if drawn is not None:
            a[low.inputs] = _thin(a[low.inputs], drawn[low.inputs])
        for level in low.levels:
            if not level.functions:
                continue  # the inputs
            rows = slice(level.lo, level.hi)
            m = self._linear(level, w, a, z[rows])  # (1)
            for block in level.blocks:
                for part, source, edge in _parts(block, a.shape[1]):
                    m[part] = block.f(w.weight[edge][:, :, None] * a[source])  # (1)
            if low.response is not None:
                m.mul_(low.response[rows])
            m.add_(w.bias[rows])  # (2)
            for f, _, some in level.functions:  # (3)
                if some is None:
                    a[rows] = f(m)
                else:
                    a[rows][some] = f(m[some])
            if drawn is not None:
                a[rows] = _thin(a[rows], drawn[rows])
        return z, a

    def _linear(self, level: Level, w: Weights, a: Tensor, m: Tensor) -> Tensor:
        """Compute (1) of the level's sum and mean neurons into m (n, B), 0 for its other neurons."""
        first, last = level.into
        if first == last:
            return m.zero_()
        source = self.low.source[first:last]
        if _few(last - first, a.shape[1]):
            terms = w.linear[first:last, None] * a.index_select(0, source)
            m.zero_().index_add_(0, self.low.target[first:last] - level.lo, terms)
        else:
            shape = (level.hi - level.lo, a.shape[0])
            torch.mm(sparse(level.into_rows, source, w.linear[first:last], shape), a, out=m)
        if self.low.coefficient is not None:
            m.mul_(self.low.coefficient[level.lo : level.hi])
        return m

    # ---- backward -------------------------------------------------------------------------------------------

    def _backward(
        self, w: Weights, z: Tensor, a: Tensor, dy: Array, live: Live, drawn: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute dz, da (V, B), ∂L/∂w (E,), ∂L/∂b (V,); dterm (V, B) holds ∂L/∂t of linear neurons, r·c·dz.

        Nodes that `live` (V,) does not mark contribute 0: their ∂L/∂z and the weights into them are 0.
        """
        low = self.low
        marked = None if live is None else self._marks(live)
        w = w if marked is None else w.leading(low, marked)
        da, dz = torch.zeros_like(a), torch.empty_like(z)
        plain = low.response is None and low.coefficient is None
        dterm = dz if plain else torch.empty_like(z)
        of_edges = torch.zeros_like(w.weight)
        da[low.outputs] = torch.tensor(dy, dtype=low.dtype, device=low.device).T  # (9)
        for level in reversed(low.levels):
            rows = slice(level.lo, level.hi)
            first, last = level.out
            if first != last:  # (10): da is final, every successor has a higher level
                successor, weight = low.successor[first:last], w.transposed[first:last]
                if _few(last - first, a.shape[1]):
                    da.index_add_(0, low.origin[first:last], weight[:, None] * dterm.index_select(0, successor))
                else:
                    shape = (level.hi - level.lo, a.shape[0])
                    da[rows] += sparse(level.out_rows, successor, weight, shape) @ dterm
            if not level.functions:
                dz[rows] = da[rows]  # an input
            for _, df, some in level.functions:  # (8)
                if some is None:
                    torch.mul(df(z[rows]), da[rows], out=dz[rows])
                else:
                    dz[rows][some] = df(z[rows][some]) * da[rows][some]
            if marked is not None:
                dz[rows].masked_fill_(~marked[rows, None], 0.0)
            if drawn is not None:
                dz[rows] = _thin(dz[rows], drawn[rows])
            d = dz[rows]
            if not plain:
                d = dterm[rows] = d if low.response is None else d * low.response[rows]
            for block in level.blocks:
                self._messages(block, w, a, da, d, of_edges, None if marked is None else marked[rows])
            if low.coefficient is not None:
                dterm[rows] *= low.coefficient[rows]
        self._edge_gradients(dterm, a, of_edges)  # (5)
        if marked is not None:
            of_edges.masked_fill_(~marked[low.into], 0.0)
        bias = dz.sum(1)
        bias[low.inputs] = 0.0
        return dz, da, of_edges, bias

    def _marks(self, live: Array) -> Tensor:
        """Put `live` (V,) bool into the order of `low`."""
        return torch.tensor(live if self.low.order is None else live[self.low.order], device=self.low.device)

    def _messages(
        self, block: Block, w: Weights, a: Tensor, da: Tensor, d: Tensor, of_edges: Tensor, marked: Tensor | None
    ) -> None:
        """Compute slope · r·dz by in-edge: times the weight into ∂L/∂a (10), times a into the edge's gradient (5)."""
        for rows, source, edge in _parts(block, a.shape[1]):
            before, weight = a[source], w.weight[edge][:, :, None]
            message = block.df(weight * before) * d[rows][:, None]
            if marked is not None:
                message.masked_fill_(~marked[rows][:, None, None], 0.0)
            of_edges[edge] = (before * message).sum(2)
            da.index_add_(0, source.reshape(-1), (weight * message).reshape(-1, a.shape[1]))

    def _edge_gradients(self, dterm: Tensor, a: Tensor, of_edges: Tensor) -> None:
        """Compute (5) of all linear edges, summed over the samples: dterm · aᵀ at the places of the edges."""
        low = self.low
        if not len(low.source):
            return
        if len(low.source) * a.shape[1] <= FEW_NUMBERS:
            found = (dterm.index_select(0, low.target) * a.index_select(0, low.source)).sum(1)
        else:
            places = sparse(low.rows, low.source, torch.zeros_like(low.source, dtype=low.dtype), (len(a), len(a)))
            found = torch.sparse.sampled_addmm(places, dterm, a.T, beta=0.0).values()
        if low.linear is None:
            of_edges.copy_(found)
        else:
            of_edges[low.linear] = found


def _thin(values: Tensor, m: Tensor) -> Tensor:
    """Multiply by the dropout factors m; 0 where m is 0, also for inf and NaN."""
    return torch.where(m == 0, 0.0, values * m)


def _few(edges: int, B: int) -> bool:
    """Return whether a level has too few edges for a sparse product, which takes 0.1 ms to start."""
    return edges <= FEW_EDGES and edges * B <= FEW_NUMBERS


def _parts(block: Block, B: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the block's rows, sources and edges in pieces whose terms have at most BLOCK_NUMBERS elements."""
    n, K = block.edge.shape
    size = max(1, BLOCK_NUMBERS // (K * B))
    for k in range(0, n, size):
        yield block.rows[k : k + size], block.source[k : k + size], block.edge[k : k + size]
