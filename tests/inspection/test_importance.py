"""Importance: gradients of outputs by activations, against moving the activation itself."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, UnknownNameError
from flowgrad.inspection import health, node_importance, passes


def network() -> fg.Network:
    """Skip edges, and two outputs, one of them feeding the other."""
    net = fg.Network()
    for name in ("x1", "x2"):
        net.add_input(name)
    edges: dict[str, dict[str, float]] = {
        "h": {"x1": 0.5, "x2": -0.8},
        "k": {"h": 1.1, "x1": 0.4},
        "y1": {"h": 0.3, "k": -0.9},
        "y2": {"k": 0.7, "y1": 0.6},
    }
    for name, into in edges.items():
        net.add_neuron(name, into, activation="tanh", bias=0.1)
    net.set_outputs(["y1", "y2"])
    return net


def by_moving(name: str, output: int, X: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """(B,) ∂y/∂a of a neuron, by central differences of its activation, computed by hand."""

    def outputs(shift: float) -> np.ndarray:
        a = {"x1": X[:, 0], "x2": X[:, 1]}
        a = {k: v + shift * (k == name) for k, v in a.items()}
        for v, into in (
            ("h", {"x1": 0.5, "x2": -0.8}),
            ("k", {"h": 1.1, "x1": 0.4}),
            ("y1", {"h": 0.3, "k": -0.9}),
            ("y2", {"k": 0.7, "y1": 0.6}),
        ):
            a[v] = np.tanh(0.1 + sum(w * a[u] for u, w in into.items())) + shift * (v == name)
        return np.array([a["y1"], a["y2"]])[output]

    return (outputs(h) - outputs(-h)) / (2 * h)


def test_gradients_are_what_moving_a_neuron_does(executor: str) -> None:
    X = np.random.default_rng(0).normal(size=(5, 2))
    program = fg.compile(network(), executor=executor)
    found = node_importance(program, X, each=True)
    a = program.forward(X).a
    assert found.outputs == ("y1", "y2")
    assert found.nodes == ("x1", "x2", "h", "k", "y1", "y2")
    assert found.kind == ("input", "input", "hidden", "hidden", "output", "output")
    assert found.each_gradient is not None
    assert found.each_gradient.shape == (2, 6, 5)
    for n in range(2):
        for k, name in enumerate(found.nodes):
            g = by_moving(str(name), n, X)
            np.testing.assert_allclose(found.each_gradient[n, k], g, atol=1e-9)
            assert found.gradient[n, k] == pytest.approx(g.mean(), abs=1e-9)
            assert found.activation[n, k] == pytest.approx((g * a[name]).mean(), abs=1e-9)
            assert found.strength[n, k] == pytest.approx(np.abs(g * a[name]).mean(), abs=1e-9)


def test_the_passes_of_all_outputs_are_one_batch(monkeypatch: Any) -> None:
    program = fg.compile(network(), executor="python")
    plain, rows = program.backward, []
    monkeypatch.setattr(program, "backward", lambda acts, **k: (rows.append(len(k["cotangent"])), plain(acts, **k))[1])
    X = np.ones((2, 2))
    both = node_importance(program, X)
    assert rows == [4]  # two outputs, two samples
    one = node_importance(program, X, outputs=["y2"])
    assert rows == [4, 2]
    assert (one.gradient[0] == both.gradient[1]).all()
    assert one.each_gradient is None


def test_outputs_share_a_pass_as_far_as_memory_is_bounded(monkeypatch: Any) -> None:
    """On a large network the shared pass of many outputs would take an array of nodes · outputs."""
    net = fg.topologies.layered([2, 3, 40], seed=0)
    program = fg.compile(net, executor="python")
    want, plain, rows = node_importance(program, np.ones((3, 2))), program.backward, []
    monkeypatch.setattr(program, "backward", lambda acts, **k: (rows.append(len(k["cotangent"])), plain(acts, **k))[1])
    monkeypatch.setattr("flowgrad.inspection.passes.VALUES", 3 * program.plan.n_nodes)
    found = node_importance(program, np.ones((3, 2)))
    assert max(rows) == 15  # of 16 rows, whole samples of three
    assert sum(rows) == 3 * 40
    assert (found.gradient == want.gradient).all()


def test_samples_in_parts_are_samples_at_once(executor: str, monkeypatch: Any) -> None:
    X = np.random.default_rng(3).normal(size=(23, 2))
    labels = ["a" if x > 0 else "b" for x in X[:, 0]]
    program = fg.compile(network(), executor=executor)
    options: dict[str, Any] = {"classes": labels, "each": True, "integrated": True}
    whole = node_importance(program, X, **options)
    monkeypatch.setattr("flowgrad.inspection.passes.VALUES", 6 * 5)
    monkeypatch.setattr("flowgrad.inspection.passes.ROWS", 12)
    parts = node_importance(program, X, **options)
    for name in ("gradient", "activation", "strength", "gradient_sd", "activation_sd", "integrated", "integrated_sd"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-15)
        for c in ("a", "b"):
            np.testing.assert_allclose(
                getattr(parts.classes[c], name), getattr(whole.classes[c], name), rtol=1e-12, atol=1e-15
            )
    np.testing.assert_allclose(parts.each_gradient, whole.each_gradient, rtol=1e-13)


def test_classes_and_spreads_are_those_of_their_samples() -> None:
    program = fg.compile(network(), executor="python")
    X = np.random.default_rng(4).normal(size=(9, 2))
    labels = np.array([2, 1, 2, 2, 1, 7, 1, 2, 2])
    found = node_importance(program, X, classes=labels, each=True, integrated=True)
    assert list(found.classes) == [2, 1, 7]
    assert found.each_gradient is not None
    flow = found.each_gradient * program.forward(X).a.array
    for name, rows in [(None, labels > 0), *((c, labels == c) for c in (1, 2, 7))]:
        part = found if name is None else found.classes[name]
        alone = node_importance(program, X[rows], integrated=True)
        assert part.samples == rows.sum()
        np.testing.assert_allclose(part.gradient, found.each_gradient[..., rows].mean(axis=2), rtol=1e-13)
        np.testing.assert_allclose(part.gradient_sd, found.each_gradient[..., rows].std(axis=2), atol=1e-15)
        np.testing.assert_allclose(part.activation_sd, flow[..., rows].std(axis=2), atol=1e-15)
        np.testing.assert_allclose(part.strength, np.abs(flow[..., rows]).mean(axis=2), rtol=1e-13)
        np.testing.assert_allclose(part.integrated, alone.integrated, atol=1e-15)
    records = found.records()
    assert [sum(r["class"] == c for r in records) for c in (None, 1, 2, 7)] == [12] * 4


# ---- integrated gradients ------------------------------------------------------------------------------------


def test_of_a_linear_network_the_integral_is_weight_times_input(executor: str) -> None:
    net = fg.Network.from_arrays([0, 1, 0, 2], [2, 2, 3, 3], weight=[2.0, -3.0, 5.0, 0.5], activation="identity")
    found = node_importance(fg.compile(net, executor=executor), [[1.5, 4.0]], integrated=True, baseline=[0.5, 1.0])
    assert found.integrated is not None
    assert found.gap is not None
    assert found.integrated[0].tolist() == pytest.approx([6.0, -4.5, 0.5 * (2 - 9), 1.5], rel=1e-14)
    assert found.gap[0] < 1e-14


def test_integrals_are_the_definition(executor: str) -> None:
    """(13) by a fine midpoint rule, with da/ds by differences along the line."""
    program = fg.compile(network(), executor=executor)
    x, start = np.array([0.9, -1.4]), np.array([-0.3, 0.2])
    found = node_importance(program, x[None], integrated=True, baseline=start, steps=128)
    n = 20_000
    s = (np.arange(n) + 0.5)[:, None] / n
    middle = node_importance(program, start + s * (x - start), each=True).each_gradient
    ends = program.forward(start + np.arange(n + 1)[:, None] / n * (x - start)).a.array
    assert middle is not None
    np.testing.assert_allclose(found.integrated, (middle * np.diff(ends, axis=1)).sum(axis=2), atol=1e-8)


def test_conductance_is_a_sum_over_the_inputs() -> None:
    """Dhamdhere et al.: Σ_i (x_i − x'_i) ∫ ∂y/∂a_v · ∂a_v/∂x_i ds, with ∂a_v/∂x_i from passes of its own."""
    net = fg.topologies.layered([3, 4, 2, 1], activation="tanh", seed=5)
    program = fg.compile(net, executor="python")
    x = np.array([0.7, -1.1, 0.4])
    found = node_importance(program, x[None], integrated=True)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    line = (nodes[:, None] + 1) / 2 * x
    outer = node_importance(program, line, each=True).each_gradient
    for v in net.nodes[3:9]:
        of_v = fg.compile(fg.Network.from_networkx(net.graph, net.inputs, [v]), executor="python")
        inner = node_importance(of_v, line, each=True).each_gradient
        assert inner is not None
        assert outer is not None
        total = sum(x[i] * (weights / 2 * outer[0, net.nodes.index(v)] * inner[0, i]).sum() for i in range(3))
        assert found.integrated is not None
        assert found.integrated[0, net.nodes.index(v)] == pytest.approx(total, abs=1e-7)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
def test_integrals_are_complete(executor: str, activation: str) -> None:
    net = fg.topologies.layered([4, 6, 5, 2], activation=activation, seed=2)
    program = fg.compile(net, executor=executor)
    X, start = np.random.default_rng(1).normal(size=(7, 4)), np.full(4, 0.1)
    found = node_importance(program, X, integrated=True, baseline=start, steps=1024 if activation == "relu" else 64)
    moved = (program.predict(X) - program.predict(start[None])).mean(axis=0)
    level, tolerance = program.plan.level, 5e-3 if activation == "relu" else 1e-7
    assert found.integrated is not None
    assert found.gap is not None
    assert (found.gap < 4 * tolerance).all()
    for depth in range(3):  # every path crosses each layer once
        np.testing.assert_allclose(found.integrated[:, level == depth].sum(axis=1), moved, atol=tolerance)
    np.testing.assert_allclose(np.diag(found.integrated[:, -2:]), moved, rtol=1e-12)  # of an output, exactly


def test_completeness_across_a_cut_of_a_graph_with_skips() -> None:
    program = fg.compile(network(), executor="python")
    found = node_importance(program, [[1.0, -0.5]], outputs=["y1"], integrated=True)
    moved = (program.predict([[1.0, -0.5]]) - program.predict([[0.0, 0.0]]))[0, 0]
    assert found.integrated is not None
    by_name = dict(zip(found.nodes, found.integrated[0].tolist(), strict=True))
    assert by_name["x1"] + by_name["x2"] == pytest.approx(moved, abs=1e-8)
    assert by_name["y2"] == 0.0


def test_importance_for_the_loss(executor: str) -> None:
    program = fg.compile(network(), executor=executor, loss="squared_error")
    X, T = np.random.default_rng(6).normal(size=(2, 5, 2))
    found = node_importance(program, X, T=T, each=True, integrated=True)
    assert found.outputs == ("loss",)
    assert found.each_gradient is not None
    assert found.integrated is not None
    assert found.gap is not None
    grads = program.backward(program.forward(X), T)
    np.testing.assert_array_equal(found.each_gradient[0], grads.da.array)

    def losses(Y: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * ((Y - T) ** 2).sum(axis=1))

    moved = losses(program.predict(X)) - losses(program.predict(np.zeros((5, 2))))
    assert found.integrated[0, :2].sum() == pytest.approx(moved.mean(), abs=1e-7)
    assert found.gap[0] < 1e-6
    assert repr(found).startswith("Importance for the loss")


def test_a_loss_of_all_samples_together_is_not_cut_into_parts(executor: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(passes, "VALUES", 1)
    net = fg.topologies.layered([3, 4, 1], seed=2)
    program = fg.compile(net, executor=executor, loss="cox")
    X = np.random.default_rng(7).normal(size=(8, 3))
    T = np.array([3.0, -1.0, 2.0, 5.0, -4.0, 1.0, 6.0, 2.5])[:, None]
    found = node_importance(program, X, T=T, each=True)
    assert found.each_gradient is not None
    want = program.backward(program.forward(X), T).da.array
    np.testing.assert_allclose(found.each_gradient[0], want, rtol=1e-12, atol=1e-15)
    with pytest.raises(fg.FlowgradError, match=r"sample=2: cox depends on all samples together"):
        node_importance(program, X, T=T, sample=2)
    with pytest.raises(fg.FlowgradError, match=r"integrated=True: cox depends on all samples together"):
        node_importance(program, X, T=T, integrated=True)
    with pytest.raises(fg.FlowgradError, match=r"sample=2: cox"):
        health(program, X, T, sample=2)
    assert node_importance(program, X, sample=2, integrated=True).outputs == program.outputs


def test_a_gap_that_is_not_a_number_is_said() -> None:
    net = fg.Network.from_arrays([0, 1], [1, 2], weight=[1.0, 1.0], activation="log")
    with np.errstate(all="ignore"):
        found = node_importance(fg.compile(net, executor="python"), [[-1.0]], integrated=True)
    assert found.gap is not None
    assert np.isnan(found.gap[0])


def test_float32(executor: str) -> None:
    X = np.random.default_rng(0).normal(size=(50, 2))
    narrow, wide = (
        node_importance(fg.compile(network(), executor=executor, dtype=d), X, integrated=True)
        for d in ("float32", "float64")
    )
    np.testing.assert_allclose(narrow.strength, wide.strength, rtol=1e-5)
    np.testing.assert_allclose(narrow.integrated, wide.integrated, atol=1e-5)


def test_records_top_and_frame() -> None:
    program = fg.compile(network(), executor="python")
    found = node_importance(program, np.random.default_rng(1).normal(size=(9, 2)))
    records = found.records()
    assert len(records) == 12
    strengths = [r["strength"] for r in records if r["output"] == "y2"]
    assert strengths == sorted(strengths, reverse=True)
    hidden = found.top(1, kind="hidden", output="y2")
    assert len(hidden) == 1
    assert hidden[0]["node"] in ("h", "k")
    assert {r["node"] for r in found.top(9, kind="input")} == {"x1", "x2"}
    pandas = pytest.importorskip("pandas")
    table = found.to_frame()
    assert isinstance(table, pandas.DataFrame)
    means = ["gradient", "gradient_sd", "gradient_x_activation", "gradient_x_activation_sd", "strength"]
    assert list(table.columns) == ["output", "node", "kind", *means]
    assert repr(found).splitlines()[0] == "Importance for output y1, 6 of 6 nodes, mean over 9 samples"
    more = node_importance(program, np.ones((2, 2)), classes=["u", "v"], integrated=True).to_frame()
    assert list(more.columns) == ["output", "node", "kind", "class", *means, "integrated", "integrated_sd"]


def test_another_theta_and_a_mapping() -> None:
    program = fg.compile(network(), executor="python")
    X = {"x1": [1.0], "x2": [2.0]}
    still = node_importance(program, X, theta=np.zeros(len(program.theta)))
    assert still.gradient[0].tolist() == [0, 0, 0, 0, 1, 0]


def test_bad_arguments() -> None:
    program = fg.compile(network(), executor="python")
    X = np.ones((1, 2))
    with pytest.raises(UnknownNameError, match="'k' is no output"):
        node_importance(program, X, outputs=["k"])
    with pytest.raises(ConfigError, match="give a list"):
        node_importance(program, X, outputs="y1")
    with pytest.raises(ConfigError, match="one output at least"):
        node_importance(program, X, outputs=[])
    for wrong, words in (
        ({"classes": [1, 2]}, r"classes has shape \(2,\): must be \(1,\)"),
        ({"integrated": True, "steps": 12}, "steps=12: must be a multiple of 8"),
        ({"integrated": True, "baseline": [1.0]}, r"baseline has shape \(1,\): must be \(2,\)"),
        ({"integrated": True, "baseline": {"x1": 1.0, "x3": 2.0}}, "x3"),
        ({"T": [[1.0, 1.0]], "outputs": ["y1"]}, "exclude each other"),
        ({"T": [[1.0, 1.0]]}, "has no loss"),
    ):
        with pytest.raises(fg.FlowgradError, match=words):
            node_importance(program, X, **wrong)
    found = node_importance(program, X, outputs=["y1"])
    with pytest.raises(UnknownNameError, match="'y2' is no output asked for"):
        found.top(output="y2")
    with pytest.raises(UnknownNameError, match="did you mean 'hidden'"):
        found.top(kind="hiden")


@pytest.mark.parametrize("activation", ["sqrt", "log", "reciprocal", "exp"])
def test_a_neuron_that_an_output_does_not_depend_on_has_no_importance_for_it(executor: str, activation: str) -> None:
    """Of several outputs at once, and of integrated gradients, whatever the neuron's value or derivative is."""
    G = nx.DiGraph()
    G.add_edge("x", "h", weight=1.0)
    G.add_edge("h", "y", weight=2.0)
    G.add_edge("h", "side", weight=1e300)
    G.nodes["h"]["activation"] = G.nodes["y"]["activation"] = "identity"
    G.nodes["side"]["activation"] = activation
    net = fg.Network.from_networkx(G, inputs=["x"], outputs=["side", "y"])
    program, X = fg.compile(net, executor=executor), [[0.0], [2.0]]
    for wanted in (["y"], ["side", "y"], ["y", "side"]):
        found = node_importance(program, X, outputs=wanted, integrated=True)
        at = found.outputs.index("y")
        for name, gradient, integral in (("x", 2.0, 2.0), ("h", 2.0, 2.0), ("y", 1.0, 2.0), ("side", 0.0, 0.0)):
            v = found.nodes.index(name)
            assert (found.gradient[at, v], found.activation[at, v]) == (gradient, integral)
            assert found.integrated[at, v] == pytest.approx(integral, rel=1e-12)
