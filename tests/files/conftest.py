"""What the tests of files share: both native formats, and one network with everything on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.columns import ABSENT
from flowgrad.plan import Plan

pytest.importorskip("safetensors", reason="weights are files of safetensors")

SUFFIXES = (".json", ".safetensors")


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a network may be saved; a test that takes this runs on both native formats."""
    return tmp_path / f"net{request.param}"


@pytest.fixture
def rich() -> fg.Network:
    """Params, frozen parts, responses, aggregations, extra attributes, and outputs that feed others."""
    G = nx.DiGraph(title="a graph's own attribute", sizes=(1, 2.5), nested={"deep": [None, {"x": b"\xff"}]})
    G.add_node("x", unit="mm")
    G.add_node(2)
    G.add_node(("h", 1), activation="relu", aggregation="max", bias=0.1, response=-1.5)
    G.add_node(("h", 2), activation="tanh", trainable=False, note="bär\n\"'")
    G.add_node("y", activation="identity", bias=np.nextafter(0.1, 1))
    G.add_edge("x", ("h", 1), weight=1 / 3, param="w")
    G.add_edge(2, ("h", 1), weight=1 / 3, param="w", since=1999)
    G.add_edge(2, ("h", 2), weight=-0.0, trainable=False)
    G.add_edge(("h", 1), ("h", 2))
    G.add_edge(("h", 1), "y", weight=5e-324, param=("w", 2))
    G.add_edge(("h", 2), "y", weight=-1.7976931348623157e308)
    return fg.Network.from_networkx(G, inputs=["x", 2], outputs=["y", ("h", 1)], seed=7)


@pytest.fixture
def numbered() -> Callable[[float], fg.Network]:
    """numbered(2.0) is a network of one neuron whose weight and bias are 2.0: a mixture of two would show."""

    def made(value: float) -> fg.Network:
        net = fg.Network()
        net.add_input("x")
        net.add_neuron("y", {"x": value}, bias=value)
        return net

    return made


@pytest.fixture
def same() -> Callable[[Any, Any], None]:
    """Asserts that two networks, or two plans, are the same in every bit and type."""
    return lambda a, b: (assert_same_plan if isinstance(a, Plan) else assert_same)(a, b)


def assert_same(a: fg.Network, b: fg.Network) -> None:
    """`b` came out of a file that `a` went into. Weights that the seed drew are then given ones."""
    p, q = a.columns, b.columns
    for field in dataclasses.fields(p):
        mine, others = getattr(p, field.name), getattr(q, field.name)
        if field.name == "weight":
            mine = p.weights
        if isinstance(mine, np.ndarray):
            assert mine.dtype == others.dtype, field.name
            assert mine.tobytes() == others.tobytes(), field.name
        else:
            assert typed(mine) == typed(others), field.name
    assert a.nodes == b.nodes
    assert_same_plan(fg.compile(a, executor="python").plan, fg.compile(b, executor="python").plan)


def assert_same_plan(a: Plan, b: Plan) -> None:
    for field in dataclasses.fields(a):
        mine, others = getattr(a, field.name), getattr(b, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == others.dtype, field.name
            assert mine.tobytes() == others.tobytes(), field.name
            assert mine.flags.writeable == others.flags.writeable, field.name
        else:
            assert mine == others, field.name


def typed(value: Any) -> Any:
    """The value with its type spelled out at every depth; NaN equal to itself; −0.0 not equal to 0.0."""
    if value is ABSENT:
        return "ABSENT"
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, [(typed(k), typed(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return kind, [typed(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return kind, float(value).hex()
    return kind, value
