"""Every activation and aggregation at values for which naive formulas fail, and user-defined functions."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np

from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.network import Network
from flowgrad.program import compile
from flowgrad.registry import names
from flowgrad.testing import oracle
from flowgrad.testing.battery import NEAR, SMOOTH, Subject, check

NAN, INF = math.nan, math.inf
TAME = [0.0, -0.0, *(s * z for s in (1, -1) for z in (1e-9, 0.125, 0.5, 1.0, 1.5, 2.0, 3.0, 3.5, 6.0, 12.0, 20.0))]
WILD = [NAN, INF, -INF, *(s * z for s in (1, -1) for z in (1e-300, 1e-30, 30.0, 40.0, 90.0, 700.0, 745.0, 1000.0))]
HUGE = [1e30, -1e30, 1e300, -1e300]  # not used for sin and cos
CLOSE = {"float64": (1e-12, 1e-305), "float32": (2e-5, 2e-37)}  # relative, absolute


@check("activations", least=4, over=names("activations"), name="activations")
def activations(subject: Subject, name: str) -> None:
    """An activation and its derivative equal the formulas of maths.md, also at edge values."""
    subject.declares("activations", name)
    net = _through(name)
    others = [each for each in SMOOTH[1:] if each != name and each in (subject.info.activations or SMOOTH)]
    if subject.quick and others:  # a kernel with several functions may be compiled once for all of them
        net.add_neuron("beside", {0: 1.0}, activation=others[0])
        net.set_outputs([1])
    values = TAME + WILD + (HUGE if name not in ("sin", "cos") else [])
    for dtype in subject.dtypes(name, names("activations")):
        a, da = _asked(subject, net, values, dtype)
        if dtype == "float64" and name in oracle.SIGMA:
            _held_to_the_oracle(subject, name, a, da)
        expected_a, expected_da = _of_python(net, values, dtype)
        subject.each(f"{name}(z) in {dtype}, z = {values}", a, expected_a, *CLOSE[dtype])
        subject.each(f"{name}'(z) in {dtype}, z = {values}", da, expected_da, *CLOSE[dtype])


def _held_to_the_oracle(subject: Subject, name: str, a: Any, da: Any) -> None:
    """Compare with the oracle at those values of TAME for which the complex step gives the derivative.

    a and da begin with the values of TAME.
    """
    sigma = oracle.SIGMA[name]
    k = [k for k, z in enumerate(TAME) if abs(z) < 4 and (z > 0 or name not in oracle.NEEDS_POSITIVE)]
    domain = [TAME[each] for each in k]

    def slope(z: float) -> Any:
        return oracle.slope(lambda ih: sigma(z + ih))

    subject.each(f"{name}(z), z = {domain}", a[k], [complex(sigma(complex(z))).real for z in domain], 1e-12, 1e-15)
    subject.each(f"{name}'(z), z = {domain}", da[k], list(map(slope, domain)), 1e-12, 1e-15)


def bump(z: float) -> float:
    """z / (1 + z²), an activation that flowgrad does not define."""
    return z / (1.0 + z * z)


def dbump(z: float) -> float:
    """(1 − z²) / (1 + z²)²"""
    return (1.0 - z * z) / ((1.0 + z * z) * (1.0 + z * z))


@check("activations", least=4)
def an_activation_of_the_users_own(subject: Subject) -> None:
    """A neuron with a user's own `fg.Activation(name, f, df)` works, also beside named activations."""
    net = _through(Activation("bump", bump, dbump), *(["tanh"] if subject.info.activations is None else []))
    z = np.array([v for v in TAME if abs(v) < 10])
    for dtype in subject.info.dtypes:
        a, da = _asked(subject, net, z, dtype)
        expected_a, expected_da = _of_python(net, z, dtype)
        subject.each(f"its values in {dtype}", a, expected_a, *CLOSE[dtype])
        subject.each(f"its derivatives in {dtype}", da, expected_da, *CLOSE[dtype])


def _through(*chain: str | Activation) -> Network:
    """Return a chain from an input through neurons with these activations, with all weights 1 and biases 0."""
    net = Network()
    net.add_input(0)
    for k, sigma in enumerate(chain):
        net.add_neuron(k + 1, {k: 1.0}, activation=sigma)
    return net


