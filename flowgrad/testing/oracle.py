"""Compute values and gradients independently of flowgrad, without sharing code: naive and slow, over networkx.

The formulas are written from maths.md as functions of a complex number. If a function is analytic,
f(x + ih) = f(x) + ih·f'(x) − …, so that Im f(x + ih) / h equals f'(x) to the last digit for tiny h. This is the complex
step, which needs no derivative and has no cancellation. Piecewise functions choose their branch by the real part, and
at a kink use the branch whose slope is that of maths.md's conventions.

A net is an nx.DiGraph with the attributes that `Network.from_networkx` reads; all weights and activations are given.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import networkx as nx

H = 1e-150
NAN = complex(math.nan, math.nan)
Number = complex | float


@dataclass(frozen=True)
class Net:
    """A graph with the ids of its inputs and outputs, in order."""

    graph: nx.DiGraph
    inputs: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]


# ---- formulas -----------------------------------------------------------------------------------------------


def erf(z: complex) -> complex:
    """2/√π ∫₀ᶻ e^{−t²} dt: from 0 to Re z by `math.erf`, and from Re z to z, a tiny step, by the midpoint rule."""
    step = 1j * z.imag
    return math.erf(z.real) + 2.0 / math.sqrt(math.pi) * cmath.exp(-((z.real + 0.5 * step) ** 2)) * step


def expm1(z: complex) -> complex:
    """e^z − 1 = 2 e^{z/2} sinh(z/2)."""
    return 2.0 * cmath.exp(z / 2) * cmath.sinh(z / 2)


def softplus(z: complex) -> complex:
    """log(1 + e^z), for positive z as z + log(1 + e^{−z})."""
    if z.real > 0:
        return z + cmath.log(1.0 + cmath.exp(-z))
    return cmath.log(1.0 + cmath.exp(z))


def sigmoid(z: complex) -> complex:
    """½ (1 + tanh(z/2)), for negative z as e^z / (1 + e^z)."""
    if z.real < 0:
        return cmath.exp(z) / (1.0 + cmath.exp(z))
    return 0.5 * (1.0 + cmath.tanh(z / 2))


def flat(f: Callable[[float], float]) -> Callable[[complex], complex]:
    """Return the step function with these real values, whose slope is 0 everywhere."""
    return lambda z: complex(f(z.real), 0.0)


def split(at: float, below: Callable[[complex], Number], above: Callable[[complex], Number]) -> Any:
    """Return a function that is `below` for Re z ≤ at, and `above` for Re z > at."""
    return lambda z: above(z) if z.real > at else below(z)


def clip(low: float, high: float, f: Callable[[complex], complex]) -> Callable[[complex], complex]:
    """Return a function that is f for low < Re z < high, and constant outside."""
    return lambda z: f(z) if low < z.real < high else complex(f(complex(min(max(z.real, low), high))).real)


def absolute(z: complex) -> complex:
    """|z| = z·sign z, with slope 0 at 0."""
    return z if z.real > 0 else -z if z.real < 0 else 0j


LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

SIGMA: dict[str, Callable[[complex], Number]] = {
    "identity": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": cmath.tanh,
    "relu": split(0, lambda z: 0j, lambda z: z),
    "leaky_relu": split(0, lambda z: z / 100, lambda z: z),
    "elu": split(0, expm1, lambda z: z),
    "celu": split(0, expm1, lambda z: z),
    "selu": split(0, lambda z: LAMBDA * ALPHA * expm1(z), lambda z: LAMBDA * z),
    "softplus": softplus,
    "softsign": lambda z: z / (1.0 + (z if z.real > 0 else -z)),
    "gelu": lambda z: z * 0.5 * (1.0 + erf(z / math.sqrt(2.0))),
    "silu": lambda z: z * sigmoid(z),
    "mish": lambda z: z * cmath.tanh(softplus(z)),
    "hard_sigmoid": clip(-3, 3, lambda z: z / 6 + 0.5),
    "hard_tanh": clip(-1, 1, lambda z: z),
    "arctan": cmath.atan,
    "erf": erf,
    "sin": cmath.sin,
    "cos": cmath.cos,
    "gaussian": lambda z: cmath.exp(-(z**2)),
    "step": flat(lambda x: 1.0 if x > 0 else 0.0),
    "sign": flat(lambda x: float((x > 0) - (x < 0))),
    "abs": absolute,
    "square": lambda z: z * z,
    "cube": lambda z: z * z * z,
    "exp": cmath.exp,
    "log": lambda z: cmath.log(z) if z.real > 0 else NAN,
    "sqrt": lambda z: cmath.sqrt(z) if z.real > 0 else NAN,
    "reciprocal": lambda z: 1.0 / z,
}


def product(terms: Sequence[Number]) -> Number:
    result: Number = 1.0
    for t in terms:
        result *= t
    return result


def median(terms: Sequence[Number]) -> Number:
    order = sorted(terms, key=lambda t: complex(t).real)  # stable: ties stay in edge order
    k = len(order)
    return order[k // 2] if k % 2 else 0.5 * order[k // 2 - 1] + 0.5 * order[k // 2]


AGGREGATE: dict[str, Callable[[Sequence[Number]], Number]] = {
    "sum": sum,
    "mean": lambda terms: sum(terms) / len(terms),
    "product": product,
    "max": lambda terms: max(terms, key=lambda t: complex(t).real),  # the first of equals
    "min": lambda terms: min(terms, key=lambda t: complex(t).real),
    "median": median,
    "max_abs": lambda terms: max(terms, key=lambda t: abs(complex(t).real)),
}


def losses(name: str, y: Sequence[Number], t: Sequence[float]) -> list[Number]:
    """Compute l_n of equation (4) for each output n."""
    if name == "cross_entropy":
        top = max(complex(v).real for v in y)
        lse = top + cmath.log(sum(cmath.exp(v - top) for v in y))
        return [tn * (lse - yn) if tn else 0.0 for yn, tn in zip(y, t, strict=True)]
    return [LOSS[name](complex(yn), tn) for yn, tn in zip(y, t, strict=True)]


def huber(y: complex, t: float) -> Number:
    d = y - t
    return 0.5 * d * d if abs(d.real) <= 1 else (d if d.real > 0 else -d) - 0.5


LOSS: dict[str, Callable[[complex, float], Number]] = {
    "squared_error": lambda y, t: 0.5 * (y - t) * (y - t),
    "absolute_error": lambda y, t: absolute(y - t),
    "huber": huber,
    "poisson": lambda y, t: cmath.exp(y) - t * y,
    "binary_cross_entropy": lambda y, t: softplus(y) - t * y,
    "gamma": lambda y, t: t * cmath.exp(-y) + y,
    "negative_binomial": lambda y, t: (t + 1) * softplus(y) - t * y,
}


# ---- forward ------------------------------------------------------------------------------------------------

Nudge = Mapping[tuple[str, Hashable], Number]


def forward(
    net: Net, x: Sequence[Number], nudge: Nudge | None = None
) -> tuple[dict[Hashable, Number], dict[Hashable, Number]]:
    """Compute z and a of every node for one sample x, equations (1), (2) and (3).

    `nudge` maps quantities to numbers that are added to them: ("weight", (u, v)), ("bias", v), ("z", v) and ("a", v).
    For an input only ("a", v) has an effect.
    """
    d = nudge or {}
    G = net.graph
    z: dict[Hashable, Number] = {}
    a: dict[Hashable, Number] = {}
    for v in nx.topological_sort(G):
        if v in net.inputs:
            z[v] = x[net.inputs.index(v)]
            a[v] = z[v] + d.get(("a", v), 0.0)
            continue
        node = G.nodes[v]
        terms = [(G[u][v]["weight"] + d.get(("weight", (u, v)), 0.0)) * a[u] for u in G.pred[v]]
        m = AGGREGATE[node.get("aggregation", "sum")](terms) if terms else 0.0
        z[v] = node.get("bias", 0.0) + d.get(("bias", v), 0.0) + node.get("response", 1.0) * m + d.get(("z", v), 0.0)
        a[v] = _unmoved(SIGMA[name_of(node["activation"])](complex(z[v]))) + d.get(("a", v), 0.0)
    return z, a


def _unmoved(a: complex) -> complex:
    """Set a real part of the order of H² to 0: it is an error of the complex step and would select a side of a kink."""
    return complex(0.0, a.imag) if abs(a.real) < H * H * 1e20 else a


def name_of(activation: Any) -> str:
    """Return the name of an activation, a name or a record; the formula of a user's record must be added to SIGMA."""
    return activation if isinstance(activation, str) else activation.name


