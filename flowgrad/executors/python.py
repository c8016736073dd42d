"""Reference executor: evaluates the equations of maths.md one by one over the NetworkX graph and its reverse.

It favours clarity over speed: every other executor is tested against it. It computes in float64 whatever the
program's dtype, and rounds its results to that dtype.
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
    """Executor that runs every network on every platform."""

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
    """Kernel over a graph of Python objects: every node holds a vector (B,), one entry per sample."""

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
        """Map every edge to its weight and every node to its bias under θ (P,), in float64."""
        weight, bias = self.plan.parameters(theta.astype(np.float64))
        return dict(zip(self.edges, weight, strict=True)), dict(zip(self.nodes, bias, strict=True))

    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Evaluate (1)–(3) in topological order; dropout multiplies a of inputs and hidden neurons by m/(1 − p)."""
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
        """Draw the factor, 0 or 1/(1 − p), (B,), of each node that is no output; {} without dropout."""
        if dropout is None:
            return {}
        inner = [(v, k, v not in self.sigma) for k, v in enumerate(self.nodes) if v not in self.outputs]
        return {v: dropout.factors([k], samples, is_input)[0] for v, k, is_input in inner}

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Evaluate (5)–(10) in topological order of the reversed graph.

        Each ∂L/∂z_s is written once and read by every predecessor of s; each edge is visited once. A neuron from which
        no wanted output can be reached, by structure alone, has ∂L/∂z = 0 and enters no product.
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
                    dz[v] = thinned(each(self.sigma[v].df, z[v]) * da[v], m_v.get(v))  # (8), written once
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
        """Collect the ids of the live nodes; None: all nodes."""
        return set(self.nodes if live is None else (self.nodes[k] for k in np.flatnonzero(live).tolist()))

    def _terms(self, v: Hashable, w: Any, a: Values, dz: Array) -> dict[Hashable, Array]:
        """Compute r_v · ∂m_v/∂t_uv · ∂L/∂z_v, (B,), of every in-edge of v, t_uv = w_uv · a_u; called once per v."""
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
        """Stack values in `order`, rounded to the request's dtype; a value too large for float32 becomes inf."""
        with np.errstate(over="ignore"):
            return np.array([values[k] for k in order], np.float64).astype(self.dtype, copy=False)


def thinned(values: Array, m: Array | None) -> Array:
    """Multiply by m = 0 or 1/(1 − p) of each sample; the result is 0 where m is 0, even for inf and NaN."""
    return values if m is None else np.where(m == 0, 0.0, values * m)


def each(f: Callable[[float], float], z: Array) -> Array:
    """Evaluate a scalar function at every sample: (B,) float64."""
    return np.array([f(value) for value in z])


entry = PythonExecutor()
