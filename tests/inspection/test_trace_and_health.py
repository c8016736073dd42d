"""Traces that can be replayed and tampering that is found; health that names what is ill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.inspection import explain, health, replay, trace, write_trace
from flowgrad.inspection.local import slopes
from flowgrad.registry import find
from flowgrad.registry import names as find_names


@pytest.fixture
def program(executor: str) -> tuple[fg.Program, np.ndarray, np.ndarray]:
    graph = nx.DiGraph(fg.topologies.random_dag(3, 14, fan_in=3, seed=7).graph)
    for k, v in enumerate(v for v in graph if graph.pred[v]):
        functions = {"activation": ["tanh", "relu", "gelu"][k % 3], "aggregation": ["sum", "max", "product"][k % 3]}
        graph.nodes[v].update(functions, response=0.7)
    net = fg.Network.from_networkx(graph, inputs=[0, 1, 2])
    rng = np.random.default_rng(0)
    compiled = fg.compile(net, executor=executor, loss="squared_error")
    return compiled, rng.standard_normal((3, 3)), rng.standard_normal((3, len(net.outputs)))


def test_a_trace_replays_and_holds_every_value(program, tmp_path: Path) -> None:
    compiled, X, T = program
    path = tmp_path / "trace.jsonl"
    V = len(compiled.labels.nodes)
    assert write_trace(path, trace(compiled, X, T, sample=1)) == 1 + 2 * V
    assert replay(path) == 2 * V
    steps = [json.loads(line) for line in path.read_text().splitlines()]
    acts = compiled.forward(X)
    grads = compiled.backward(acts, T)
    written = {step["backward"]: step["dz"] for step in steps if "backward" in step}
    assert [written[v] for v in range(V)] == grads.dz.array[:, 1].tolist()
    edges = sum(len(step["reads"]) for step in steps if "backward" in step)
    assert edges == compiled.plan.n_edges  # each edge once


def test_a_trace_that_was_altered_is_refused(program, tmp_path: Path) -> None:
    compiled, X, T = program
    path = tmp_path / "trace.jsonl"
    write_trace(path, trace(compiled, X, T))
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines[1:], 1):
        step = json.loads(line)
        for key in ("a", "z", "dz", "da"):
            if key in step and not (step.get("input") and key == "z"):
                changed = step | {key: step[key] + 0.01}
                path.write_text("\n".join([*lines[:number], json.dumps(changed), *lines[number + 1 :]]))
                with pytest.raises(fg.FlowgradError, match=r"line \d+: .* follows"):
                    replay(path)
    path.write_text("\n".join([json.dumps(json.loads(lines[0]) | {"head": 2}), *lines[1:]]))
    with pytest.raises(fg.FlowgradError, match=r"^\S+trace.jsonl: a trace of version 2$"):
        replay(path)
    path.write_text("not json")
    with pytest.raises(fg.FlowgradError, match="is no trace"):
        replay(path)
    with pytest.raises(fg.FlowgradError, match="cannot be read"):
        replay(tmp_path / "absent")
    with pytest.raises(ValueError, match="sample=9"):
        trace(compiled, X, T, sample=9)


def test_health_names_what_is_ill(executor: str) -> None:
    G = nx.DiGraph()
    G.add_edge("x", "good", weight=0.5)
    G.add_edge("x", "dead", weight=1.0)
    G.add_edge("x", "full", weight=80.0)
    G.add_edge("x", "apart", weight=1.0)
    G.add_edge("zero", "good", weight=2.0)
    for v in ("good", "dead", "full"):
        G.add_edge(v, "y", weight=1.0)
    G.nodes["dead"].update(activation="relu", bias=-50.0)
    G.nodes["full"].update(activation="tanh", bias=60.0)
    G.nodes["good"].update(activation="tanh")
    G.nodes["apart"].update(activation="tanh")
    net = fg.Network.from_networkx(G, inputs=["x", "zero"], outputs=["y"])
    program = fg.compile(net, executor=executor, loss="squared_error")
    X = np.column_stack([np.linspace(0.1, 1.0, 5), np.zeros(5)])
    found = health(program, X, np.ones((5, 1)))
    assert found.unreached == ("apart",)
    assert found.dead == ("dead",)
    assert found.saturated == ("full",)
    assert set(found.constant) == {"dead", "full"}  # tanh of 68 and more is 1
    assert {("zero", "good"), ("x", "dead"), ("dead", "y"), ("x", "apart")} <= set(found.silent)
    assert ("x", "good") not in found.silent
    assert not found.well
    assert "dead, σ'(z) = 0 at every sample (1): dead" in repr(found)


def test_health_of_gradients_by_depth(executor: str) -> None:
    def chain(weight: float) -> fg.Program:
        n = 40
        net = fg.Network.from_arrays(range(n), range(1, n + 1), weight=[weight] * n, activation="identity")
        return fg.compile(net, executor=executor, loss="squared_error")

    X, T = np.ones((2, 1)) * [[1.0], [2.0]], np.zeros((2, 1))
    shrinking, growing, even = (health(chain(w), X, T) for w in (0.1, 10.0, 1.0))
    assert shrinking.vanishing
    assert not shrinking.exploding
    assert growing.exploding
    assert even.well
    assert repr(even).startswith("well")
    np.testing.assert_allclose(even.gradient, np.full(41, np.sqrt(2.5)))


def test_a_trace_of_float32_and_of_your_own_functions(tmp_path: Path) -> None:
    half = fg.Activation("half", lambda z: 0.5 * z, lambda z: 0.5)
    graph = nx.DiGraph([("x", "h"), ("x", "y"), ("h", "y")])
    graph.nodes["h"]["activation"] = half
    net = fg.Network.from_networkx(graph, activation="tanh", seed=1)
    path = tmp_path / "trace.jsonl"
    narrow = fg.compile(net, executor="python", dtype="float32", loss="squared_error")
    write_trace(path, trace(narrow, [[0.3]], [[1.0]]))
    assert replay(path, activations=[half]) == 6
    with pytest.raises(fg.FlowgradError, match=r"line 3: .*half"):
        replay(path)
    with pytest.raises(fg.FlowgradError, match="cannot be written"):
        write_trace(tmp_path / "no" / "trace.jsonl", trace(narrow, [[0.3]], [[1.0]]))


def test_a_wrong_backward_is_found_by_the_replay(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, X, T = program
    plain = compiled.backward

    def wrong(*given, **named):
        grads = plain(*given, **named)
        da = grads.da.array.copy()
        da[compiled.plan.outputs[0]] *= 1.001
        return replace(grads, _adjoint=replace(grads._adjoint, da=da))

    monkeypatch.setattr(compiled, "backward", wrong)
    write_trace(tmp_path / "trace.jsonl", trace(compiled, X, T))
    with pytest.raises(fg.FlowgradError, match=r"∂L/∂a is .* follows"):
        replay(tmp_path / "trace.jsonl")


def test_slopes_are_those_of_the_functions(program) -> None:
    compiled, X, _ = program
    acts = compiled.forward(X)
    plan, z = compiled.plan, acts.z.array
    found = slopes(compiled, acts)
    for v in range(plan.n_nodes):
        df = plan.activations[plan.activation[v]].df if plan.activation[v] >= 0 else lambda z: 1.0
        np.testing.assert_allclose(found[v], [df(np.float64(value)) for value in z[v]], rtol=1e-12)


def test_an_edge_that_never_wins_has_no_effect(executor: str) -> None:
    graph = nx.DiGraph()
    graph.add_edge("a", "m", weight=1.0)
    graph.add_edge("b", "m", weight=0.1)
    graph.add_edge("m", "y", weight=1.0)
    graph.nodes["m"].update(aggregation="max", activation="identity")
    net = fg.Network.from_networkx(graph, inputs=["a", "b"])
    found = health(fg.compile(net, executor=executor, loss="squared_error"), [[1.0, 2.0], [2.0, 1.0]], [[0.0], [0.0]])
    assert found.silent == (("b", "m"),)
    assert found.nodes.tolist() == [2, 1, 1]


def _chain(*activations: str | fg.Activation, weight: float = 1.0, executor: str = "auto") -> fg.Program:
    """x → 1 → 2 …, each of weight `weight`."""
    n = len(activations)
    net = fg.Network.from_arrays(range(n), range(1, n + 1), weight=[weight] * n, activation=["", *activations])
    return fg.compile(net, executor=executor, loss="squared_error")


BOUNDED = [f for f in find_names("activations") if find("activations", f).range is not None]
FLAT = ("step", "sign")  # everywhere
PERIODIC = ("sin", "cos", "neat-sin", "wann-sin", "wann-cos")  # which have no end that z could move towards


@pytest.mark.covering(name=[f for f in BOUNDED if f not in (*FLAT, *PERIODIC)], z=[(-4e4, -2e6), (3e3, 5e5)])
def test_every_bounded_activation_saturates_by_itself(name: str, z: tuple[float, float]) -> None:
    """Anywhere in the net, alone or not, whatever other samples there are, also where σ' underflows to 0."""
    alone = health(_chain(name, "identity"), np.reshape(z, (2, 1)), [[0.0], [0.5]])
    assert alone.saturated == (1,)
    as_output = health(_chain("identity", name), np.reshape(z, (2, 1)), [[0.0], [0.5]])
    assert as_output.saturated == (2,)
    with_an_open_one = health(_chain(name, "identity"), np.reshape([*z, 0.4], (3, 1)), [[0.0], [0.5], [0.1]])
    assert with_an_open_one.saturated == ()