def outputs(net: Net, x: Sequence[Number], nudge: Nudge | None = None) -> list[Number]:
    """Compute y of one sample."""
    _, a = forward(net, x, nudge)
    return [a[v] for v in net.outputs]


# ---- gradients ----------------------------------------------------------------------------------------------


def slope(f: Callable[[complex], Any], step: float = H) -> Any:
    """Compute f'(0) of an analytic f by the complex step; a list of values gives a list of derivatives."""
    value = f(complex(0.0, step))
    if isinstance(value, list):
        return [complex(v).imag / step for v in value]
    return complex(value).imag / step


def richardson(f: Callable[[float], float], step: float = 1e-2, rounds: int = 6) -> float:
    """Compute f'(0) for an f that is not analytic, by central differences at step, step/2, …, extrapolated to 0."""
    table: list[list[float]] = []
    best, error = math.nan, math.inf
    for k in range(rounds):
        h = step / 2**k
        row = [(f(h) - f(-h)) / (2 * h)]
        for j in range(k):
            row.append(row[j] + (row[j] - table[-1][j]) / (4 ** (j + 1) - 1))
        if k and abs(row[-1] - table[-1][-1]) < error:
            best, error = row[-1], abs(row[-1] - table[-1][-1])
        table.append(row)
    return best


