"""Values and gradients of random networks, compared with an independent oracle, differences and the Python executor."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

import numpy as np

from flowgrad import topologies
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.testing import oracle
from flowgrad.testing.battery import NEAR, SMOOTH, Subject, check, quietly
from flowgrad.testing.strategies import suited

LOSSES = (*oracle.LOSS, "cross_entropy")


@check("oracle", least=150)
def values_equal_the_oracle(subject: Subject) -> None:
    """z and a of every neuron, and the loss, equal those of a naive program over networkx, equations (1) to (4)."""
    rng = np.random.default_rng(11)
    for k, (net, network, X) in enumerate(subject.random(24, 2, seed=10)):
        loss = suited(LOSSES[k % len(LOSSES)], len(net.outputs))
        T = oracle.targets(loss, rng, (len(X), len(net.outputs)))
        program = subject.compile(network, loss=loss, reduction="sum")
        acts = program.forward(X)
        total = 0.0
        for b, x in enumerate(X.tolist()):
            z, a = oracle.forward(net, x)
            for v in net.graph:
                subject.same(f"z of {v!r}", acts.z[v][b], complex(z[v]).real, 1e-12, 1.0)
                subject.same(f"a of {v!r}", acts.a[v][b], complex(a[v]).real, 1e-12, 1.0)
            y = [complex(a[v]).real for v in net.outputs]
            total += sum(complex(one).real for one in oracle.losses(loss, y, T[b].tolist()))
        subject.same(f"loss {loss}", program.backward(acts, T).loss, total, 1e-12, 1.0)
        subject.same("predict", program.predict(X), acts.output, 1e-14, 1.0)


@check("oracle", least=300)
def gradients_equal_the_complex_step(subject: Subject) -> None:
    """Every gradient of every sample equals Im f(x + ih) / h of the oracle, which contains no derivatives."""
    rng = np.random.default_rng(21)
    for k, (net, network, X) in enumerate(subject.random(30, 2, seed=20)):
        loss = suited(LOSSES[k % len(LOSSES)], len(net.outputs))
        T = oracle.targets(loss, rng, (len(X), len(net.outputs)))
        held_to_the_oracle(subject, net, network, X, T, loss)


@check("oracle", least=100)
def gradients_equal_the_sum_over_paths(subject: Subject) -> None:
    """∂L/∂a equals the sum over all paths to all outputs, by plain recursion of equation (10) without a cache."""
    rng = np.random.default_rng(31)
    for net, network, X in subject.random(16, 1, seed=30, max_neurons=6):
        C = rng.standard_normal((1, len(net.outputs)))
        program = subject.compile(network)
        grads = program.backward(program.forward(X), cotangent=C)
        plain = oracle.PlainRecursion(net, X[0].tolist(), C[0].tolist())
        da = {v: plain.da(v) for v in net.graph}
        scale = max(1e-300, *(abs(value) for value in da.values()))
        for v in (v for v in net.graph if subject.info.input_gradients or v not in net.inputs):
            subject.same(f"∂L/∂a of {v!r}", grads.da[v][0], da[v], 1e-12, scale)
            subject.same(f"∂L/∂z of {v!r}", grads.dz[v][0], plain.dz(v), 3e-12, scale)
        for u, v in net.graph.edges:
            subject.same(f"∂L/∂w of {u!r} → {v!r}", grads.weight[u, v], plain.dw(u, v), 1e-11, 3 * scale)


@check("oracle", least=60)
def gradients_equal_differences(subject: Subject) -> None:
    """∂L/∂θ equals Richardson's differences of the executor's own loss, so that loss and gradient are consistent."""
    rng = np.random.default_rng(41)
    for net, network, X in subject.random(6, 3, seed=40, smooth=True):
        T = rng.standard_normal((len(X), len(net.outputs)))
        program = subject.compile(network, loss="squared_error")
        _, g = program.value_and_grad(program.theta, X, T)
        for k in range(len(g)):
            moved = oracle.richardson(partial(_loss_near, program, X, T, k))
            subject.same(f"slot {k} of θ", g[k], moved, 1e-7, float(np.abs(g).max(initial=1.0)))


def _loss_near(program: Program, X: Any, T: Any, slot: int, by: float) -> float:
    """Return the loss after adding `by` to one slot of θ."""
    theta = program.theta.copy()
    theta[slot] += by
    return program.value_and_grad(theta, X, T)[0]


@check("equality", least=140, over=("float64", "float32"))
def equals_python(subject: Subject, dtype: str) -> None:
    """θ, z, a and all gradients, by output and of inputs too, equal the Python executor's for several batch sizes."""
    rng = np.random.default_rng(51)
    smooth = dtype == "float32"  # without functions whose ties rounding to float32 may break
    for k, rows in enumerate((1, 7, 8, 33) if subject.quick else (1, 2, 3, 7, 8, 9, 33, 64, 1, 5, 2, 16)):
        for net, network, X in subject.random(1, rows, seed=50 + k, smooth=smooth):
            loss = suited(LOSSES[k % len(LOSSES)], len(net.outputs))
            T = oracle.targets(loss, rng, (rows, len(net.outputs)))
            weights = rng.random(rows) + 0.5 if k % 2 else None
            same_as_python(subject, network, X, T, loss, dtype, weights)