@pytest.mark.parametrize("name", [*FLAT, "identity", "log", "sqrt", "square", "cube", "leaky_relu", "abs"])
def test_functions_without_a_flat_end_never_saturate(name: str) -> None:
    for z in ([[1e4], [2e4]], [[1e-5], [1e-6]]):
        assert health(_chain(name, "identity"), z, [[0.0], [0.5]]).saturated == ()


@pytest.mark.parametrize("name", ["elu", "softplus", "gelu", "silu", "mish", "selu", "exp"])
def test_unbounded_functions_saturate_where_they_have_arrived_at_a_limit(name: str) -> None:
    found = health(_chain(name, "identity"), [[-14.0], [-20.0]], [[0.0], [0.5]])
    assert found.saturated == (1,)
    assert health(_chain(name, "identity"), [[-14.0], [-0.4]], [[0.0], [0.5]]).saturated == ()


def test_a_dead_relu_is_dead_and_not_saturated(executor: str) -> None:
    found = health(_chain("relu", "identity", executor=executor), [[-1.0], [-2.0]], [[0.0], [0.5]])
    assert (found.dead, found.saturated) == ((1,), ())


def test_an_activation_of_your_own_is_judged_by_its_own_range() -> None:
    wide = fg.Activation(
        "wide", lambda z: np.tanh(z / 1000), lambda z: (1 - np.tanh(z / 1000) ** 2) / 1000, range=(-1.0, 1.0)
    )
    assert health(_chain(wide, "identity"), [[50.0], [40.0]], [[0.0], [0.5]]).saturated == ()
    assert health(_chain(wide, "identity"), [[9000.0], [8000.0]], [[0.0], [0.5]]).saturated == (1,)