def gradient(net: Net, x: Sequence[float], t: Sequence[float], loss: str, what: Sequence[tuple[str, Hashable]]) -> Any:
    """Compute ∂l_n/∂q of one sample by complex step: a list over the outputs n, for each quantity q in `what`."""
    return [slope(partial(_losses_moved, net, x, t, loss, q)) for q in what]


def _losses_moved(
    net: Net, x: Sequence[float], t: Sequence[float], loss: str, q: tuple[str, Hashable], ih: complex
) -> list[Number]:
    return losses(loss, outputs(net, x, {q: ih}), t)


def pulled(net: Net, x: Sequence[float], c: Sequence[float], what: Sequence[tuple[str, Hashable]]) -> list[float]:
    """Compute ∂(Σ_n c_n·y_n)/∂q of one sample by complex step, for each quantity q in `what`."""
    rows = [slope(partial(_outputs_moved, net, x, q)) for q in what]
    return [sum(cn * dn for cn, dn in zip(c, row, strict=True)) for row in rows]


def _outputs_moved(net: Net, x: Sequence[float], q: tuple[str, Hashable], ih: complex) -> list[Number]:
    return outputs(net, x, {q: ih})


def base_cases(loss: str, y: Sequence[Number], t: Sequence[float]) -> list[float]:
    """Compute the base cases (9) of one sample by complex step."""

    def moved(n: int, ih: complex) -> Number:
        return sum(losses(loss, [v + ih if k == n else v for k, v in enumerate(y)], t))

    return [slope(partial(moved, n)) for n in range(len(y))]