LARGER = ("dense", "skips", "sparse", "wide")


@check("equality", least=30, over=LARGER)
def equals_python_on_larger_graphs(subject: Subject, kind: str) -> None:
    """Results on dense layers, layers with skip edges, sparse and wide random DAGs equal the Python executor's."""
    sigma = subject.functions("activations", SMOOTH)
    sigma = (sigma[0], sigma[-1]) if subject.quick else sigma  # an executor may compile each
    if kind == "dense":
        network = topologies.layered([9, 17, 13, 4], activation=sigma[-1], seed=3)
    else:
        V, window, fan_in = {"skips": (60, 60, 4), "sparse": (150, 20, 3), "wide": (120, 120, 2)}[kind]
        network = _irregular(V, window, fan_in, sigma, inputs=8 if kind != "wide" else 60)
    rng = np.random.default_rng(61)
    for rows in (1, 6):
        X = rng.standard_normal((rows, len(network.inputs)))
        T = rng.standard_normal((rows, len(network.outputs)))
        for dtype in subject.dtypes(kind, LARGER):
            same_as_python(subject, network, X, T, "squared_error", dtype, None, per_output=kind == "dense")


def _irregular(V: int, window: int, fan_in: int, sigma: tuple[str, ...], inputs: int) -> Network:
    """Return a DAG of V nodes whose neurons have `fan_in` random predecessors each among the `window` nodes before."""
    rng = np.random.default_rng(V)
    network = Network(seed=7)
    for v in range(inputs):
        network.add_input(v)
    for v in range(inputs, V):
        before = rng.choice(np.arange(max(0, v - window), v), fan_in, replace=False)
        network.add_neuron(v, before.tolist(), bias=float(rng.normal()), activation=sigma[v % len(sigma)])
    return network


def held_to_the_oracle(subject: Subject, net: oracle.Net, network: Network, X: Any, T: Any, loss: str) -> None:
    """Compare every gradient of every sample of a batch with complex steps of the oracle."""
    program = subject.compile(network, loss=loss, reduction="sum")
    grads = program.backward(program.forward(X), T)
    what = quantities(net)
    pairs = zip(X.tolist(), T.tolist(), strict=True)
    truth = np.array([oracle.gradient(net, x, t, loss, what) for x, t in pairs]).sum(axis=2).T
    scale = float(np.abs(truth).max(initial=1e-300))
    for (kind, name), of_samples in zip(what, truth, strict=True):
        if kind == "a" and name in net.inputs and not subject.info.input_gradients:
            continue
        found: Any = {"weight": grads.weight, "bias": grads.bias, "z": grads.dz, "a": grads.da}[kind]
        expected = of_samples if kind in "za" else of_samples.sum()
        subject.same(f"∂L/∂{kind[0]} of {name!r}", found[name], expected, 1e-12, scale)
    by_name = dict(zip(what, truth, strict=True))
    for v in net.inputs if subject.info.input_gradients else ():
        subject.same(f"∂L/∂x of {v!r}", grads.input[v], by_name["a", v], 1e-12, scale)
    subject.same("∂L/∂θ", grads.theta, theta_from(program, net, by_name), 1e-12, scale)
    value, fused = program.value_and_grad(program.theta, X, T)
    subject.same("∂L/∂θ of value_and_grad", fused, grads.theta, 1e-12, scale)
    subject.same("loss of value_and_grad", value, grads.loss, 1e-12, 1e-3)


