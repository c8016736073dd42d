"""The finite differences of KPNN, in the example, agree with the exact importance."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.inspection import node_importance

EXAMPLE = Path(__file__).parents[2] / "examples" / "kpnn" / "importance.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("kpnn_importance", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_two_passes_a_neuron_say_what_one_reverse_pass_says(example: Any) -> None:
    graph = example.wiring(genes=60, hidden=30, edges=300, seed=1)
    net = example.network(graph)
    assert net.columns.n_nodes == 91
    assert net.columns.n_edges == 300
    X = np.random.default_rng(0).random((9, 60))
    moved = example.FiniteDifferences(net, graph).importance(X)
    exact = node_importance(fg.compile(net), X).gradient[0, 60:90]
    np.testing.assert_allclose(moved, exact, atol=1e-6 * np.abs(exact).max())


def test_every_node_of_the_drawn_graph_is_on_a_path(example: Any) -> None:
    graph = example.wiring(genes=200, hidden=80, edges=1500, seed=3)
    assert len(set(zip(graph.source.tolist(), graph.target.tolist(), strict=True))) == 1500
    assert set(graph.source.tolist()) == set(range(280))
    assert set(graph.target.tolist()) == set(range(200, 281))