def _asked(subject: Subject, net: Network, values: Any, dtype: str) -> tuple[Any, Any]:
    """Return y and ∂y/∂z of the last neuron for each value of the input."""
    return _forward_and_back(subject.compile(net, dtype), values)


def _of_python(net: Network, values: Any, dtype: str) -> tuple[Any, Any]:
    return _forward_and_back(compile(net, executor="python", dtype=dtype), values)


def _forward_and_back(program: Any, values: Any) -> tuple[Any, Any]:
    with np.errstate(over="ignore"):  # 1e300 is inf in float32
        X = np.asarray(values)[:, None].astype(program.dtype)
    acts = program.forward(X)
    grads = program.backward(acts, cotangent=np.ones_like(X))
    return acts.output[:, 0], grads.dz[program.outputs[0]]


# ---- aggregations -------------------------------------------------------------------------------------------

# (terms, m, ∂m/∂t), computed by hand from the conventions of maths.md; at m = NaN the factor σ'(NaN) = NaN is included
BY_HAND: dict[str, list[tuple[list[float], float, list[float]]]] = {
    "sum": [([1, 2, 6], 9, [1, 1, 1]), ([NAN, 1], NAN, [NAN, NAN]), ([INF, -INF], NAN, [NAN, NAN])],
    "mean": [([1, 2, 6], 3, [1 / 3, 1 / 3, 1 / 3]), ([5], 5, [1]), ([NAN, 1], NAN, [NAN, NAN])],
    "product": [
        ([0, 2, 3], 0, [6, 0, 0]),
        ([0, 5, 0], 0, [0, 0, 0]),
        ([-1, 2, -3], 6, [-6, 3, -2]),
        ([NAN, 2], NAN, [NAN, NAN]),
        ([7], 7, [1]),
    ],
    "max": [
        ([1, 3, 3, 2], 3, [0, 1, 0, 0]),
        ([-2, -1], -1, [0, 1]),
        ([INF, INF], INF, [1, 0]),
        ([-INF, -INF], -INF, [1, 0]),
        ([1, NAN, 3], NAN, [NAN, NAN, NAN]),
        ([0, 0, 0], 0, [1, 0, 0]),
    ],
    "min": [
        ([3, 1, 1, 2], 1, [0, 1, 0, 0]),
        ([2, 5], 2, [1, 0]),
        ([-INF, -INF], -INF, [1, 0]),
        ([INF, INF], INF, [1, 0]),
        ([1, NAN, 3], NAN, [NAN, NAN, NAN]),
        ([0, 0, 0], 0, [1, 0, 0]),
    ],
    "median": [
        ([3, 1, 2], 2, [0, 0, 1]),
        ([4, 1, 3, 2], 2.5, [0, 0, 0.5, 0.5]),
        ([1, 1, 1, 1], 1, [0, 0.5, 0.5, 0]),
        ([5, 5, 1], 5, [1, 0, 0]),
        ([2], 2, [1]),
        ([1, NAN, 3], NAN, [NAN, NAN, NAN]),
    ],
    "max_abs": [
        ([-2, 2, 1], -2, [1, 0, 0]),
        ([1, 2, -2], 2, [0, 1, 0]),
        ([0, 0], 0, [1, 0]),
        ([1, -INF], -INF, [0, 1]),
        ([NAN, 3], NAN, [NAN, NAN]),
    ],
}


@check("aggregations", least=16, over=names("aggregations"), name="aggregations")
def aggregations(subject: Subject, name: str) -> None:
    """An aggregation and its gradient equal those of maths.md, also at ties, zeros, NaN and inf."""
    subject.declares("aggregations", name)
    subject.needs_input_gradients()
    dtypes = subject.dtypes(name, names("aggregations"))
    for terms, m, gradient in BY_HAND.get(name, []):
        for dtype in dtypes:
            z, found = _aggregated(subject.compile(_fan(name, len(terms)), dtype), [terms])
            subject.each(f"{name} of {terms}", z[0], m, 2e-7, 0)
            subject.each(f"gradient of {name} at {terms}", found[0], gradient, 2e-7, 0)
    rng = np.random.default_rng(71)
    pool = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 1.0, INF, -INF, NAN]
    odds = [0.1] * 8 + [0.05, 0.05, 0.1]
    for K in (1, 2, 3, 4, 5, 8, 17):
        net = _fan(name, K)
        rows = rng.choice(pool, (40, K), p=odds)
        rows[:20] = np.where(np.isfinite(rows[:20]), rows[:20], 0.5)
        for dtype in dtypes:
            found = _aggregated(subject.compile(net, dtype), rows)
            expected = _aggregated(compile(net, executor="python", dtype=dtype), rows)
            for what, one, other in zip((name, f"gradient of {name}"), found, expected, strict=True):
                subject.each(f"{what} of {K} terms in {dtype}", one, other, 1e-12 if dtype == "float64" else 2e-6, 0)


