"""What goes into a file comes out: every bit of a number, every type of an id, every attribute."""

from __future__ import annotations

import enum
import math
import pickle
from collections import namedtuple
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.errors import GraphError
from flowgrad.formats._values import DEPTH, decode, encode
from flowgrad.testing.strategies import IDS, Opaque, networks

KEPT = tuple(kind for kind in IDS if kind != "unorderable")

ids = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.binary(max_size=8)
    | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner | st.none(), max_size=3).map(tuple),
    max_leaves=5,
)
attributes = st.recursive(
    ids | st.just(math.nan) | st.builds(np.float32, st.floats(width=32)) | st.builds(np.int64, st.integers(-9, 9)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ids, inner, max_size=3),
    max_leaves=6,
)


def chain(names: list) -> fg.Network:
    net = fg.Network()
    net.add_input(names[0])
    for u, v in pairwise(names):
        net.add_neuron(v, [u])
    return net


def test_everything_on_a_network_comes_back(rich, path, same):
    fg.save(rich, path)
    same(rich, fg.load(path))


@given(net=networks(ids=KEPT))
def test_random_networks_come_back(net, path, same):
    fg.save(net, path)
    same(net, fg.load(path))


@given(names=st.lists(ids, min_size=2, max_size=8, unique=True))
def test_ids_keep_their_types(names, path, same):
    net = chain(names)
    fg.save(net, path)
    same(net, fg.load(path))


@given(value=attributes)
def test_attributes_keep_their_types(value, path, same):
    G = nx.DiGraph([("x", "h"), ("h", "y")], about=value)
    G.nodes["h"]["about"] = value
    G.edges["h", "y"]["about"] = value
    net = fg.Network.from_networkx(G)
    fg.save(net, path)
    same(net, fg.load(path))


@pytest.mark.parametrize(
    "name",
    [
        *("", "x" * 4096, "\n\r\t\0\"'\\", "\u2028\u202e", "e\u0301", "\ud800", "\ud83d\ude00", "😀", "\udcff" * 3),
        *(2**63, -(2**63) - 1, 10**4000, True, False, 0, 0.0, -0.0, 1e308, math.inf, -math.inf, b"\0\xff"),
        *((), ((),), ("a", (1, (2.5, (b"z", None)))), np.int64(3), np.float32(0.1), np.bool_(True)),
    ],
    ids=lambda name: type(name).__name__,
)
def test_odd_ids(name, path, same):
    net = chain(["in", name, "out"])
    fg.save(net, path)
    same(net, fg.load(path))


def test_an_int_of_any_length_and_none_are_values():
    for value in (10**5000, -(10**5000), None, (None,)):
        assert decode(encode(value)) == value


def test_nan_as_an_id_comes_back_as_nan(path):
    fg.save(chain(["in", math.nan, "out"]), path)
    assert [type(i) for i in fg.load(path).columns.ids] == [str, float, str]