@pytest.mark.parametrize("aggregation", ["max", "min", "median", "max_abs", "product", "sum", "mean"])
def test_what_cancels_over_samples_outputs_or_paths_is_no_weight_without_effect(
    aggregation: str, executor: str
) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("m", {"x": 1.0}, activation="identity", aggregation=aggregation)
    net.add_neuron("p", {"m": 1.0}, activation="identity")
    net.add_neuron("q", {"m": -1.0}, activation="identity")
    net.add_neuron("y", {"p": 1.0, "q": 1.0}, activation="identity")  # p and q cancel
    net.set_outputs(["y", "m"])
    program = fg.compile(net, executor=executor, loss="squared_error")
    over_samples = health(program, [[1.0], [-1.0]], [[0.0, 0.0], [0.0, -2.0]])
    assert over_samples.silent == ()
    met = program.predict([[1.0], [-1.0]])
    assert health(program, [[1.0], [-1.0]], met).silent == ()  # ∂L/∂y is 0: the targets are met, and that is no illness


def test_an_edge_whose_factors_are_0_in_turns_has_no_effect(executor: str) -> None:
    """At one sample its source is 0, at the other its target's slope: never both not."""
    net = fg.Network()
    net.add_input("x")
    net.add_input("switch")
    net.add_neuron("h", {"x": 1.0, "switch": 1.0}, activation="relu")
    net.set_outputs(["h"])
    program = fg.compile(net, executor=executor, loss="squared_error")
    found = health(program, [[0.0, 1.0], [1.0, -5.0]], [[9.0], [9.0]])
    assert found.silent == (("x", "h"),)