class PlainRecursion:
    """Evaluate equation (10) by plain recursion without a cache, so that every path from a node to an output is walked.

    `calls` counts the evaluations of ∂L/∂a. For one node they are one more than the number of edges on all walks that
    start there.
    """

    def __init__(self, net: Net, x: Sequence[float], dy: Sequence[float]) -> None:
        self.net, self.calls = net, 0
        self.z, self.a = forward(net, x)
        self.base = dict(zip(net.outputs, dy, strict=True))

    def da(self, v: Hashable) -> float:
        """Compute ∂L/∂a_v by (10)."""
        self.calls += 1
        result = self.base.get(v, 0.0)
        for s in self.net.graph.successors(v):
            result += self.dz_da(s, v) * self.dz(s)
        return result

    def dz(self, v: Hashable) -> float:
        """Compute ∂L/∂z_v by (8)."""
        if v in self.net.inputs:
            return self.da(v)
        sigma = SIGMA[name_of(self.net.graph.nodes[v]["activation"])]
        return float(slope(lambda ih: sigma(complex(self.z[v]) + ih))) * self.da(v)

    def dz_da(self, s: Hashable, v: Hashable) -> float:
        """Compute ∂z_s/∂a_v by complex step."""
        return self._dz(s, lambda u, ih: self.net.graph[u][s]["weight"] * (self.a[u] + (ih if u == v else 0)))

    def dw(self, u: Hashable, v: Hashable) -> float:
        """Compute ∂L/∂w_uv by (5)."""
        local = self._dz(v, lambda p, ih: (self.net.graph[p][v]["weight"] + (ih if p == u else 0)) * self.a[p])
        return local * self.dz(v)

    def _dz(self, s: Hashable, term: Callable[[Hashable, complex], Number]) -> float:
        node = self.net.graph.nodes[s]
        aggregate = AGGREGATE[node.get("aggregation", "sum")]
        before = self.net.graph.pred[s]
        return float(node.get("response", 1.0) * slope(lambda ih: aggregate([term(u, ih) for u in before])))


# ---- random nets ----------------------------------------------------------------------------------------------

NEEDS_POSITIVE = ("log", "sqrt", "reciprocal")
BOUNDED = ("sigmoid", "tanh", "softsign", "hard_sigmoid", "hard_tanh", "arctan", "erf", "gaussian", "step", "sign")


def of_case(case: Any, X: Sequence[Sequence[float]]) -> Net:
    """Convert a random case to a Net, with biases and responses changed so that z of the batch X is in every domain.

    Neurons with a logarithm, root or reciprocal get z ≥ ½; those with a bounded activation get |z| ≤ 9, and others
    |z| ≤ 3, so that repeated powers do not overflow. Other attributes are unchanged.
    """
    G = nx.DiGraph()
    G.add_nodes_from((v, dict(given)) for v, given in case.nodes)
    G.add_edges_from((u, v, dict(given)) for u, v, given in case.edges)
    net = Net(G, case.inputs, case.outputs)
    values = [dict(zip(case.inputs, map(float, x), strict=True)) for x in X]
    for v in nx.topological_sort(G):
        if v in case.inputs:
            continue
        node = G.nodes[v]
        aggregate = AGGREGATE[node.get("aggregation", "sum")]
        m = [aggregate([G[u][v]["weight"] * a[u] for u in G.pred[v]]) if G.pred[v] else 0.0 for a in values]
        sigma = name_of(node["activation"])
        limit = 8.0 if sigma in BOUNDED else 2.0
        r, b = node.get("response", 1.0), max(min(node.get("bias", 0.0), 1.0), -1.0)
        widest = max(abs(r * x) for x in m)
        if widest > limit:
            r = node["response"] = r * limit / widest
        if sigma in NEEDS_POSITIVE:
            b = max(b, 0.5 - min(r * x for x in m))
        node["bias"] = b
        for a, x in zip(values, m, strict=True):
            a[v] = complex(SIGMA[sigma](complex(b + r * x))).real
    return net


def targets(loss: str, rng: Any, shape: tuple[int, int]) -> Any:
    """Draw random targets T, an array of this shape (B, O), in the domain of the loss."""
    T = rng.standard_normal(shape)
    if loss in ("poisson", "gamma", "negative_binomial"):
        return abs(T)
    if loss == "binary_cross_entropy":
        return rng.random(shape)
    if loss == "cross_entropy":
        T = rng.random(shape) + 0.05
        return T / T.sum(axis=1, keepdims=True)
    return T