def same_as_python(
    subject: Subject,
    network: Network,
    X: Any,
    T: Any,
    loss: str,
    dtype: str,
    weights: Any = None,
    per_output: bool = True,
) -> None:
    """Compare every public result for one network and batch with that of the Python executor."""

    near = NEAR[dtype]
    per_output = per_output and subject.info.per_output
    one = subject.compile(network, dtype, loss)
    ref = quietly(network, executor="python", dtype=dtype, loss=loss)
    subject.bits("θ", one.theta, ref.theta)
    acts, acts_ref = one.forward(X), ref.forward(X)
    found = one.backward(acts, T, sample_weight=weights, per_output=per_output)
    expected = ref.backward(acts_ref, T, sample_weight=weights, per_output=per_output)
    subject.same("z", acts.z.array, acts_ref.z.array, near, 1.0)
    subject.same("a", acts.a.array, acts_ref.a.array, near, 1.0)
    scale, given = float(np.abs(expected.da.array).max(initial=1e-30)), subject.given(one)
    subject.same("∂L/∂z", found.dz.array[given], expected.dz.array[given], near, scale)
    subject.same("∂L/∂a", found.da.array[given], expected.da.array[given], near, scale)
    if subject.info.input_gradients:
        subject.same("∂L/∂x", found.input.array, expected.input.array, near, scale)
    scale = float(np.abs(expected.weight.array).max(initial=1e-30))
    subject.same("∂L/∂w of every edge", found.weight.array, expected.weight.array, near, scale)
    subject.same("∂L/∂b of every neuron", found.bias.array, expected.bias.array, near, scale)
    subject.same("∂L/∂θ", found.theta, expected.theta, near, scale)
    subject.same("loss", found.loss, expected.loss, near, 1.0)
    for name, row in expected.per_output.items() if per_output else ():
        subject.same(f"∂l/∂θ of output {name!r}", found.per_output[name], row, near, scale)
    value, g = one.value_and_grad(one.theta, X, T, sample_weight=weights)
    subject.same("loss of value_and_grad", value, expected.loss, near, 1.0)
    subject.same("∂L/∂θ of value_and_grad", g, expected.theta, near, scale)
    subject.same("predict", one.predict(X), acts_ref.output, near, 1.0)


def quantities(net: oracle.Net) -> list[tuple[str, Hashable]]:
    """List the quantities that have a gradient: weights of edges, biases and z of neurons, a of all nodes."""
    neurons = [v for v in net.graph if v not in net.inputs]
    parameters = [("weight", e) for e in net.graph.edges] + [("bias", v) for v in neurons]
    return [*parameters, *(("z", v) for v in neurons), *(("a", v) for v in net.graph)]


def theta_from(program: Program, net: oracle.Net, truth: dict[tuple[str, Hashable], Any]) -> Any:
    """Return ∂L/∂θ (P,) from gradients by edge and neuron: summed for shared parameters, without frozen ones."""
    index, theta = program.theta_index, np.zeros(len(program.theta))
    params: dict[Hashable, list[tuple[Hashable, Hashable]]] = {}
    for u, v, given in net.graph.edges(data=True):
        params.setdefault(given.get("param", (u, v, "own")), []).append((u, v))
    for members in params.values():
        if any(net.graph.edges[e].get("trainable", True) for e in members):
            slots = {index.weight[e] for e in members}
            assert len(slots) == 1, f"edges {members} share a parameter and have slots {slots}"
            theta[slots.pop()] = sum(truth["weight", e].sum() for e in members)
    for v in net.graph:
        if v not in net.inputs and net.graph.nodes[v].get("trainable", True):
            theta[index.bias[v]] = truth["bias", v].sum()
    return theta