@check("aggregations", least=2)
def an_aggregation_of_nothing(subject: Subject) -> None:
    """A neuron without in-edges has z = b, whatever its aggregation, and its bias has a gradient."""
    net = Network()
    net.add_input("x")
    for name in subject.functions("aggregations", names("aggregations")):
        net.add_neuron(name, bias=0.75, aggregation=name, activation="identity", response=3.0)
    net.add_neuron("y", {"x": 1.0}, activation="identity")
    net.set_outputs([*net.nodes[1:]])
    program = subject.compile(net)
    acts = program.forward([[2.0], [NAN]])
    grads = program.backward(acts, cotangent=np.full((2, len(net.outputs)), 2.0))
    for v in net.outputs[:-1]:
        subject.each(f"z of {v!r}", acts.z[v], [0.75, 0.75], 0, 0)
        subject.each(f"∂L/∂b of {v!r}", grads.bias[v], 4.0, 0, 0)


def root_mean_square(t: Any) -> float:
    """√(Σ t²/K), an aggregation that flowgrad does not define; it has no value without terms."""
    total = 0.0
    for k in range(t.size):
        total += t[k] * t[k]
    return math.sqrt(total / t.size)


def droot_mean_square(t: Any, d: Any) -> None:
    """t_k / (K m)"""
    m = root_mean_square(t)
    for k in range(t.size):
        d[k] = t[k] / (t.size * m)


def minus_half(K: int) -> float:
    """−½, for any number of terms"""
    return -0.5


def negative(t: Any) -> float:
    """−½ Σ_k t_k"""
    m = 0.0
    for k in range(t.size):
        m -= 0.5 * t[k]
    return m


def dnegative(t: Any, d: Any) -> None:
    """−½"""
    for k in range(t.size):
        d[k] = -0.5


OWN: dict[str, tuple[Aggregation, Any, Any]] = {  # name → (record, m and ∂m/∂t as functions of rows of terms)
    "root_mean_square": (
        Aggregation("root_mean_square", root_mean_square, droot_mean_square),
        lambda t: np.sqrt(np.mean(t * t, axis=1)),
        lambda t: t / (t.shape[1] * np.sqrt(np.mean(t * t, axis=1, keepdims=True))),
    ),
    "negative": (
        Aggregation("negative", negative, dnegative, coefficient=minus_half),
        lambda t: -0.5 * t.sum(axis=1),
        lambda t: np.full(t.shape, -0.5),
    ),
}


@check("aggregations", least=24, over=tuple(OWN), name="an_aggregation_of_the_users_own")
def an_aggregation_of_the_users_own(subject: Subject, name: str) -> None:
    """A user's own `fg.Aggregation(name, f, df)` works in all calls, for 0, 1 and many terms."""
    subject.needs_input_gradients()
    own, value, slope = OWN[name]
    rng = np.random.default_rng(73)
    for dtype in subject.info.dtypes:
        near = NEAR[dtype]
        for K in (1, 2, 5, 40):
            rows, where = rng.standard_normal((9, K)), f"of {K} terms in {dtype}"
            z, found = _aggregated(subject.compile(_fan(own, K), dtype), rows)
            subject.same(f"its values {where}", z, value(rows), near)
            subject.same(f"its gradients {where}", found, slope(rows), near)
        net = _fan(own, 3, response=0.5)
        net.add_neuron("of nothing", bias=0.75, aggregation=own, activation="identity", response=3.0)
        net.set_outputs([3, "of nothing"])
        X, T, s = rng.standard_normal((7, 3)), rng.standard_normal((7, 2)), rng.random(7)
        one = subject.compile(net, dtype, "squared_error")
        subject.each("z of nothing", one.forward(X).z["of nothing"], np.full(7, 0.75), 0, 0)
        ref = compile(net, executor="python", loss="squared_error")
        loss, g = one.value_and_grad(one.theta, X, T, sample_weight=s)
        expected = ref.value_and_grad(ref.theta, X, T, sample_weight=s)
        subject.same(f"loss in {dtype}", loss, expected[0], near)
        subject.same(f"∂L/∂θ in {dtype}", g, expected[1], near)
        subject.same(f"∂L/∂θ by backward in {dtype}", one.backward(one.forward(X), T, s).theta, expected[1], near)


