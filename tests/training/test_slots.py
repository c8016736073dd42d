"""Which slots of θ words mean, and the penalties and bounds that go by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, GraphError, UnknownNameError
from flowgrad.fitting.slots import bounds, factors, slots_of

EDGES = [("x", "h", 0.5), ("y", "h", -0.4), ("h", "g", 0.3), ("x", "g", -0.2), ("g", "o", 0.7), ("h", "o", -0.1)]


def made(executor: str = "python", dtype: str = "float64", **attributes: dict[tuple[str, str], Any]) -> fg.Program:
    graph = nx.DiGraph()
    for u, v, weight in EDGES:
        more = {name: given[u, v] for name, given in attributes.items() if (u, v) in given}
        graph.add_edge(u, v, weight=weight, **more)
    net = fg.Network.from_networkx(graph, activation="tanh", seed=0)
    return fg.compile(net, executor=executor, loss="squared_error", dtype=dtype)


def samples() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(30, 2))
    return X, np.sin(X[:, :1]) - 2.0 * X[:, 1:]


def edges_of(program: fg.Program, words: str) -> set[tuple[str, str]]:
    found = set(slots_of(program, words, "l1").tolist())
    return {(u, v) for u, v, _ in EDGES if program.theta_index.weight[u, v] in found}


def test_words_name_the_edges_that_they_say() -> None:
    program = made(group={("x", "h"): "kinase", ("h", "o"): "kinase", ("g", "o"): 7})
    assert edges_of(program, "weights") == {(u, v) for u, v, _ in EDGES}
    assert edges_of(program, "input weights") == {("x", "h"), ("y", "h"), ("x", "g")}
    assert edges_of(program, "level 1") == {("x", "h"), ("y", "h")}
    assert edges_of(program, "level 2") == {("h", "g"), ("x", "g")}
    assert edges_of(program, "group kinase") == {("x", "h"), ("h", "o")}
    assert edges_of(program, "group 7") == {("g", "o")}
    assert sorted(slots_of(program, "biases", "l1")) == sorted(program.theta_index.bias[v] for v in "hgo")


def test_groups_and_constraints_survive_a_file(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    group, constraint = {("x", "h"): "a"}, {("x", "h"): "nonpositive", ("y", "h"): (None, 0.25)}
    fg.save(made(group=group, constraint=constraint).network(), tmp_path / "net.json")
    program = fg.compile(fg.load(tmp_path / "net.json"), executor="python", loss="squared_error")
    assert edges_of(program, "group a") == {("x", "h")}
    found = bounds(program, None)
    assert found is not None
    at = program.theta_index.weight
    assert (found.high[at["x", "h"]], found.high[at["y", "h"]], found.low[at["y", "h"]]) == (0.0, 0.25, -np.inf)
    assert np.isinf(np.delete(found.high, [at["x", "h"], at["y", "h"]])).all()


def test_a_column_of_an_edge_list_is_an_attribute(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(
        "source,target,weight,constraint,group\nx,h,0.5,nonnegative,k\ny,h,-0.5,,\nh,o,1,,k\n"
    )
    program = fg.compile(fg.load(tmp_path / "e.csv"), executor="python", loss="squared_error")
    at, found = program.theta_index.weight, bounds(program, None)
    assert found is not None
    assert sorted(slots_of(program, "group k", "l1")) == sorted([at["x", "h"], at["h", "o"]])
    assert np.flatnonzero(found.low == 0.0).tolist() == [at["x", "h"]]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ("wieghts", UnknownNameError, "did you mean 'weights'"),
        ("everything", UnknownNameError, "it may be weights, biases"),
        ("level 9", UnknownNameError, "no edge belongs to 'level 9'; levels are 1 … 3"),
        ("level x", UnknownNameError, "names no slots"),
        ("group kinas", UnknownNameError, "did you mean 'group kinase'"),
        (("x", "h"), ConfigError, "a mapping goes by words"),
        (3, ConfigError, "a mapping goes by words"),
    ],
)
def test_words_that_mean_nothing_are_named(words: Any, error: type[Exception], said: str) -> None:
    program, (X, T) = made(group={("x", "h"): "kinase"}), samples()
    for name, value in (("l1", 0.1), ("l2", 0.1), ("constraints", "nonnegative")):
        with pytest.raises(error, match=name) as caught:
            fg.fit(program, X, T, **{name: {words: value}})
        assert said in str(caught.value)


def test_a_penalty_by_words_is_the_same_by_slots(executor: str) -> None:
    (X, T), (by_words, by_slots) = samples(), (made(executor), made(executor))
    at = by_slots.theta_index
    given = [([at.weight["x", "h"], at.weight["y", "h"]], 0.1), ([at.bias[v] for v in "hgo"], 0.02)]
    a = fg.fit(by_words, X, T, epochs=3, l1={"level 1": 0.1, "biases": 0.02}, l2={"level 1": 0.1, "biases": 0.02})
    b = fg.fit(by_slots, X, T, epochs=3, l1=given, l2=given)
    assert by_words.theta.tobytes() == by_slots.theta.tobytes()
    th = by_slots.theta
    wanted = sum(f * (np.abs(th[slots]) + th[slots] ** 2).sum() for slots, f in given)
    assert a["penalty"][-1] == b["penalty"][-1] == pytest.approx(wanted, rel=1e-12)


def test_later_words_go_over_earlier_ones() -> None:
    program = made()
    found = factors(program, "l2", {"weights": 1.0, "input weights": 0.0})
    assert found is not None
    assert set(np.flatnonzero(found)) == {program.theta_index.weight[e] for e in (("h", "g"), ("g", "o"), ("h", "o"))}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_keep_to_their_bounds_after_every_step(executor: str, dtype: str) -> None:
    program, (X, T) = made(executor, dtype, constraint={("x", "h"): "nonpositive"}), samples()
    at = program.theta_index
    given = {"input weights": (-0.3, 0.45), "biases": "nonnegative"}
    seen: list[np.ndarray] = []
    fg.fit(
        program, X, T, epochs=8, batch_size=8, learning_rate=0.2, constraints=given,
        on_epoch=lambda row: seen.append(program.theta.copy()),
    )  # fmt: skip
    for theta in seen:
        for edge in (("x", "h"), ("y", "h"), ("x", "g")):
            assert np.float32(-0.3) <= theta[at.weight[edge]] <= np.float32(0.45)
        assert theta[at.weight["x", "h"]] <= 0.0
        assert min(theta[at.bias[v]] for v in "hgo") >= 0.0
    free = [at.weight[e] for e in (("h", "g"), ("g", "o"), ("h", "o"))]
    assert max(np.abs(theta[free]).max() for theta in seen) > 0.75  # the others go where they want


def test_signs_are_those_of_the_start(executor: str) -> None:
    program, (X, T) = made(executor), samples()
    signs = np.sign(program.theta)
    fg.fit(program, X, T, epochs=20, learning_rate=0.3, constraints={"weights": "sign"})
    weights = slots_of(program, "weights", "l1")
    assert (np.sign(program.theta[weights]) * signs[weights] >= 0).all()
    free = made(executor)
    fg.fit(free, X, T, epochs=20, learning_rate=0.3)
    assert (np.sign(free.theta[weights]) * signs[weights] < 0).any()


@pytest.mark.parametrize("bad", ["nonegative", (1, 0), (0, 1, 2), (0.0, float("nan")), ("a", 1), True, 3, None])
def test_constraints_that_are_none(bad: Any) -> None:
    (X, T), program = samples(), made()
    with pytest.raises(ConfigError, match=r"constraints: .*must be 'nonnegative'"):
        fg.fit(program, X, T, constraints={"weights": bad})
    if bad is not None:  # as an attribute None says nothing
        with pytest.raises(GraphError, match=r"constraint .* of edge 'x' → 'h': must be"):
            fg.fit(made(constraint={("x", "h"): bad}), X, T)


def test_bounds_that_leave_nothing_are_refused() -> None:
    program, (X, T) = made(constraint={("x", "h"): (0.5, 1.0)}), samples()
    with pytest.raises(ConfigError, match="leaves a weight no value at all"):
        fg.fit(program, X, T, constraints={"weights": "nonpositive"})


# ---- slots as they are given -----------------------------------------------------------------------------------------


def forms(slots: list[int], P: int) -> dict[str, Any]:
    """The same slots in every form that may be given."""
    low, high = min(slots), max(slots) + 1
    assert slots == list(range(low, high))
    one = {"one": low, "of NumPy": np.int32(low), "array of one": np.array(low)} if len(slots) == 1 else {}
    return one | {
        "list": slots,
        "tuple": tuple(slots),
        "array": np.array(slots),
        "small integers": np.array(slots, np.uint8),
        "range": range(low, high),
        "slice": slice(low, high),
        "slice of NumPy": slice(np.int64(low), np.int64(high), 1),
        "mask": np.isin(np.arange(P), slots),
        "list of truth values": [k in slots for k in range(P)],
    }


@pytest.mark.parametrize("slots", [[0], [3], [2, 3, 4], list(range(9))])
def test_slots_are_given_in_any_form(slots: list[int]) -> None:
    program = made()
    P = program.plan.n_parameters
    assert P == 9
    wanted = np.where(np.isin(np.arange(P), slots), 0.1, 0.0)
    for form, given in forms(slots, P).items():
        np.testing.assert_array_equal(factors(program, "l2", [(given, 0.1)]), wanted, err_msg=form)
        found = bounds(program, [(given, "nonnegative")])
        assert found is not None
        np.testing.assert_array_equal(found.low, np.where(wanted, 0.0, -np.inf), err_msg=form)


def test_no_slots_are_none() -> None:
    for given in ([], (), np.array([], int), slice(2, 2), range(0), np.zeros(9, bool)):
        assert factors(made(), "l2", [(given, 0.1)]) is None


def test_the_slots_of_theta_index_and_of_theta_slices_hold_in_training() -> None:
    program, (X, T) = made(), samples()
    slot = program.theta_index.weight["x", "h"]
    fg.fit(program, X, T, epochs=3, learning_rate=0.3, l2=[(slot, 0.1)], constraints=[(slot, (0.4, 0.45))])
    assert 0.4 <= program.theta[slot] <= 0.45
    pytest.importorskip("scipy")
    fg.minimize(program, X, T, l2=[(slot, 0.1)], constraints=[(slot, (0.2, 0.25))])
    assert 0.2 <= program.theta[slot] <= 0.25
    both = fg.compile(fg.union([made().network(), made().network()]), executor="python", loss="squared_error")
    part = both.theta_slices[1]
    fg.fit(both, X, np.hstack([T, T]), epochs=3, constraints=[(part, (-0.1, 0.1))])
    assert np.abs(both.theta[part]).max() <= 0.1
    assert np.abs(both.theta).max() > 0.1


@pytest.mark.parametrize(
    "bad",
    [
        *(9, -1, True, 1.0, None, "weights", "x", ("x", "h"), [0, 9], [-1], [0.0], [None], [[0, 1]], [[0], [1, 2]]),
        *({0, 1}, {0: 1}, np.ones(8, bool), np.array([0.5]), np.array(["0"]), len, 1 << 70, [1 << 70]),
        *(
            slice(0, 10),
            slice(-1, None),
            slice("x", None),
            slice(None, None, 0),
            slice(0.0, 2),
            slice(True, 3),
            range(12),
        ),
    ],
    ids=lambda bad: repr(bad)[:30],
)
def test_slots_that_are_none_are_refused_in_words(bad: Any) -> None:
    (X, T), program = samples(), made()
    for name, value in (("l1", 0.1), ("l2", 0.1), ("constraints", "nonnegative")):
        with pytest.raises(ConfigError, match=rf"{name}: slots must be integers, 0 … 8, one or several.* not "):
            fg.fit(program, X, T, **{name: [(bad, value)]})


@pytest.mark.parametrize("bad", [9, -1, True, "x", None, 0.5, [0]])
def test_what_is_no_slot_has_no_label(bad: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"θ has no slot .*: it has 9"):
        made().theta_index.label(bad)