def test_one_sample_or_inputs_that_never_vary_make_no_neuron_constant(executor: str) -> None:
    program = _chain("tanh", "identity", executor=executor)
    assert health(program, [[0.3]], [[1.0]]).constant == ()
    assert health(program, [[0.3], [0.3]], [[1.0], [2.0]]).constant == ()
    assert health(program, [[0.3], [0.3]], [[1.0], [2.0]]).well
    assert health(_chain("relu", "identity", executor=executor), [[-1.0], [-2.0]], [[1.0], [2.0]]).constant == (1, 2)


def test_levels_that_reach_no_output_do_not_make_gradients_vanish(executor: str) -> None:
    G = nx.DiGraph([("x", "y"), ("x", "a"), ("a", "b"), ("b", "c")])
    net = fg.Network.from_networkx(G, inputs=["x"], outputs=["y"], activation="tanh")
    found = health(fg.compile(net, executor=executor, loss="squared_error"), [[1.0], [2.0]], [[0.0], [0.5]])
    assert found.reached.tolist() == [1, 1, 0, 0]
    assert set(found.unreached) == {"a", "b", "c"}
    assert not found.vanishing
    assert not found.exploding


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_gradients_of_any_size_are_compared(scale: float, executor: str) -> None:
    found = health(_chain("identity", "identity", executor=executor), [[0.0], [0.0]], [[scale], [2 * scale]])
    assert not found.vanishing
    assert not found.exploding
    np.testing.assert_allclose(found.gradient, np.sqrt(2.5) * scale)


def test_nodes_that_are_not_finite_are_named(executor: str) -> None:
    program = _chain("exp", "identity", executor=executor)
    found = health(program, [[1.0], [1000.0], [np.nan]], [[0.0]] * 3)
    assert found.nonfinite == (0, 1, 2)
    assert "not finite at some sample (3): 0, 1, 2" in repr(found)
    assert (found.dead, found.saturated, found.constant, found.silent) == ((), (), (), ())
    assert not found.well


@pytest.mark.parametrize("activation", ["sqrt", "log", "reciprocal", "exp"])
def test_traces_and_explanations_multiply_nothing_in_that_takes_no_part(
    executor: str, activation: str, tmp_path: Path
) -> None:
    graph = nx.DiGraph([("x", "h"), ("h", "y"), ("h", "side"), ("side", "deep"), ("h", "both"), ("side", "both")])
    nx.set_edge_attributes(graph, 1e300, "weight")
    nx.set_edge_attributes(graph, {("x", "h"): 1.0, ("h", "y"): 2.0}, "weight")
    nx.set_node_attributes(graph, dict.fromkeys(("h", "y", "both"), "identity"), "activation")
    nx.set_node_attributes(graph, {"side": activation, "deep": "square"}, "activation")
    graph.nodes["both"]["aggregation"] = "product"
    net = fg.Network.from_networkx(graph, inputs=["x"], outputs=["y"])
    compiled = fg.compile(net, executor=executor, loss="squared_error")
    for x in (0.0, 2.0):
        write_trace(tmp_path / "trace.jsonl", trace(compiled, [[x]], [[1.0]]))
        assert replay(tmp_path / "trace.jsonl") == 2 * len(net.nodes)
        said = str(explain(compiled, [[x]], [[1.0]], "h"))
        assert f"Σ over 3 successors = {2 * (2 * x - 1):g}" in said
        assert "nan" not in said.partition("(10)")[2]
