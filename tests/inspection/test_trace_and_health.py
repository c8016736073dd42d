"""Traces that can be replayed and tampering that is found; health that names what is ill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.inspection import health, replay, trace, write_trace
from flowgrad.inspection.local import slopes


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