@check("aggregations", least=4)
def a_product_that_neither_overflows_nor_underflows(subject: Subject) -> None:
    """Factors 2^±999 multiply to 1 in any order, and the gradient is right where it can be represented."""
    subject.declares("aggregations", "product")
    subject.needs_input_gradients()
    big, small = 2.0**999, 2.0**-999
    for terms in ([big, big, small, small], [small, small, big, big], [big, small, big, small]):
        z, gradient = _aggregated(subject.compile(_fan("product", 4)), [terms])
        subject.each(f"product of {terms}", z[0], 1.0, 1e-15, 0)
        subject.each(f"gradient of the product of {terms}", gradient[0], [1 / t for t in terms], 1e-15, 0)


@check("aggregations", least=8, over=("sum", "mean", "product", "max", "median"), name="fan_in_10000")
def fan_in(subject: Subject, name: str) -> None:
    """Value and gradients of a neuron with 10,000 predecessors equal closed forms."""
    subject.declares("aggregations", name)
    subject.needs_input_gradients()
    K = subject.size(10_000)
    terms = np.random.default_rng(81).permutation(K) / K - 0.25
    if name == "product":
        terms = np.where(np.arange(K) % 2, 1.25, 0.8)
        terms[17] = 0.0
    z, gradient = _aggregated(subject.compile(_fan(name, K)), np.array([terms, terms]))
    one = np.zeros(K)
    if name == "product":
        one[17] = 0.8**-1 if 17 % 2 == 0 else 1.25**-1
        value = 0.0
    elif name in ("sum", "mean"):
        one[:], value = (1.0, terms.sum()) if name == "sum" else (1.0 / K, terms.mean())
    else:
        ranks = np.argsort(terms)
        chosen = [ranks[-1]] if name == "max" else [ranks[K // 2 - 1], ranks[K // 2]]
        one[chosen], value = 1.0 / len(chosen), terms[chosen].mean()
    for b in range(2):
        subject.same(f"{name} of {K:,}", z[b], value, 1e-11, 1e-3)
        subject.same(f"gradient of the {name} of {K:,}", gradient[b], one, 1e-10)
    program = subject.compile(_fan(name, K))
    grads = program.backward(program.forward([terms]), cotangent=[[1.0]])
    subject.same("∂L/∂w", grads.weight.array, terms * one, 1e-10)
    subject.true(len(program.theta) == K + 1, "θ has a weight an edge and a bias")
    subject.same("∂L/∂b", grads.bias.array[-1], 1.0)
    subject.same("∂L/∂z", grads.dz.array[-1], [1.0])


def _fan(aggregation: str | Aggregation, K: int, response: float = 1.0) -> Network:
    """Return a network of K inputs and one neuron with weights 1, bias 0 and identity, whose terms are the inputs."""
    G: nx.DiGraph[Any] = nx.DiGraph()
    G.add_nodes_from(range(K))
    G.add_node(K, aggregation=aggregation, activation="identity", response=response)
    G.add_weighted_edges_from((k, K, 1.0) for k in range(K))
    return Network.from_networkx(G, inputs=range(K), outputs=[K])


def _aggregated(program: Any, rows: Any) -> tuple[Any, Any]:
    """Return m (B,) and ∂m/∂t (B, K) for rows of terms."""
    acts = program.forward(rows)
    grads = program.backward(acts, cotangent=np.ones((len(rows), 1)))
    return acts.output[:, 0], grads.input.array
