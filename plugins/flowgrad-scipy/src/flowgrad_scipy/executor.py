"""Compute level by level: one sparse matrix product for all neurons of a level, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from flowgrad.errors import brief
from flowgrad.executor import Adjoint, Answer, Array, Live, Request, Saved
from flowgrad.maths.dropout import Dropout
from flowgrad.network import Network
from flowgrad.plan import Plan, lower
from flowgrad_scipy import info


class ScipyExecutor:
    """Compile networks to one sparse matrix per level."""

    info = info()

    def can_run(self, network: Network, request: Request) -> Answer:
        """Return True, or the reason for refusal: an aggregation is not a multiple of the sum."""
        others = [a.name for a in network.columns.aggregations if a.coefficient is None]
        return f"aggregation {brief(others[0])} declares no coefficient of the sum" if others else True

    def compile(self, network: Network, request: Request) -> ScipyKernel:
        """Lower the network to arrays and build its kernel."""
        return ScipyKernel(lower(network), request.dtype)


@dataclass(frozen=True)
class Level:
    """Hold the neurons of one level, their in-edges, and the sparsity pattern of their matrix.

    neurons          positions of the neurons, the rows of the matrix
    edges            numbers of their in-edges, the entries of the matrix
    sources          positions of the edges' sources, without repetition: the columns of the matrix
    column, pointer  CSR indices of the matrix
    functions        pairs of an activation and the rows of the neurons that have it
    """

    neurons: Array
    edges: Array
    sources: Array
    column: Array
    pointer: Array
    functions: list[tuple[Any, Array]]


class ScipyKernel:
    """Compute the passes of one network.

    Each forward pass builds its matrices from θ and passes them on to backward; the kernel keeps no θ.
    """

    def __init__(self, plan: Plan, dtype: np.dtype[Any]) -> None:
        self.plan, self.dtype = plan, dtype
        self.factor = plan.response * plan.coefficient  # ∂z_v/∂(w_uv a_u)
        self.target = plan.in_target
        neurons = np.flatnonzero(plan.activation >= 0)
        order = neurons[np.argsort(plan.level[neurons], kind="stable")]
        cuts = np.flatnonzero(np.diff(plan.level[order])) + 1
        self.levels = [self._level(group) for group in np.split(order, cuts)]

    def _level(self, neurons: Array) -> Level:
        counts = np.diff(self.plan.in_ptr)[neurons]
        pointer = np.concatenate([[0], np.cumsum(counts)])
        edges = np.repeat(self.plan.in_ptr[neurons] - pointer[:-1], counts) + np.arange(pointer[-1])
        codes = self.plan.activation[neurons]
        functions = [(self.plan.activations[k], np.flatnonzero(codes == k)) for k in np.unique(codes)]
        sources, column = np.unique(self.plan.in_source[edges], return_inverse=True)
        return Level(neurons, edges, sources, column, pointer, functions)

    def _matrix(self, level: Level, coefficient: Array) -> Any:
        """Build the CSR matrix ∂z_v/∂a_u (neurons of the level, its sources); edges of weight 0 are stored too."""
        shape = (len(level.neurons), len(level.sources))
        return sparse.csr_array((coefficient[level.edges], level.column, level.pointer), shape=shape)

    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Compute equations (1), (2), (3), one level at a time, from theta (P,) and x (B, I)."""
        m = None if dropout is None else self.plan.dropped(dropout, len(x))
        weight, bias = self.plan.parameters(theta.astype(np.float64))
        z = np.zeros((self.plan.n_nodes, len(x)))
        a = np.zeros_like(z)
        z[self.plan.inputs] = a[self.plan.inputs] = x.T
        _thin(a, m, self.plan.inputs)
        coefficient = weight * self.factor[self.target]
        with np.errstate(all="ignore"):
            matrices = [self._matrix(level, coefficient) for level in self.levels]
            for level, matrix in zip(self.levels, matrices, strict=True):
                z[level.neurons] = matrix @ a[level.sources] + bias[level.neurons, None]
                for sigma, rows in level.functions:
                    a[level.neurons[rows]] = _each(sigma.f, z[level.neurons[rows]])
                _thin(a, m, level.neurons)
            return Saved(z.astype(self.dtype), a.astype(self.dtype), extra=(z, a, coefficient, matrices, m))

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Compute equations (5)–(10) with the same matrices, transposed, for the levels in reverse order.

        Neurons from which no requested output can be reached contribute 0: their matrix rows and their ∂L/∂z are 0.
        """
        z, a, coefficient, matrices, m = saved.extra
        takes_part = np.ones(len(z), np.bool_) if live is None else live
        if live is not None:
            coefficient = np.where(live[self.target], coefficient, 0.0)
            matrices = [self._matrix(level, coefficient) for level in self.levels]
        da = np.zeros_like(z)
        da[self.plan.outputs] = dy.T  # (9)
        dz = np.zeros_like(z)
        with np.errstate(all="ignore"):
            for level, matrix in zip(self.levels[::-1], matrices[::-1], strict=True):
                for sigma, rows in level.functions:  # (8)
                    at = level.neurons[rows]
                    dz[at] = np.where(takes_part[at, None], _each(sigma.df, z[at]) * da[at], 0.0)
                _thin(dz, m, level.neurons)
                da[level.sources] += matrix.T @ dz[level.neurons]  # (10)
            dz[self.plan.inputs] = da[self.plan.inputs]
            _thin(dz, m, self.plan.inputs)
            terms = np.einsum("eb,eb->e", dz[self.target], a[self.plan.in_source])  # (5), summed over the samples
            weight, bias = self.factor[self.target] * np.where(takes_part[self.target], terms, 0.0), dz.sum(axis=1)
            bias[self.plan.inputs] = 0.0
            kept = [array.astype(self.dtype) for array in (dz, da, weight, bias)]
            return Adjoint(kept[0], kept[1], kept[2], kept[3])


def _thin(values: Array, m: Array | None, nodes: Array) -> None:
    """Multiply by the dropout factors of these nodes, in place; 0 where the factor is 0, also for inf and NaN."""
    if m is not None:
        values[nodes] = np.where(m[nodes] == 0, 0.0, values[nodes] * m[nodes])


def _each(f: Any, z: Array) -> Array:
    """Evaluate a scalar function at every element of z."""
    return np.array([f(value) for value in z.ravel()], np.float64).reshape(z.shape)


entry = ScipyExecutor()