class Colour(enum.IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (Opaque(5), "Opaque"),
        (Colour.RED, "Colour"),
        (Point(1, 2), "Point"),
        (frozenset({1}), "frozenset"),
        (1j, "complex"),
        (("a", Point(1, 2)), "Point"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_an_id_of_another_type_is_refused_by_name(name, said, path):
    with pytest.raises(GraphError, match=f"id 2 of 3 is .*of type {said}"):
        fg.save(chain(["in", name, "out"]), path)
    assert not list(path.parent.iterdir())


def test_an_attribute_of_another_type_is_refused_by_node_and_name(path):
    G = nx.DiGraph([("x", "h")])
    G.nodes["h"]["colour"] = object()
    with pytest.raises(GraphError, match=r"attribute colour of node 'h' is <object.*of type object"):
        fg.save(fg.Network.from_networkx(G), path)
    del G.nodes["h"]["colour"]
    G.edges["x", "h"]["when"] = {"a": np.arange(3)}
    with pytest.raises(GraphError, match=r"attribute when of edge 'x' → 'h'.*of type ndarray"):
        fg.save(fg.Network.from_networkx(G), path)
    del G.edges["x", "h"]["when"]
    G.graph["f"] = len
    with pytest.raises(GraphError, match=r"attribute 1 of the graph.*of type builtin_function"):
        fg.save(fg.Network.from_networkx(G), path)
    assert not list(path.parent.iterdir())


def test_an_attribute_nested_without_end_is_refused(path):
    endless: list = []
    endless.append(endless)
    G = nx.DiGraph([("x", "h")], loop=endless)
    with pytest.raises(GraphError, match=f"nested more than {DEPTH} deep"):
        fg.save(fg.Network.from_networkx(G), path)


def test_the_deepest_id_that_is_kept_comes_back():
    value: object = 1
    for _ in range(DEPTH):
        value = (value,)
    assert decode(encode(value)) == value
    with pytest.raises(TypeError):
        encode((value,))


def test_weights_that_the_seed_drew_are_written_down(path):
    net = chain(list("abc"))
    fg.save(net, path)
    loaded = fg.load(path)
    assert np.isnan(net.columns.weight).all()
    assert loaded.columns.weight.tobytes() == net.columns.weights.tobytes()


def test_a_trained_network_comes_back(executor, path):
    rng = np.random.default_rng(1)
    program = fg.compile(fg.topologies.layered([3, 4, 2], skips=1), executor=executor)
    program.theta = rng.standard_normal(len(program.theta))
    X = rng.standard_normal((5, 3))
    fg.save(program.network(), path)
    again = fg.compile(fg.load(path), executor=executor)
    assert again.theta.tobytes() == program.theta.tobytes()
    assert again.predict(X).tobytes() == program.predict(X).tobytes()


@pytest.mark.parametrize("share", [True, False])
def test_a_union_comes_back_with_its_parts(share, path, same):
    nets = [fg.topologies.random_dag(2, 5 + k, fan_in=2, seed=k) for k in range(3)]
    union = fg.union([fg.union(nets[:2], share_inputs=share), nets[2]], share_inputs=share)
    fg.save(union, path)
    loaded = fg.load(path)
    same(union, loaded)
    slices = [fg.compile(net, executor="python").theta_slices for net in (union, loaded)]
    assert len(slices[0]) == 2
    for mine, others in zip(*slices, strict=True):
        np.testing.assert_array_equal(np.r_[mine], np.r_[others])


def test_a_network_without_edges_comes_back(path, same):
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("bias only", bias=2.0)
    fg.save(net, path)
    same(net, fg.load(path))


def test_neurons_by_number_stay_compact(path, same):
    net = fg.topologies.random_dag(100, 2_000, fan_in=5)
    fg.save(net, path)
    loaded = fg.load(path)
    assert isinstance(loaded.columns.ids, range)
    same(net, loaded)
    E, V = net.columns.n_edges, net.columns.n_nodes
    assert sum(f.stat().st_size for f in path.parent.iterdir()) < 20 * E + 40 * V + 4_000


def test_the_same_network_is_the_same_bytes(rich, path):
    written = []
    for _ in range(5):
        fg.save(rich, path)
        written.append({f.name: f.read_bytes() for f in path.parent.iterdir()})
    assert all(files == written[0] for files in written)
    fg.save(fg.load(path), path)
    assert {f.name: f.read_bytes() for f in path.parent.iterdir()} == written[0]


def test_a_network_can_be_changed_after_loading(rich, path):
    fg.save(rich, path)
    net = fg.load(path)
    net.add_neuron("more", ["x"])
    fg.save(net, path)
    assert "more" in fg.load(path).nodes


@given(net=networks(ids=KEPT))
def test_networks_and_plans_pickle(net, same):
    same(net, pickle.loads(pickle.dumps(net)))
    plan = fg.compile(net, executor="python").plan
    same(plan, pickle.loads(pickle.dumps(plan)))


def test_real_paths_of_every_kind(rich, tmp_path, same, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("net.json", Path("net.safetensors"), "UPPER.JSON", "a.b.json", ".json", "ü ñ.json"):
        fg.save(rich, path)
        same(rich, fg.load(path))
    fg.save(rich, "no suffix", format="json")
    same(rich, fg.load("no suffix", format="json"))


def test_many_edges_come_back(path, request):
    """A million in nightly runs."""
    neurons = 100_000 if request.config.getoption("--soak") else 10_000
    net = fg.topologies.random_dag(1_000, neurons, fan_in=10, seed=1)
    fg.save(net, path)
    loaded = fg.load(path)
    assert loaded.columns.n_edges == 10 * neurons
    assert loaded.columns.weights.tobytes() == net.columns.weights.tobytes()
    assert loaded.columns.source.tobytes() == net.columns.source.tobytes()
