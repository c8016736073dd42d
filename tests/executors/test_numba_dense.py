"""Dense runs of the Numba executor beside all that may stand around them, against the Python executor."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba import layout
from flowgrad.executors._numba.part import whole
from flowgrad.plan import lower


def mixed(seed: int) -> fg.Network:
    """Layers that are whole, with skips, odd neurons, outputs inside, and parameters frozen and shared."""
    rng = np.random.default_rng(seed)
    G: Any = nx.DiGraph()
    nodes = [("x", i) for i in range(int(rng.integers(5, 12)))]
    G.add_nodes_from(nodes)
    for layer in range(int(rng.integers(2, 5))):
        chosen = np.sort(rng.choice(len(nodes), min(int(rng.integers(6, 45)), len(nodes)), replace=False))
        sources = [nodes[k] for k in chosen]
        if rng.random() < 0.5:
            rng.shuffle(sources)
        made = []
        for j in range(int(rng.integers(3, 70))):
            v = (f"n{layer}", j)
            G.add_node(
                v, activation=str(rng.choice(["tanh", "sigmoid"])) if layer else "gaussian", bias=float(rng.normal())
            )
            odd = rng.random() < 0.05
            if odd:
                G.nodes[v].update({"response": 0.5} if rng.random() < 0.5 else {"aggregation": "max"})
            for k, u in enumerate(sources):
                G.add_edge(u, v, weight=float(rng.normal() / len(sources) ** 0.5))
                if rng.random() < 0.02:
                    G.edges[u, v]["trainable"] = False
                elif rng.random() < 0.02 and layer == 0:
                    G.edges[u, v]["param"] = f"shared{k % 3}"
                    G.edges[u, v]["weight"] = 0.1
            if rng.random() < 0.1:
                extra = nodes[int(rng.integers(len(nodes)))]
                G.add_edge(extra, v, weight=0.1)
            made.append(v)
        nodes += made
    ends = [v for v in nodes if G.out_degree(v) == 0 and v[0] != "x"]
    inside = [v for v in nodes if G.out_degree(v) and v[0] != "x"][:3]
    return fg.Network.from_networkx(G, inputs=[v for v in nodes if v[0] == "x"], outputs=[*inside, *ends])


def largest(found: Any, want: Any) -> float:
    return float(np.abs(np.asarray(found) - want).max(initial=0.0) / max(np.abs(want).max(initial=0.0), 1e-30))


@pytest.mark.covering(seed=range(12), dtype=["float64", "float32"])
def test_dense_runs_give_the_numbers_of_the_definition(seed: int, dtype: str) -> None:
    net = mixed(seed)
    rng = np.random.default_rng(seed)
    batch = [1, 3, 33, 70, 130, 270][seed % 6]
    X, T = rng.standard_normal((batch, len(net.inputs))), rng.standard_normal((batch, len(net.outputs)))
    weight = rng.random(batch) + 0.5
    slow = fg.compile(net, executor="python", loss="squared_error")
    acts = slow.forward(X)
    want = slow.backward(acts, T, sample_weight=weight)
    assert want.loss is not None
    bar = {"float64": 1e-12, "float32": 2e-5}[dtype]
    p = fg.compile(net, executor="numba", dtype=dtype, loss="squared_error", threads=1 + seed % 3)
    value, gradient = p.value_and_grad(p.theta, X, T, sample_weight=weight)
    assert abs(value - want.loss) <= bar * abs(want.loss)
    assert largest(gradient, want.theta) <= bar
    assert largest(p.predict(X), acts.output) <= bar
    found = p.backward(p.forward(X), T, sample_weight=weight)
    for name in ("dz", "da"):
        assert largest(getattr(found, name).array, getattr(want, name).array) <= bar, name
    assert largest(found.theta, want.theta) <= bar


def test_the_networks_of_this_file_have_dense_runs_and_single_edges() -> None:
    found = [layout.layout(lower(mixed(seed)), whole(lower(mixed(seed)))).arrays for seed in range(12)]
    dense = [l for l in found if len(l["dense"])]
    assert len(dense) >= 8
    assert sum(len(l["out_edge"]) > 0 for l in dense) >= 8
    records = [l["dense"] for l in dense]
    assert any((each["inputs"] > 0).any() and (each["inputs"] < each["sources"]).any() for each in records)


@pytest.mark.parametrize("threads", [2, 4, 8])
def test_dense_runs_give_the_same_bits_for_any_number_of_threads(threads: int) -> None:
    net = fg.topologies.layered([30, 70, 40, 5], activation="tanh", seed=3)
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((200, 30)), rng.standard_normal((200, 5))
    one, many = (fg.compile(net, executor="numba", loss="squared_error", threads=n) for n in (1, threads))
    a, b = one.value_and_grad(one.theta, X, T), many.value_and_grad(one.theta, X, T)
    assert a[0] == b[0]
    assert a[1].tobytes() == b[1].tobytes()
