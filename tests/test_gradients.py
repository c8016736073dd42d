"""Gradients of random networks, against an oracle that shares no code with the library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.maths import aggregations, foreign, losses
from flowgrad.registry import names
from flowgrad.testing import oracle
from flowgrad.testing.strategies import Case, cases, suited

LOSSES = (*oracle.LOSS, "cross_entropy")
# random networks end in any activation, and their gradients are as exact
pytestmark = pytest.mark.filterwarnings("ignore::flowgrad.errors.BoundedOutputWarning")
B = 3


def network(net: oracle.Net) -> fg.Network:
    return fg.Network.from_networkx(net.graph, inputs=net.inputs, outputs=net.outputs)


def quantities(net: oracle.Net) -> list[tuple[str, Hashable]]:
    """Everything that has a gradient: edges, biases of neurons, z and a of all nodes."""
    neurons = [v for v in net.graph if v not in net.inputs]
    parameters = [("weight", e) for e in net.graph.edges] + [("bias", v) for v in neurons]
    return [*parameters, *(("z", v) for v in neurons), *(("a", v) for v in net.graph)]


def theta_from(program: fg.Program, net: oracle.Net, edges: Any, biases: Any) -> np.ndarray:
    """(P,) out of gradients by edge and by neuron: shared parameters add up, frozen ones fall out."""
    index, theta = program.theta_index, np.zeros(len(program.theta))
    params: dict[Hashable, list[tuple[Hashable, Hashable]]] = {}
    for u, v, d in net.graph.edges(data=True):
        params.setdefault(d.get("param", (u, v, "own")), []).append((u, v))
    for members in params.values():
        if any(net.graph.edges[e].get("trainable", True) for e in members):
            slots = {index.weight[e] for e in members}
            assert len(slots) == 1
            theta[slots.pop()] = sum(edges[e] for e in members)
    for v, value in biases.items():
        if net.graph.nodes[v].get("trainable", True):
            theta[index.bias[v]] = value
    return theta


def test_the_oracle_knows_every_formula() -> None:
    assert set(oracle.SIGMA) == set(names("activations")) - set(foreign.entries)
    assert set(oracle.AGGREGATE) == set(aggregations.entries)
    assert set(LOSSES) == set(losses.entries)


def test_the_oracle_shares_no_code_with_the_library() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "networkx"}


@given(case=cases(), loss=st.sampled_from(LOSSES), seed=st.integers(0, 2**32 - 1))
def test_every_gradient_equals_the_complex_step(executor: str, case: Case, loss: str, seed: int) -> None:
    rng, loss = np.random.default_rng(seed), suited(loss, len(case.outputs))
    X, T = rng.standard_normal((B, len(case.inputs))), oracle.targets(loss, rng, (B, len(case.outputs)))
    net = oracle.of_case(case, X)
    program = fg.compile(network(net), executor=executor, loss=loss, reduction="sum")
    acts = program.forward(X)
    grads = program.backward(acts, T, per_output=True)
    what = quantities(net)
    truth = np.array([oracle.gradient(net, x, t, loss, what) for x, t in zip(X.tolist(), T.tolist(), strict=True)])
    assert truth.shape == (B, len(what), len(case.outputs))
    near = 1e-12 * max(np.abs(truth).max(), 1e-300)

    whole = dict(zip(what, truth.sum(axis=2).T, strict=True))
    for (kind, name), of_samples in whole.items():
        if kind == "weight":
            assert abs(grads.weight[name] - of_samples.sum()) <= near
        elif kind == "bias":
            assert abs(grads.bias[name] - of_samples.sum()) <= near
        else:
            found = {"z": grads.dz, "a": grads.da}[kind][name]
            assert np.abs(found - of_samples).max() <= near
    for v in net.inputs:
        assert np.abs(grads.input[v] - whole["a", v]).max() <= near
        np.testing.assert_array_equal(grads.dz[v], grads.da[v])

    edges = {e: whole["weight", e].sum() for e in net.graph.edges}
    biases = {v: whole["bias", v].sum() for v in net.graph if v not in net.inputs}
    assert np.abs(grads.theta - theta_from(program, net, edges, biases)).max(initial=0) <= near
    for n, y in enumerate(net.outputs):  # (11)
        of_n = dict(zip(what, truth[:, :, n].sum(axis=0), strict=True))
        edges = {e: of_n["weight", e] for e in net.graph.edges}
        biases = {v: of_n["bias", v] for v in net.graph if v not in net.inputs}
        expected = theta_from(program, net, edges, biases)
        assert np.abs(grads.per_output[y] - expected).max(initial=0) <= near
    assert np.abs(sum(grads.per_output.values()) - grads.theta).max(initial=0) <= near  # (12)


@given(case=cases(), loss=st.sampled_from(LOSSES), seed=st.integers(0, 2**32 - 1))
def test_values_and_losses_equal_the_oracle(executor: str, case: Case, loss: str, seed: int) -> None:
    rng, loss = np.random.default_rng(seed), suited(loss, len(case.outputs))
    X, T = rng.standard_normal((B, len(case.inputs))), oracle.targets(loss, rng, (B, len(case.outputs)))
    net = oracle.of_case(case, X)
    program = fg.compile(network(net), executor=executor, loss=loss)
    acts = program.forward(X)
    total = 0.0
    for b, x in enumerate(X.tolist()):
        z, a = oracle.forward(net, x)
        for v in net.graph:
            assert acts.z[v][b] == pytest.approx(complex(z[v]).real, rel=1e-12, abs=1e-12)
            assert acts.a[v][b] == pytest.approx(complex(a[v]).real, rel=1e-12, abs=1e-12)
        y = [complex(a[v]).real for v in net.outputs]
        np.testing.assert_allclose(acts.output[b], y, rtol=1e-12, atol=1e-12)
        total += sum(complex(l).real for l in oracle.losses(loss, y, T[b].tolist()))
    grads = program.backward(acts, T)
    assert grads.loss == pytest.approx(total / B, rel=1e-12, abs=1e-13)
    np.testing.assert_allclose(program.predict(X), acts.output, rtol=1e-15, atol=0)


@given(case=cases(max_neurons=6, ids=("str",)), seed=st.integers(0, 2**32 - 1))
def test_plain_recursion_over_all_paths_gives_the_same(executor: str, case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, C = rng.standard_normal((1, len(case.inputs))), rng.standard_normal((1, len(case.outputs)))
    net = oracle.of_case(case, X)
    program = fg.compile(network(net), executor=executor)
    grads = program.backward(program.forward(X), cotangent=C)
    plain = oracle.PlainRecursion(net, X[0].tolist(), C[0].tolist())
    da = {v: plain.da(v) for v in net.graph}
    near = 1e-12 * max(1e-300, *(abs(value) for value in da.values()))
    for v in net.graph:
        assert abs(grads.da[v][0] - da[v]) <= near
        assert abs(grads.dz[v][0] - plain.dz(v)) <= 3 * near  # mish' reaches 1.09, cube' 27 of a tame z
    for u, v in net.graph.edges:
        assert grads.weight[u, v] == pytest.approx(plain.dw(u, v), rel=1e-10, abs=30 * near)


@given(case=cases(), loss=st.sampled_from(LOSSES), seed=st.integers(0, 2**32 - 1))
def test_every_executor_says_what_the_definition_says(executor: str, case: Case, loss: str, seed: int) -> None:
    if executor == "python":
        pytest.skip("the definition itself")
    rng, loss = np.random.default_rng(seed), suited(loss, len(case.outputs))
    rows = 21  # more than one vector of lanes, and not an integer of them
    X, T = rng.standard_normal((rows, len(case.inputs))), oracle.targets(loss, rng, (rows, len(case.outputs)))
    net = network(oracle.of_case(case, X))
    for dtype, tolerance in (("float64", 1e-13), ("float32", 2e-5)):
        python, other = (fg.compile(net, executor=e, dtype=dtype, loss=loss) for e in ("python", executor))
        np.testing.assert_array_equal(python.theta, other.theta)
        acts_p, acts_o = python.forward(X), other.forward(X)
        p, o = python.backward(acts_p, T), other.backward(acts_o, T)
        for one, two in ((acts_p.a, acts_o.a), (acts_p.z, acts_o.z), (p.dz, o.dz), (p.da, o.da)):
            assert two.array.dtype == dtype
            assert error(one.array, two.array) <= tolerance
        scale = max(np.abs(p.dz.array).max(), np.abs(p.theta).max(initial=0), 1e-30)
        assert np.abs(p.theta - o.theta).max(initial=0) <= tolerance * scale
        value, g = other.value_and_grad(other.theta, X, T)
        assert np.abs(g - o.theta).max(initial=0) <= tolerance * scale
        assert value == pytest.approx(p.loss, rel=tolerance, abs=tolerance)


def error(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference over the largest number."""
    return float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-30))
