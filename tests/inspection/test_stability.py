"""Controls that keep what they say they keep; studies that lose nothing and redo nothing; statistics held to SciPy."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, FileError, NonFiniteError, UnknownNameError
from flowgrad.inspection import Stability, importance_stability
from flowgrad.inspection.controls import deterministic_inputs, fresh, shuffled_graph, shuffled_labels
from flowgrad.inspection.ranks import above, correlations, ranks, signed_rank
from flowgrad.inspection.study import CONTROLS
from flowgrad.inspection.workers import in_processes

FIT = {"epochs": 3, "batch_size": 16, "learning_rate": 0.05}


def network(seed: int = 0) -> fg.Network:
    return fg.topologies.layered([3, 5, 4, 1], activation="tanh", skips=1, seed=seed)


def samples(n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(1).normal(size=(n, 3))
    return X, np.tanh(X[:, :1] - X[:, 1:2])


# ---- statistics ----------------------------------------------------------------------------------------------


def test_ranks_and_tests_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for size in (4, 9, 30):
        a, b = rng.integers(0, 6, size=(2, size, 5)).astype(float)
        np.testing.assert_array_equal(ranks(a), stats.rankdata(a, axis=1))
        wanted = [[stats.spearmanr(x, y).statistic for y in b[:, :].tolist()] for x in a.tolist()] if size < 9 else None
        if wanted is not None:
            found = correlations(a, b)
            known = ~np.isnan(wanted)
            np.testing.assert_allclose(found[known], np.array(wanted)[known], atol=1e-12)
            assert (found[~known] == 0).all()
        pairs = [(a[i] > b[j]) + 0.5 * (a[i] == b[j]) for i in range(size) for j in range(size) if i != j]
        np.testing.assert_allclose(above(a, b), np.mean(pairs, axis=0), rtol=1e-13)


def test_columns_that_are_all_alike_do_not_differ() -> None:
    assert above(np.ones((4, 2)), np.ones((4, 2))).tolist() == [0.5, 0.5]
    assert signed_rank(np.ones((4, 2)), np.ones((4, 2))).tolist() == [1.0, 1.0]


def _stability(**shares: np.ndarray) -> Stability:
    runs = len(next(iter(shares.values())))
    given = {name.replace("_", " "): values for name, values in shares.items()}
    return Stability(("a", "b", "c"), tuple(range(runs)), given, {name: np.ones(runs) for name in given})


def test_runs_that_agree_agree_and_what_the_control_shows_is_not_the_datas() -> None:
    order = np.array([0.6, 0.3, 0.1])
    found = _stability(trained=np.tile(order, (8, 1)), shuffled_labels=np.tile(order[::-1], (8, 1)))
    assert (found.agreement().value, found.agreement().high) == pytest.approx((1.0, 1.0))
    assert (found.likeness("shuffled labels").value, found.likeness("shuffled labels").low) == pytest.approx(
        (-1.0, -1.0)
    )
    assert found.agreement().low > found.likeness("shuffled labels").high
    first = found.records()[0]
    assert (first["node"], first["rank"], first["share_sd"], first["above shuffled labels"]) == ("a", 1.0, 0.0, 1.0)
    assert first["p shuffled labels"] == 2 ** (1 - 8)
    assert found.records()[1]["above shuffled labels"] == 0.5
    assert found.sentence.startswith("Two runs agree on the order of the 3 nodes with ρ = 1.00 [")
    with pytest.raises(UnknownNameError, match="did you mean 'shuffled labels'"):
        found.likeness("shuffled label")


def test_rows_are_sorted_by_what_the_controls_do_not_explain() -> None:
    ours = np.tile([0.5, 0.3, 0.2], (8, 1))
    found = _stability(trained=ours, graph=np.tile([0.5, 0.25, 0.25], (8, 1)), labels=np.tile([0.3, 0.4, 0.1], (8, 1)))
    rows = found.records()
    assert [row["node"] for row in rows] == ["a", "c", "b"]  # 0, −0.05, −0.1
    assert [row["excess"] for row in rows] == pytest.approx([0.0, -0.05, -0.1])
    alone = _stability(trained=ours).records()
    assert [row["node"] for row in alone] == ["a", "b", "c"]
    assert [row["excess"] for row in alone] == pytest.approx([0.5, 0.3, 0.2])


def test_ranks_range_from_the_best_to_the_worst_run() -> None:
    values = np.tile([0.5, 0.3, 0.2], (8, 1))
    values[5] = [0.1, 0.5, 0.4]
    rows = {row["node"]: row for row in _stability(trained=values).records()}
    assert (rows["a"]["rank_low"], rows["a"]["rank_high"], rows["b"]["rank_high"]) == (1.0, 3.0, 2.0)


# ---- controls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_graph_keeps_degrees_levels_and_inputs(seed: int) -> None:
    net = fg.topologies.random_dag(6, 40, fan_in=3, seed=seed)
    other = shuffled_graph(net, seed)
    assert other.nodes == net.nodes
    assert other.inputs == net.inputs
    assert dict(other.graph.in_degree) == dict(net.graph.in_degree)
    assert dict(other.graph.out_degree) == dict(net.graph.out_degree)
    assert (other.columns.level == net.columns.level).all()
    assert set(other.graph.edges) != set(net.graph.edges)
    from_inputs = [Counter(u in n.inputs for u in n.graph.pred[v]) for n in (net, other) for v in net.nodes]
    assert from_inputs[: len(net.nodes)] == from_inputs[len(net.nodes) :]
    again = shuffled_graph(net, seed)
    assert list(again.graph.edges) == list(other.graph.edges)


def test_a_graph_without_room_stays_as_it_is() -> None:
    full = fg.topologies.layered([3, 4, 2], seed=0)
    assert set(shuffled_graph(full, 1).graph.edges) == set(full.graph.edges)


def test_fresh_weights_leave_frozen_ones() -> None:
    import networkx as nx

    G = nx.DiGraph()
    G.add_edge("x", "h", weight=0.25, trainable=False)
    G.add_edge("h", "y", weight=0.5)
    G.nodes["h"].update(bias=2.0, trainable=False)
    G.nodes["y"].update(bias=3.0)
    net = fresh(fg.Network.from_networkx(G), seed=7)
    assert net.graph.edges["x", "h"]["weight"] == 0.25
    assert net.graph.edges["h", "y"]["weight"] != 0.5
    assert (net.graph.nodes["h"]["bias"], net.graph.nodes["y"]["bias"]) == (2.0, 0.0)
    assert fresh(net, 8).graph.edges["h", "y"]["weight"] != net.graph.edges["h", "y"]["weight"]


def test_labels_are_dealt_anew_and_inputs_say_the_answer() -> None:
    T = np.arange(20.0)[:, None]
    dealt = shuffled_labels(T, 3)
    assert sorted(dealt[:, 0]) == sorted(T[:, 0])
    assert (dealt != T).any()
    said = deterministic_inputs(np.array([[1.0], [3.0], [3.0], [1.0]]), 5, 1, seed=0)
    assert said.tolist() == [[-1.0] * 5, [1.0] * 5, [1.0] * 5, [-1.0] * 5]
    classes = np.array([0, 1, 2, 2])
    by_class = deterministic_inputs(classes, 7, 3, seed=0)
    one_hot = np.eye(3)[classes]
    standard = (one_hot - one_hot.mean(axis=0)) / one_hot.std(axis=0)
    which = [int(np.flatnonzero((standard == column[:, None]).all(axis=0))[0]) for column in by_class.T]
    assert sorted(Counter(which).values()) == [2, 2, 3]


# ---- studies -------------------------------------------------------------------------------------------------


def test_a_study_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    net, (X, T) = network(), samples()
    options: dict[str, Any] = {"fit": FIT, "workers": 1, "executor": "numba"}
    whole = importance_stability(net, X, T, seeds=7, **options)
    done: list[tuple[str, int]] = []

    def stop(run: Any) -> None:
        done.append((run.condition, run.seed))
        if len(done) == 5:
            raise KeyboardInterrupt

    folder = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        importance_stability(net, X, T, seeds=7, folder=folder, on_run=stop, **options)
    assert len(list(folder.glob("*.npz"))) == 5
    rest = importance_stability(
        net, X, T, seeds=7, folder=folder, on_run=lambda run: done.append((run.condition, run.seed)), **options
    )
    assert len(done) == len(set(done)) == 28  # nothing lost, nothing redone
    for name in ("trained", *CONTROLS):
        np.testing.assert_array_equal(rest.shares[name], whole.shares[name])
        np.testing.assert_array_equal(rest.losses[name], whole.losses[name])
    more = importance_stability(
        net, X, T, seeds=[*range(7), 9], controls=["shuffled labels"], folder=folder,
        on_run=lambda run: done.append((run.condition, run.seed)), **options,
    )  # fmt: skip
    assert done[28:] == [("trained", 9), ("shuffled labels", 9)]
    assert len(more.shares["trained"]) == 8
    assert rest.nodes == net.nodes[3:12]
    np.testing.assert_allclose(rest.shares["trained"].sum(axis=1), 1.0)
    assert len(rest.to_frame()) == 9


def test_processes_give_the_bits_of_one(tmp_path: Path) -> None:
    net, (X, T) = network(), samples()
    options: dict[str, Any] = {"seeds": 7, "controls": ["shuffled graph"], "executor": "python"}
    options["fit"] = FIT | {"validation": 0.25}
    one = importance_stability(net, X, T, workers=1, **options)
    two = importance_stability(net, X, T, workers=2, folder=tmp_path / "s", **options)
    for name in one.shares:
        np.testing.assert_array_equal(one.shares[name], two.shares[name])
    assert not list(tmp_path.glob("s/.*"))


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    net, (X, T) = network(), samples()
    options: dict[str, Any] = {"seeds": 7, "controls": (), "workers": 1, "folder": tmp_path / "s"}
    importance_stability(net, X, T, fit=FIT, **options)
    for change, words in (
        ({"network": network(seed=1)}, "network differ"),
        ({"X": X + 1e-9}, "samples differ"),
        ({"fit": FIT | {"epochs": 4}}, "settings differ"),
    ):
        given: dict[str, Any] = {"network": net, "X": X, "T": T, "fit": FIT} | change
        with pytest.raises(ConfigError, match=words):
            importance_stability(**given, **options)
    (tmp_path / "s" / "trained-0.npz").write_bytes(b"PK")
    with pytest.raises(FileError, match=r"trained-0\.npz is damaged.*delete it"):
        importance_stability(net, X, T, fit=FIT, **options)
    (tmp_path / "s" / "study.json").write_text("[1]")
    with pytest.raises(FileError, match="no JSON of a study"):
        importance_stability(net, X, T, fit=FIT, **options)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(FileError, match="a folder of other things"):
        importance_stability(net, X, T, fit=FIT, **(options | {"folder": tmp_path / "other"}))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"seeds": 6}, ConfigError, "6 seeds are too few for a 95 % interval that holds: give 7 or more"),
        ({"seeds": [0, 9]}, ConfigError, "2 seeds are too few"),
        ({"seeds": 2.5}, ConfigError, "seeds=2.5: must be an integer"),
        ({"seeds": [3] * 99}, ConfigError, "give each once"),
        ({"controls": ["shuffled grph"]}, UnknownNameError, "did you mean 'shuffled graph'"),
        ({"controls": "shuffled graph"}, ConfigError, "give a list"),
        ({"kind": "output"}, UnknownNameError, "unknown kind of node 'output'"),
        ({"fit": {"seed": 1}}, ConfigError, "fit holds a seed"),
        ({"loss": "mse"}, UnknownNameError, "unknown loss 'mse'"),
        ({"workers": 0}, ConfigError, "workers=0"),
        ({"fit": {"learning_rate": 1e300, "optimizer": "sgd"}}, NonFiniteError, "epoch 2"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    X, T = samples()
    with pytest.raises(error, match=words):
        importance_stability(network(), X, T, **({"workers": 1} | options))


def test_an_order_takes_two_neurons() -> None:
    with pytest.raises(ConfigError, match="has 1 such nodes"):
        importance_stability(fg.topologies.layered([2, 1, 1], seed=0), np.ones((4, 2)), np.ones((4, 1)))


def test_what_a_process_raises_is_raised_here_and_one_that_dies_is_an_error() -> None:
    assert sorted(in_processes(operator.add, deque([(1, 2), (3, 4), (5, 6)]), 1)) == [3, 7, 11]
    with pytest.raises(ZeroDivisionError):
        list(in_processes(operator.truediv, deque([(1, 1), (1, 0)]), 1))
    with pytest.raises(fg.FlowgradError, match=r"exit code 3.*__main__"):
        list(in_processes(os._exit, deque([(3,)]), 1))
    with pytest.raises(ConfigError, match="say workers=1"):
        list(in_processes(lambda x: x, deque([(1,)]), 1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from collections import deque\n"
        "from flowgrad.inspection.workers import in_processes\n"
        "def work(seconds):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(seconds)\n"
        "if __name__ == '__main__':\n"
        "    list(in_processes(work, deque([(600,), (600,)]), 2))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.communicate(timeout=30)  # both have closed the pipe that they share
    assert not any(map(_lives, workers))


def _lives(pid: int, seconds: float = 30.0) -> bool:
    """Whether a process is there after that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True
