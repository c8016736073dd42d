"""The definition. Walks the NetworkX graph itself, and then the same graph reversed, line by line as in maths.md.

Slow on purpose: every other executor is held to what this one says. It computes in float64 whatever the
program's dtype, and rounds what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from flowgrad.executor import Adjoint, Answer, Array, ExecutorInfo, Live, Request, Saved
from flowgrad.maths.dropout import Dropout
from flowgrad.plan import Plan, lower

if TYPE_CHECKING:
    from flowgrad.network import Network

Values = dict[Hashable, Array]


class PythonExecutor:
    """Runs any network, anywhere."""

    info = ExecutorInfo(
        "python",
        "the definition: walks the NetworkX graph, equation by equation",
        dropout=True,
        auto=10,
        largest=100_000,
    )

    def can_run(self, network: Network, request: Request) -> Answer:
        return True

    def compile(self, network: Network, request: Request) -> PythonKernel:
        return PythonKernel(network, lower(network), request)


class PythonKernel:
    """One network, as a graph of Python objects. Samples are a vector (B,) at every node."""

    def __init__(self, network: Network, plan: Plan, request: Request) -> None:
        c = network.columns
        self.plan, self.dtype = plan, request.dtype
        self.graph, self.reversed = network.graph, network.reverse()
        self.forward_order = list(nx.topological_sort(self.graph))
        self.backward_order = list(nx.topological_sort(self.reversed))
        self.nodes = [c.ids[k] for k in plan.nodes.tolist()]
        self.inputs = [self.nodes[k] for k in plan.inputs.tolist()]
        self.outputs = [self.nodes[k] for k in plan.outputs.tolist()]
        target = np.repeat(np.arange(plan.n_nodes), np.diff(plan.in_ptr))
        ends = zip(plan.in_source.tolist(), target.tolist(), strict=True)
        self.edges = [(self.nodes[u], self.nodes[v]) for u, v in ends]
        neurons = [(v, k) for k, v in enumerate(self.nodes) if plan.activation[k] >= 0]
        self.sigma = {v: plan.activations[plan.activation[k]] for v, k in neurons}
        self.agg = {v: plan.aggregations[plan.aggregation[k]] for v, k in neurons}
        self.r = {v: plan.response[k] for v, k in neurons}

    def parameters(self, theta: Array) -> tuple[dict[tuple[Hashable, Hashable], Any], dict[Hashable, Any]]:
        """w by edge and b by node."""
        weight, bias = self.plan.parameters(theta.astype(np.float64))
        return dict(zip(self.edges, weight, strict=True)), dict(zip(self.nodes, bias, strict=True))

    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Equations (1), (2), (3), in topological order; under dropout a hidden neuron's a is times m/(1 − p)."""
        P, r, m_v = self.graph.pred, self.r, self._factors(dropout, len(x))
        w, b = self.parameters(theta)
        z: Values = dict(zip(self.inputs, x.T.astype(np.float64), strict=True))
        a: Values = {v: thinned(x, m_v.get(v)) for v, x in z.items()}  # an input has a_v = x_v, and no z of its own
        with np.errstate(all="ignore"):
            for v in self.forward_order:
                if v in a:
                    continue
                terms = np.array([w[u, v] * a[u] for u in P[v]]).reshape(-1, len(x))
                m = np.array([self.agg[v].f(t) if t.size else 0.0 for t in terms.T])  # (1)
                z[v] = b[v] + r[v] * m  # (2)
                a[v] = thinned(each(self.sigma[v].f, z[v]), m_v.get(v))  # (3)
        return Saved(self._rounded(z, self.nodes), self._rounded(a, self.nodes), extra=(z, a, m_v))

    def _factors(self, dropout: Dropout | None, samples: int) -> Values:
        """0 or 1/(1 − p), (B,), by input and hidden neuron; nothing without dropout."""
        if dropout is None:
            return {}
        inner = [(v, k, v not in self.sigma) for k, v in enumerate(self.nodes) if v not in self.outputs]
        return {v: dropout.factors([k], samples, is_input)[0] for v, k, is_input in inner}

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Equations (5)–(10), in topological order of the reversed graph.

        Each ∂L/∂z_s is written once and read by every predecessor of s; each edge is visited once. Structure decides
        what takes part: a neuron from which no wanted output can be reached has ∂L/∂z = 0 and is multiplied nowhere.
        """
        z, a, m_v = saved.extra
        w, _ = self.parameters(theta)
        B = dy.shape[0]
        base = dict(zip(self.outputs, dy.T.astype(np.float64), strict=True))  # (9)
        S = self.reversed.pred
        da: Values = {}
        dz: Values = {}
        dw: dict[tuple[Hashable, Hashable], Any] = {}
        dterm: dict[Hashable, dict[Hashable, Array]] = {}  # dterm[s][v] = ∂L/∂(w_vs a_v)
        none, takes_part = np.zeros(B), self._names_of(live)
        with np.errstate(all="ignore"):
            for v in self.backward_order:
                da[v] = base.get(v, none) if v in takes_part else none
                for s in S[v]:
                    if s not in takes_part:
                        dw[v, s] = 0.0
                        continue
                    da[v] = da[v] + w[v, s] * dterm[s][v]  # (10)
                    dw[v, s] = a[v] @ dterm[s][v]  # (5), summed over the samples
                if v not in takes_part:
                    dz[v] = none
                elif v in self.sigma:
                    dz[v] = thinned(each(self.sigma[v].df, z[v]) * da[v], m_v.get(v))  # (8), the one write of it
                    dterm[v] = self._terms(v, w, a, dz[v])
                else:
                    dz[v] = thinned(da[v], m_v.get(v))
        reads = len(dw)
        counts = {
            "cache_writes": len(dz),
            "edge_visits": reads,
            "cache_reuses": reads - len({s for _, s in dw}),
        }
        db = {v: dz[v].sum() if v in self.sigma else 0.0 for v in self.nodes}
        weight, bias = self._rounded(dw, self.edges), self._rounded(db, self.nodes)
        return Adjoint(self._rounded(dz, self.nodes), self._rounded(da, self.nodes), weight, bias, counts)

    def _names_of(self, live: Live) -> set[Hashable]:
        """The nodes that take part, by id."""
        return set(self.nodes if live is None else (self.nodes[k] for k in np.flatnonzero(live).tolist()))

    def _terms(self, v: Hashable, w: Any, a: Values, dz: Array) -> dict[Hashable, Array]:
        """r_v · ∂m_v/∂t_uv · ∂L/∂z_v for every in-edge, t_uv = w_uv · a_u: once a neuron, so O(fan-in)."""
        before, coefficient = list(self.graph.pred[v]), self.agg[v].coefficient
        if not before:
            return {}
        if coefficient is not None:  # m = c · Σ t
            return dict.fromkeys(before, self.r[v] * coefficient(len(before)) * dz)
        terms = np.array([w[u, v] * a[u] for u in before]).reshape(-1, len(dz)).T.copy()
        slope = np.empty_like(terms)
        for t, d in zip(terms, slope, strict=True):
            self.agg[v].df(t, d)
        return {u: self.r[v] * slope[:, k] * dz for k, u in enumerate(before)}

    def _rounded(self, values: Mapping[Any, Any], order: Sequence[Any]) -> Array:
        """In the request's dtype; what is too large for float32 is inf there."""
        with np.errstate(over="ignore"):
            return np.array([values[k] for k in order], np.float64).astype(self.dtype, copy=False)


def thinned(values: Array, m: Array | None) -> Array:
    """Times m = 0 or 1/(1 − p) of each sample; 0 where that is 0, whatever the value."""
    return values if m is None else np.where(m == 0, 0.0, values * m)


def each(f: Callable[[float], float], z: Array) -> Array:
    """A scalar formula at every sample."""
    return np.array([f(value) for value in z])


entry = PythonExecutor()
