"""TensorNEAT's genomes and populations: outputs by hand, and what is never read."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.formats import tensorneat

NAN = [np.nan] * 5
GENES = [[0, 9, 9, 9, 9], [1, 0, 1, 0, 0], [2, 0.25, 0.5, 0, 7], [3, -0.5, 1.5, 1, 1], [4, 0.125, 2, 2, 0], NAN]
LINKS = [[0, 3, 1.5], [1, 3, -2.0], [3, 2, 0.5], [0, 2, 1.5], [1, 4, 3.0], [3, 4, 0.75], [4, 2, -1.25], NAN[:3]]
OPTIONS = {"activation_options": ["tanh", "lelu"], "aggregation_options": ["sum", "product", "max"]}


def by_hand(x: np.ndarray) -> np.ndarray:
    """TensorNEAT's forward of GENES and LINKS: bias + response · aggregation, and no activation at the output."""
    h3 = -0.5 + 1.5 * (1.5 * x[:, 0]) * (-2.0 * x[:, 1])
    h3 = np.where(h3 > 0, h3, 0.005 * h3)
    h4 = np.tanh(0.125 + 2.0 * np.maximum(3.0 * x[:, 1], 0.75 * h3))
    return (0.25 + 0.5 * (0.5 * h3 + 1.5 * x[:, 0] - 1.25 * h4))[:, None]


def test_a_genome_of_tensorneat_computes_what_it_computes_there(tmp_path: Path, executor: str) -> None:
    x = np.random.default_rng(0).standard_normal((7, 2))
    for links in (LINKS, [[u, v, k, w] for k, (u, v, w) in enumerate(LINKS)]):  # with historical markers
        np.savez(tmp_path / "best_genome.npz", nodes=GENES, conns=links, fitness=np.float32(1))
        net = fg.load(tmp_path / "best_genome.npz", "tensorneat", **OPTIONS)
        assert (net.inputs, net.outputs) == ((0, 1), (2,))
        np.testing.assert_allclose(fg.compile(net, executor=executor).predict(x), by_hand(x), rtol=1e-12)


def test_a_population_of_tensorneat_is_the_union_of_its_genomes() -> None:
    rng = np.random.default_rng(1)
    nodes = np.array([GENES] * 5)
    conns = np.array([LINKS] * 5)
    nodes[:, :5, 1] = rng.standard_normal((5, 5))
    conns[:, :7, 2] = rng.standard_normal((5, 7))
    conns[2, 4] = np.nan  # a genome with a connection less
    net = tensorneat.population(nodes, conns, **OPTIONS)
    x = rng.standard_normal((4, 2))
    each = [tensorneat.population(n, c, **OPTIONS) for n, c in zip(nodes, conns, strict=True)]
    wanted = np.hstack([fg.compile(one, executor="python").predict(x) for one in each])
    np.testing.assert_array_equal(fg.compile(net, executor="python").predict(x), wanted)
    assert net.inputs == (0, 1)
    assert net.outputs == tuple((k, 2) for k in range(5))
    slices = fg.compile(net, executor="python").theta_slices
    assert list(map(len, slices)) == [10, 10, 9, 10, 10]
    same = fg.compile(fg.union(each), executor="python")
    np.testing.assert_array_equal(same.predict(x), wanted)


def test_genes_without_a_response(tmp_path: Path) -> None:
    without = np.delete(np.array(GENES), 2, axis=1)
    given = np.array(GENES)
    given[:, 2] = 1.0
    a, b = (tensorneat.population(g, LINKS, **OPTIONS) for g in (without, given))
    assert a.columns.response.tolist() == b.columns.response.tolist()


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {}, "node 3 has activation 1, and activation_options has 1"),
        ({}, {"activation_options": ["tanh", "inv"]}, "TensorNEAT's activation 'inv' is not read"),
        ({}, {"n_inputs": 9}, "n_inputs=9: must be an integer, 1 to 5"),
        ({(5, 0): 3}, OPTIONS, "genome 0 has node 3 twice"),
        ({(3, 1): np.inf}, OPTIONS, "bias"),
        ({(3, 0): 3.5}, OPTIONS, "nodes have a key 3.5"),
        ({(3, 0): 7}, OPTIONS, "3 is neither an input nor has it a node gene"),
        ({(1, 0): np.nan}, OPTIONS | {"n_inputs": 2, "n_outputs": 1}, "genome 0 has no node 1"),
    ],
)
def test_what_is_no_genome_of_tensorneat_is_refused(changes: dict, options: dict, words: str) -> None:
    nodes = np.array(GENES)
    for place, value in changes.items():
        nodes[place] = value
    with pytest.raises(fg.FlowgradError, match=re.escape(words)):
        tensorneat.population(nodes, LINKS, **options)


def test_what_tensorneat_pickles_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "state.pkl"
    path.write_bytes(pickle.dumps({"pop_nodes": GENES}))
    with pytest.raises(fg.errors.FileError, match=r"is a pickle, which runs code when it is read: write np\.savez"):
        fg.load(path, "tensorneat")
    np.savez(tmp_path / "objects.npz", nodes=np.array([{}], object), conns=LINKS)
    with pytest.raises(fg.errors.FileError, match="allow_pickle=False"):
        fg.load(tmp_path / "objects.npz", "tensorneat")
    np.savez(tmp_path / "other.npz", node=GENES, conns=LINKS)
    with pytest.raises(fg.errors.FileError, match="has no array 'nodes': did you mean 'node'"):
        fg.load(tmp_path / "other.npz", "tensorneat")


def test_an_idle_node_is_no_input_by_guess() -> None:
    nodes = [[0, 0, 1, 0, 0], [1, 0, 1, 0, 0], [2, 0.5, 1, 0, 0]]
    with pytest.raises(fg.errors.DataError, match=r"node 1 has no connection.*n_inputs= says which"):
        tensorneat.population(nodes, [[0, 2, 1.0]])
    net = tensorneat.population(nodes, [[0, 2, 1.0]], n_inputs=1, n_outputs=2)
    assert (net.inputs, net.outputs) == ((0,), (1, 2))
