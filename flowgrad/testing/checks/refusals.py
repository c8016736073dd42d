"""Wrong arguments raise the same errors as on the Python executor; values that are not finite are propagated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from flowgrad.network import Network
from flowgrad.program import Program, compile
from flowgrad.testing.battery import NEAR, Subject, check
from flowgrad.topologies import layered

INF, NAN = np.inf, np.nan
X, T = np.ones((3, 2)), np.zeros((3, 2))

CALLS: dict[str, Callable[[Program], Any]] = {
    "X with a column too many": lambda p: p.forward(np.ones((3, 3))),
    "X of one dimension": lambda p: p.predict(np.ones(2)),
    "X of text": lambda p: p.forward([["a", "b"]]),
    "X empty": lambda p: p.forward(np.ones((0, 2))),
    "X complex": lambda p: p.predict(np.ones((3, 2), complex)),
    "X without a column": lambda p: p.forward({"no such input": [1.0]}),
    "θ too long": lambda p: p.forward(X, theta=np.ones(len(p.theta) + 1)),
    "θ of two dimensions": lambda p: p.value_and_grad(np.ones((1, len(p.theta))), X, T),
    "T of another height": lambda p: p.backward(p.forward(X), T[:2]),
    "T of another width": lambda p: p.value_and_grad(p.theta, X, np.zeros((3, 5))),
    "T of indices out of range": lambda p: p.value_and_grad(p.theta, X, np.array([0, 1, 2])),
    "neither T nor cotangent": lambda p: p.backward(p.forward(X)),
    "both T and cotangent": lambda p: p.backward(p.forward(X), T, cotangent=T),
    "cotangent of another shape": lambda p: p.backward(p.forward(X), cotangent=T[:2]),
    "a negative sample weight": lambda p: p.backward(p.forward(X), T, sample_weight=[1, -1, 1]),
    "sample weights of another length": lambda p: p.value_and_grad(p.theta, X, T, sample_weight=[1, 1]),
    "out of another dtype": lambda p: p.value_and_grad(p.theta, X, T, out=np.empty(len(p.theta), np.float16)),
}
COMPILES: dict[str, dict[str, Any]] = {
    "dtype float16": {"dtype": "float16"},
    "a loss that does not exist": {"loss": "squared_eror"},
    "threads 0": {"threads": 0},
    "an unknown reduction": {"reduction": "median"},
}


@check("errors", least=20)
def errors_are_the_references(subject: Subject) -> None:
    """Wrong arguments raise the same error, with the same message, as on the Python executor."""
    sigma = subject.functions("activations", ("tanh", "identity"))[0]
    net = layered([2, 3, 2], activation=sigma, seed=0)
    one = subject.compile(net, loss="cross_entropy")
    reference = compile(net, executor="python", loss="cross_entropy")
    for what, call in CALLS.items():
        _same_error(subject, what, partial(call, one), partial(call, reference))
    for what, options in COMPILES.items():
        _same_error(
            subject,
            what,
            partial(compile, net, executor=subject.executor, **options),
            partial(compile, net, executor="python", **options),
        )
    X0, T0 = np.ones((2, 2)), np.eye(2)
    value, _ = one.value_and_grad(one.theta, X0, T0)
    subject.same("the loss, after all these errors", value, reference.value_and_grad(one.theta, X0, T0)[0])


def _same_error(subject: Subject, what: str, one: Callable[[], Any], reference: Callable[[], Any]) -> None:
    expected, found = _raised(reference), _raised(one)
    assert expected is not None, f"{what}: the reference takes it"
    subject.true(found is not None, f"{what}: it raised nothing, and the reference {expected!r}")
    subject.true(type(found) is type(expected), f"{what}: it raised {found!r}, and the reference {expected!r}")
    subject.true(str(found) == str(expected), f"{what}: it said {str(found)!r}, and the reference {str(expected)!r}")


def _raised(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


@check("errors", least=30)
def what_is_not_finite_flows(subject: Subject) -> None:
    """inf and NaN in X, T and θ are propagated by the formulas as on the Python executor, and raise no error."""
    net = _two_halves(subject)
    X = np.array([[1.0, 2.0], [NAN, 1.0], [2.0, INF], [-INF, 0.5], [0.25, -1.0]])
    T = np.array([[0.0, 1.0], [0.5, 1.0], [1.0, 1.0], [0.0, NAN], [INF, 0.0]])
    for dtype in subject.info.dtypes:
        one, reference = subject.compile(net, dtype, "squared_error"), _python(net, dtype)
        for slot in (None, 0, 3):
            for p in (one, reference):
                theta = p.plan.theta.astype(dtype)
                if slot is not None:
                    theta[slot] = NAN if slot == 0 else INF
                p.theta = theta
            acts, acts_ref = one.forward(X), reference.forward(X)
            found, expected = one.backward(acts, T), reference.backward(acts_ref, T)
            near, where = NEAR[dtype], f"θ_{slot} not finite, {dtype}"
            subject.same(f"z, {where}", acts.z.array, acts_ref.z.array, near)
            subject.same(f"a, {where}", acts.a.array, acts_ref.a.array, near)
            given = subject.given(one)
            subject.same(f"∂L/∂z, {where}", found.dz.array[given], expected.dz.array[given], near)
            subject.same(f"∂L/∂a, {where}", found.da.array[given], expected.da.array[given], near)
            subject.same(f"∂L/∂θ, {where}", found.theta, expected.theta, near)
            value, g = one.value_and_grad(one.theta, X, T)
            subject.same(f"∂L/∂θ of value_and_grad, {where}", g, expected.theta, near)
            subject.same(f"loss, {where}", value, expected.loss, near)
            subject.same(f"predict, {where}", one.predict(X), acts_ref.output, near)


@check("errors", least=4)
def what_is_not_finite_stays_where_it_belongs(subject: Subject) -> None:
    """An inf in one input does not affect neurons and samples that do not depend on it."""
    net = _two_halves(subject)
    program = subject.compile(net)
    clean = np.array([[1.0, 2.0], [0.5, -1.0], [0.25, 0.75]])
    spoilt = clean.copy()
    spoilt[1, 1] = INF
    a, b = program.forward(clean), program.forward(spoilt)
    subject.same("a of the other samples", b.a.array[:, [0, 2]], a.a.array[:, [0, 2]])
    for v in ("x", "h", "y"):
        subject.same(f"a of {v!r}, which does not see it", b.a[v], a.a[v])
    C = np.ones((3, 2))
    one, other = program.backward(a, cotangent=C), program.backward(b, cotangent=C)
    for v in ("x", "h", "y"):
        subject.same(f"∂L/∂z of {v!r}, which does not see it", other.dz[v], one.dz[v])
    for edge in (("x", "h"), ("h", "y")):
        subject.same(f"∂L/∂w of {edge}, which does not see it", other.weight[edge], one.weight[edge])


def _python(net: Network, dtype: str) -> Program:
    return compile(net, executor="python", dtype=dtype, loss="squared_error")


def _two_halves(subject: Subject) -> Network:
    """Return two chains, x → h → y and p → q → r, in the same levels without an edge between them."""
    sigma = subject.functions("activations", ("softplus", "identity"))[0]
    net = Network()
    for start in ("x", "p"):
        net.add_input(start)
    for a, b, c, w in (("x", "h", "y", 0.5), ("p", "q", "r", -0.75)):
        net.add_neuron(b, {a: w}, bias=0.25, activation=sigma)
        net.add_neuron(c, {b: 1.5 * w}, bias=-0.5, activation="identity")
    net.set_outputs(["y", "r"])
    return net
