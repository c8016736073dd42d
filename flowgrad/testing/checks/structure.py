"""Only neurons on which a wanted output depends, and samples of weight above 0, take part in a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.testing.battery import Subject, check, quietly

INF, NAN = float("inf"), float("nan")
X = [[0.0], [2.0]]
T = [[1.0], [-1.0]]

# the neuron on which no wanted output depends: kind → activations that show an error, aggregation, weights of its edges
BRANCHES: dict[str, tuple[tuple[str, ...], str, tuple[float, float]]] = {
    "infinite_derivative": (("sqrt", "log", "reciprocal"), "sum", (1.0, 0.0)),
    "overflow": (("exp", "square", "cube"), "sum", (1e300, 0.0)),
    "not_a_number": (("log", "sqrt"), "sum", (-3.0, -1.0)),
    "product": (("identity",), "product", (1e300, 1e300)),
    "maximum": (("identity",), "max", (1e300, -1e300)),
}


def branched(subject: Subject, kind: str | None, activation: str = "", deep: bool = False) -> Network:
    """Return a network x → h → y, x → k → y, with a branch at h and k if `kind` is given; no output depends on it.

    The branch is the neuron "side", and with `deep` also "last" behind it.
    """
    plain = subject.functions("activations", ("identity",))[0]
    net = Network()
    net.add_input("x")
    net.add_neuron("h", {"x": 1.0}, activation=plain)
    net.add_neuron("k", {"x": 0.5}, bias=0.25, activation=plain)
    net.add_neuron("y", {"h": 2.0, "k": -1.0}, activation=plain)
    if kind is not None:
        _, aggregation, (w, v) = BRANCHES[kind]
        net.add_neuron("side", {"h": w, "k": v}, activation=activation, aggregation=aggregation)
        if deep:
            net.add_neuron("last", {"side": 1e200, "h": 1.0}, activation=activation)
    net.set_outputs(["y"])
    return net


@check("structure", least=60, over=tuple(BRANCHES))
def a_branch_without_a_wanted_output(subject: Subject, kind: str) -> None:
    """A neuron on which no wanted output depends has ∂L/∂z = 0, and its value, even inf or NaN, affects no gradient."""
    activations, aggregation, _ = BRANCHES[kind]
    subject.functions("aggregations", (aggregation,))
    alone = subject.compile(branched(subject, None), loss="squared_error")
    for activation in subject.functions("activations", activations):
        for deep in (False, True):
            net = branched(subject, kind, activation, deep)
            program = subject.compile(net, loss="squared_error")
            where = f"beside {activation}{', deeper' if deep else ''}"
            _equal_gradients(subject, where, program, alone, {"T": T})
            _equal_values(subject, where, program, alone)
            net.set_outputs(["y", "side"])
            both = subject.compile(net, loss="squared_error")
            C = np.array([[1.0, 0.0], [-0.5, 0.0]])
            of_both, of_one = {"cotangent": C}, {"cotangent": C[:, :1]}
            _equal_gradients(subject, f"{where}, a cotangent of 0", both, alone, of_both, of_one)


def _equal_gradients(
    subject: Subject, where: str, program: Program, alone: Program, given: Any, given_alone: Any = None
) -> None:
    """Check that gradients equal those of the network without the branch, and are 0 in the branch."""
    grads = program.backward(program.forward(X), **given)
    truth = alone.backward(alone.forward(X), **(given_alone or given))
    rows = subject.given(alone)
    for v in (alone.labels.nodes[k] for k in np.arange(alone.plan.n_nodes)[rows].tolist()):
        subject.each(f"∂L/∂z of {v}, {where}", grads.dz[v], truth.dz[v], 0, 0)
        subject.each(f"∂L/∂a of {v}, {where}", grads.da[v], truth.da[v], 0, 0)
    for u, v in program.labels.edges:
        inside = (u, v) in truth.weight
        subject.each(f"∂L/∂w of {u} → {v}, {where}", grads.weight[u, v], truth.weight[u, v] if inside else 0.0, 0, 0)
    for v in set(program.labels.nodes) - set(alone.labels.nodes):
        subject.each(f"∂L/∂z of {v}, {where}", grads.dz[v], [0.0, 0.0], 0, 0)
        subject.each(f"∂L/∂a of {v}, {where}", grads.da[v], [0.0, 0.0], 0, 0)
        subject.each(f"∂L/∂b of {v}, {where}", grads.bias[v], 0.0, 0, 0)


def _equal_values(subject: Subject, where: str, program: Program, alone: Program) -> None:
    """Check loss and gradient of value_and_grad, and the gradient of the single output y."""
    value, g = program.value_and_grad(program.theta, X, T)
    true_value, true_g = alone.value_and_grad(alone.theta, X, T)
    subject.each(f"loss, {where}", value, true_value, 0, 0)
    for v in ("h", "k", "y"):
        found, expected = g[program.theta_index.bias[v]], true_g[alone.theta_index.bias[v]]
        subject.each(f"∂L/∂b of {v} by value_and_grad, {where}", found, expected, 0, 0)
    subject.true(np.isfinite(g).all(), f"value_and_grad's gradient is not finite, {where}")
    if subject.info.per_output:
        rows = program.backward(program.forward(X), T, per_output=True).per_output
        subject.true(np.isfinite(rows["y"]).all(), f"∂l_y/∂θ is not finite, {where}")


@check("structure", least=6)
def one_output_beside_one_that_is_not_finite(subject: Subject) -> None:
    """The gradient of one of two outputs is not affected by the other, whose derivative is infinite."""
    kind = "infinite_derivative"
    activation = subject.functions("activations", BRANCHES[kind][0])[0]
    net = branched(subject, kind, activation)
    net.set_outputs(["side", "y"])
    both = subject.compile(net, loss="squared_error", reduction="sum")
    alone = subject.compile(branched(subject, None), loss="squared_error", reduction="sum")
    truth = alone.backward(alone.forward(X), T)
    rows = subject.given(alone)
    for c in (1.0, NAN):
        grads = both.backward(both.forward(X), cotangent=[[0.0, c], [0.0, c]])
        expected = alone.backward(alone.forward(X), cotangent=[[c], [c]])
        for v in (alone.labels.nodes[k] for k in np.arange(alone.plan.n_nodes)[rows].tolist()):
            subject.each(f"∂L/∂a of {v} under a cotangent of {c}", grads.da[v], expected.da[v], 0, 0)
    if not subject.info.per_output:
        return
    row = both.backward(both.forward(X), [[0.0, 1.0], [0.0, -1.0]], per_output=True).per_output["y"]
    for u, v in alone.labels.edges:
        subject.each(f"∂l_y/∂w of {u} → {v}", row[both.theta_index.weight[u, v]], truth.weight[u, v], 0, 0)
    for v in ("h", "k", "y"):
        subject.each(f"∂l_y/∂b of {v}", row[both.theta_index.bias[v]], truth.bias[v], 0, 0)


@check("structure", least=30, over=("float64", "float32"))
def a_sample_of_weight_0(subject: Subject, dtype: str) -> None:
    """A sample of weight 0 has no effect, whatever its values; very large and very small weights work as others."""
    net = branched(subject, None)
    program = subject.compile(net, dtype, "squared_error")
    x, t = np.array([[0.5], [1.0], [-2.0]]), np.array([[1.0], [0.0], [3.0]])
    near = 1e-13 if dtype == "float64" else 1e-5
    expected = program.value_and_grad(program.theta, x[[0, 2]], t[[0, 2]], sample_weight=[1.0, 3.0])
    truth = program.backward(program.forward(x[[0, 2]]), t[[0, 2]], sample_weight=[1.0, 3.0])
    for bad in (NAN, INF, 1e300):
        x[1], t[1] = bad, -bad
        for size in (1.0, 1e-310, 5e307):
            s = [size, 0.0, 3.0 * size]
            where = f"beside a sample of {bad}, weights of {size}, {dtype}"
            value, g = program.value_and_grad(program.theta, x, t, sample_weight=s)
            grads = program.backward(program.forward(x), t, sample_weight=s)
            subject.same(f"loss by value_and_grad, {where}", value, expected[0], near)
            subject.same(f"∂L/∂θ by value_and_grad, {where}", g, expected[1], near)
            subject.same(f"loss, {where}", grads.loss, truth.loss, near)
            subject.same(f"∂L/∂θ, {where}", grads.theta, truth.theta, near)
            its = grads.dz.array[subject.given(program)][:, 1]
            subject.each(f"its ∂L/∂z, {where}", its, np.zeros_like(its), 0, 0)
    reference = quietly(net, executor="python", dtype=dtype, loss="squared_error")
    same = reference.value_and_grad(reference.theta, x, t, sample_weight=[1.0, 0.0, 3.0])
    subject.same("loss of the reference", same[0], expected[0], near)
