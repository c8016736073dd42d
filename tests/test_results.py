"""Results belong to the program and the θ they were made with, and are read-only."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad import inspection, metrics
from flowgrad.errors import DataError, UnknownNameError
from flowgrad.plan import lower
from flowgrad.scaling import Scaling

RNG = np.random.default_rng(3)
X, T = RNG.standard_normal((6, 3)), RNG.standard_normal((6, 2))


def program(executor: str, seed: int = 0, **options: Any) -> fg.Program:
    return fg.compile(fg.topologies.layered([3, 5, 2], seed=seed), executor=executor, loss="squared_error", **options)


@pytest.mark.parametrize(
    ("seed", "options"), [(0, {}), (0, {"dtype": "float32"}), (1, {}), (0, {"reduction": "sum"}), (0, {"threads": 1})]
)
def test_activations_of_another_program_are_refused(executor: str, seed: int, options: dict[str, Any]) -> None:
    """Also where everything about the two is equal: which program, and so which θ, cannot be told from arrays."""
    mine, other = program(executor), program(executor, seed, **options)
    for ours, acts in ((mine, other.forward(X)), (other, mine.forward(X))):
        with pytest.raises(DataError, match="another program"):
            ours.backward(acts, T)
        with pytest.raises(DataError, match="another program"):
            ours.backward(acts, cotangent=T)
        with pytest.raises(DataError, match="another program"):
            ours.backward(acts, T, per_output=True)


@pytest.mark.parametrize("given", [X, [[0.0] * 3], None, "acts", {"x": [1.0]}])
def test_what_is_no_activations_is_named(executor: str, given: Any) -> None:
    with pytest.raises(DataError, match=rf"not an? {type(given).__name__}: give program\.forward\(X\)"):
        program(executor).backward(given, T)


def test_activations_keep_their_theta(executor: str) -> None:
    one = program(executor)
    acts = one.forward(X)
    wanted = one.backward(acts, T).theta.tolist()
    one.theta = one.theta * 2 + 1
    assert one.backward(acts, T).theta.tolist() == wanted
    with pytest.raises(AttributeError):
        acts.theta = one.theta  # type: ignore[misc]  # wrong on purpose


def arrays_of(acts: fg.Activations, grads: fg.Gradients) -> dict[str, np.ndarray]:
    return {
        "z": acts.z.array,
        "a": acts.a.array,
        "z of a neuron": acts.z[3],
        "output": acts.output,
        "theta of acts": acts.theta,
        "saved": acts.saved.z,
        "dz": grads.dz.array,
        "da": grads.da.array,
        "da of a neuron": grads.da[3],
        "theta": grads.theta,
        "weight": grads.weight.array,
        "bias": grads.bias.array,
        "input": grads.input.array,
        "input of one": grads.input[0],
        "per output": next(iter(grads.per_output.values())),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 2.0, 1.0, 0.0, 1.0]])
def test_results_cannot_be_written_to(executor: str, dtype: str, weights: Any) -> None:
    one = program(executor, dtype=dtype)
    acts = one.forward(X)
    grads = one.backward(acts, T, sample_weight=weights, per_output=True)
    for name, array in arrays_of(acts, grads).items():
        with pytest.raises(ValueError, match="read-only"):
            array -= 1.0  # what a user writes
        assert not array.flags.writeable, name
    again = one.backward(acts, T, sample_weight=weights, per_output=True)
    for (name, before), after in zip(arrays_of(acts, grads).items(), arrays_of(acts, again).values(), strict=True):
        np.testing.assert_array_equal(before, after, err_msg=name)


def test_what_may_be_changed_stays_writable(executor: str) -> None:
    one = program(executor)
    y, (_, g) = one.predict(X), one.value_and_grad(one.theta, X, T)
    y -= 1.0
    g *= 2.0
    assert one.theta.flags.writeable


MADE = {
    "arrays": lambda: fg.Network.from_arrays([0, 0, 1], [1, 2, 2], weight=np.array([0.5, 1.0, 2.0]), bias=np.zeros(3)),
    "graph": lambda: fg.Network.from_networkx(nx.DiGraph([("x", "h"), ("h", "y")])),
    "layered": lambda: fg.topologies.layered([2, 3, 1]),
    "union": lambda: fg.union([fg.topologies.layered([2, 1]), fg.topologies.layered([2, 2])]),
    "unpickled": lambda: pickle.loads(pickle.dumps(fg.topologies.layered([2, 3, 1]))),
    "trained": lambda: fg.compile(fg.topologies.layered([2, 3, 1])).network(),
}


@pytest.mark.parametrize("made", MADE)
def test_a_networks_columns_cannot_be_written_to(made: str) -> None:
    net = MADE[made]()
    for record in (net.columns, lower(net)):
        fields = [name for name in dir(record) if not name.startswith("__")]
        arrays = {name: v for name in fields if isinstance(v := getattr(record, name), np.ndarray)}
        assert len(arrays) > 10
        assert [name for name, array in arrays.items() if array.flags.writeable] == []


def test_arrays_that_a_network_was_made_of_are_the_callers_still() -> None:
    weight, bias = np.array([0.5, 2.0]), np.zeros(3)
    net = fg.Network.from_arrays([0, 1], [1, 2], weight=weight, bias=bias)
    weight[0] = bias[1] = 9.0
    assert net.columns.weights.tolist() == [0.5, 2.0]
    assert net.columns.bias.tolist() == [0.0, 0.0, 0.0]


def test_names_are_asked_for_without_an_error(executor: str) -> None:
    one = program(executor)
    grads = one.backward(one.forward(X), T, per_output=True)
    assert (0, 3) in grads.weight
    assert (3, 0) not in grads.weight
    assert "x" not in grads.dz
    assert "x" not in grads.per_output
    assert grads.weight.get((0, "none")) is None
    assert grads.bias.get("none", 7.0) == 7.0
    for unhashable in ([1], ([1],)):  # a tuple that holds a list has a hash method, and no hash
        assert unhashable not in grads.dz
        assert grads.dz.get(unhashable) is None
        with pytest.raises(UnknownNameError, match="is no node of the network"):
            grads.dz[unhashable]


# ---- what comes in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what", ["X", "T", "cotangent", "sample_weight", "theta", "classes", "baseline", "metrics", "scaling", "a column"]
)
def test_masked_arrays_are_refused(executor: str, what: str) -> None:
    one = program(executor)

    def masked(values: Any) -> Any:
        array = np.array(values, float)
        mask = np.zeros(array.shape, bool)
        mask[(0,) * array.ndim] = True
        return np.ma.masked_array(array, mask)

    acts = one.forward(X)
    pairs = [(acts.output, masked(T)), (masked(acts.output), np.array(T, float))]
    calls = {
        "X": [lambda: one.forward(masked(X)), lambda: one.predict(masked(X)), lambda: fg.fit(one, masked(X), T)],
        "T": [lambda: one.backward(acts, masked(T)), lambda: one.value_and_grad(one.theta, X, masked(T))],
        "cotangent": [lambda: one.backward(acts, cotangent=masked(T))],
        "sample_weight": [lambda: one.backward(acts, T, sample_weight=masked(np.ones(6)))],
        "theta": [
            lambda: one.forward(X, theta=masked(one.theta)),
            lambda: one.predict(X, masked(one.theta)),
            lambda: one.value_and_grad(masked(one.theta), X, T),
            lambda: setattr(one, "theta", masked(one.theta)),
        ],
        "classes": [lambda: inspection.node_importance(one, X, classes=masked(np.ones(6)))],
        "baseline": [lambda: inspection.node_importance(one, X, integrated=True, baseline=masked(np.ones(3)))],
        "metrics": [partial(m.f, *pair, one.loss) for m in metrics.entries.values() for pair in pairs],
        "scaling": [
            lambda: Scaling.of(masked(X)),
            lambda: Scaling.of(X)(masked(X)),
            lambda: Scaling.of(X).back(masked(X)),
        ],
        "a column": [lambda: one.predict({0: masked(X[:, 0]), 1: X[:, 1], 2: X[:, 2]})],
    }[what]
    for call in calls:
        with pytest.raises(DataError, match="masked array"):
            call()


@pytest.mark.parametrize("name", ["source", "target", "weight", "bias", "inputs", "outputs"])
def test_networks_of_masked_arrays_are_refused(name: str) -> None:
    given: dict[str, Any] = {"source": [0, 1], "target": [1, 2], "weight": [1.0, 2.0], "bias": [0.0] * 3}
    given |= {"inputs": [0], "outputs": [2]}
    given[name] = np.ma.masked_array(given[name], [True] + [False] * (len(given[name]) - 1))
    with pytest.raises(fg.FlowgradError, match="masked array"):
        fg.Network.from_arrays(**given)


def test_rows_of_unequal_length_are_named(executor: str) -> None:
    with pytest.raises(fg.errors.ShapeError, match="row 0 has 3 numbers, row 1 has 1"):
        program(executor).predict([[1.0, 2.0, 3.0], [3.0]])
    with pytest.raises(fg.errors.ShapeError, match="the rows of T"):
        program(executor).value_and_grad(program(executor).theta, X[:2], [[1.0, 2.0], [3.0]])


class Name(str):
    """A name that counts how often names are compared or hashed."""

    looked = 0

    def __hash__(self) -> int:
        Name.looked += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        Name.looked += 1
        return super().__eq__(other)


def test_columns_by_name_are_looked_up_in_linear_time() -> None:
    counts = []
    for inputs in (200, 400):
        G = nx.DiGraph([(Name(f"gene {k}"), "y") for k in range(inputs)])
        one = fg.compile(fg.Network.from_networkx(G, outputs=["y"]), executor="python", loss="squared_error")
        columns = {Name(name): [0.5] for name in G if name != "y"}
        one.predict(columns)
        Name.looked = 0
        one.predict(columns)
        counts.append(Name.looked)
    assert counts[1] < 2.2 * counts[0]


def test_which_slots_edges_share_is_decided_once_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    G = nx.DiGraph([("x", "h", {"param": "w", "weight": 1.0}), ("h", "y", {"param": "w", "weight": 1.0}), ("x", "y")])
    one = fg.compile(fg.Network.from_networkx(G), executor="python", loss="squared_error")
    acts = one.forward([[0.5]])
    first = one.backward(acts, [[1.0]]).theta.tolist()

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("decided anew")

    for name in ("unique", "bincount", "flatnonzero"):
        monkeypatch.setattr(np, name, never)
    adjoint = one.kernel.backward(acts.theta, acts.saved, np.array(acts.output - 1.0), None)
    folded = one.plan.fold(adjoint.weight, adjoint.bias, np.empty(one.plan.n_parameters))
    assert folded.tolist() == first


# ---- targets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "bad"),
    [
        ("binary_cross_entropy", [[0.0, 1.0], [1.0, -1.0]]),
        ("binary_cross_entropy", [[1.0, 2.0], [1.0, 1.0]]),
        ("binary_cross_entropy", [[1.0, 1.0], [-9.0, 0.0]]),
        ("poisson", [[1.0, 2.0], [3.0, -1.0]]),
        ("cross_entropy", [[1.0, 0.0], [-0.5, 1.5]]),
        ("cross_entropy", [0, -1]),
        ("cross_entropy", [0, 2]),
    ],
)
def test_targets_outside_their_domain_are_refused_by_every_door(executor: str, loss: str, bad: Any) -> None:
    one = fg.compile(fg.topologies.layered([3, 2], seed=0), executor=executor, loss=loss)
    x, good = X[:2], np.array([[0.0, 1.0], [1.0, 0.0]])
    one.value_and_grad(one.theta, x, good)  # from now on a kernel may take arrays as they are
    acts, where = one.forward(x), "sample [01]"
    for call in (
        lambda: one.backward(acts, bad),
        lambda: one.value_and_grad(one.theta, x, bad),
        lambda: one.value_and_grad(one.theta, x, np.array(bad)),
        lambda: fg.fit(one, x, bad, epochs=1),
        lambda: fg.fit(one, x, good, epochs=1, validation=(x, bad)),
        lambda: fg.gradcheck(one, x, bad),
    ):
        with pytest.raises(DataError, match=where):
            call()


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "poisson", "cross_entropy"])
def test_what_is_not_finite_flows_and_rows_of_weight_0_are_not_looked_at(executor: str, loss: str) -> None:
    one = fg.compile(fg.topologies.layered([3, 2], seed=0), executor=executor, loss=loss)
    value, _ = one.value_and_grad(one.theta, X[:2], [[0.0, 1.0], [np.nan, 0.0]])
    assert np.isnan(value)
    alone = one.value_and_grad(one.theta, X[:1], [[0.0, 1.0]])
    found = one.value_and_grad(one.theta, X[:2], [[0.0, 1.0], [-9.0, 4.0]], sample_weight=[1.0, 0.0])
    assert found[0] == alone[0]
    np.testing.assert_array_equal(found[1], alone[1])


@pytest.mark.parametrize("classes", [[1, -1], [1, -9], [1.0, np.nan], [1, 7]])
def test_class_indices_of_samples_of_weight_0_are_not_looked_at(executor: str, classes: Any) -> None:
    one = fg.compile(fg.topologies.layered([3, 2], seed=0), executor=executor, loss="cross_entropy")
    alone = one.value_and_grad(one.theta, X[:1], np.array([1]))
    found = one.value_and_grad(one.theta, X[:2], np.array(classes), sample_weight=[1.0, 0.0])
    assert found[0] == alone[0]
    grads = one.backward(one.forward(X[:2]), np.array(classes), sample_weight=[1.0, 0.0])
    np.testing.assert_array_equal(grads.theta, one.backward(one.forward(X[:1]), np.array([1])).theta)
    assert fg.fit(one, X[:2], np.array(classes), sample_weight=[1.0, 0.0], epochs=1)["loss"] == [found[0]]


def test_a_loss_of_one_output_that_compares_outputs_is_refused(executor: str) -> None:
    with pytest.raises(fg.errors.ConfigError, match="binary_cross_entropy"):
        fg.compile(fg.topologies.layered([3, 1]), executor=executor, loss="cross_entropy")


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "poisson", "binary_cross_entropy"])
def test_float32_targets_are_rounded_alike_by_both_doors(executor: str, loss: str) -> None:
    net = fg.Network.from_arrays([0], [1], weight=[1.0], activation="identity")
    one = fg.compile(net, executor=executor, dtype="float32", loss=loss)
    for t in (0.1, 1 / 3, 0.7, 16777217.0 if loss in ("squared_error", "absolute_error", "huber", "poisson") else 1.0):
        x = [[16777216.0 if t > 1 and loss != "poisson" else 0.3]]
        grads, (value, g) = one.backward(one.forward(x), [[t]]), one.value_and_grad(one.theta, x, [[t]])
        assert grads.loss == pytest.approx(value, rel=1e-15)
        assert grads.theta.tolist() == g.tolist()


# ---- losses of logits over outputs that are none -----------------------------------------------------------------


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "neat-sigmoid", "hard_tanh", "sin", "step"])
def test_a_bounded_output_under_a_loss_of_logits_is_warned_of(executor: str, loss: str, activation: str) -> None:
    net = fg.topologies.layered([3, 2], output_activation=activation)
    with pytest.warns(
        fg.errors.BoundedOutputWarning, match=rf"{activation}.*{loss}.*output_activation='identity'"
    ) as seen:
        fg.compile(net, executor=executor, loss=loss)
    assert len(seen) == 1
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        ("squared_error", "sigmoid"),
        ("poisson", "tanh"),
        (None, "sigmoid"),
        ("binary_cross_entropy", "identity"),
        ("cross_entropy", "relu"),
        ("binary_cross_entropy", "softplus"),
    ],
)
def test_other_outputs_are_not_warned_of(executor: str, loss: str | None, activation: str) -> None:
    fg.compile(fg.topologies.layered([3, 2], output_activation=activation), executor=executor, loss=loss)


def test_the_range_of_an_activation_of_your_own_is_known() -> None:
    mine = fg.Activation("mine", lambda z: 0.5 * z, lambda z: 0.5, range=(-2.0, 3.0))
    G = nx.DiGraph([("x", "y")])
    G.nodes["y"]["activation"] = mine
    with pytest.warns(fg.errors.BoundedOutputWarning, match="between -2 and 3"):
        fg.compile(fg.Network.from_networkx(G), executor="python", loss="binary_cross_entropy")
