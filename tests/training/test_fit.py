"""fit: what it minimises, what it keeps, what it says, and where it stops."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, MissingDependencyError, NonFiniteError, ShapeError, UnknownNameError
from flowgrad.optimizers.adam import Adam


def program_of(executor: str, seed: int = 3, loss: str = "squared_error", **options: Any) -> fg.Program:
    net = fg.topologies.layered([3, 4, 2], activation="tanh", seed=seed)
    return fg.compile(net, executor=executor, loss=loss, **options)


def data_of(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    return X, np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 2] * X[:, 0]], axis=1)


def chain(executor: str, activation: str = "identity", weight: float = 1.0, loss: str = "squared_error") -> fg.Program:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": weight}, activation=activation)
    net.add_neuron("y", {"h": 1.0}, activation="identity")
    return fg.compile(net, executor=executor, loss=loss)


# ---- what it minimises ------------------------------------------------------------------------------------------


def test_fits_a_line(executor: str) -> None:
    net = fg.Network.from_arrays([0, 1], [2, 2], activation="identity")
    program = fg.compile(net, executor=executor, loss="squared_error")
    X = np.random.default_rng(1).normal(size=(50, 2))
    history = fg.fit(
        program, X, X @ [[2.0], [-1.0]] + 0.5, optimizer="sgd", learning_rate=0.2, batch_size=10, epochs=60
    )
    np.testing.assert_allclose(program.theta, [2.0, -1.0, 0.5], atol=1e-9)
    assert history["loss"][-1] < 1e-15 < history["loss"][0]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_step_is_the_gradient_of_the_reduced_loss_and_the_penalty(executor: str, reduction: str) -> None:
    program = program_of(executor, reduction=reduction)
    X, T = data_of(10)
    theta, s = program.theta.copy(), np.arange(1.0, 11.0)
    slots = np.array([0, 5])
    loss, g = program.value_and_grad(theta, X, T, sample_weight=s)
    weights = np.zeros(len(theta))
    weights[program.plan.weight_slot] = 0.3
    own = np.zeros(len(theta))
    own[slots] = 0.2
    g = g + 2 * own * theta + weights * np.sign(theta)
    rate = 0.01
    history = fg.fit(
        program, X, T, optimizer="sgd", learning_rate=rate, epochs=1, batch_size=10, sample_weight=s, l1=0.3,
        l2=[(slots, 0.2)], shuffle=False,
    )  # fmt: skip
    np.testing.assert_allclose(program.theta, theta - rate * g, rtol=1e-12, atol=1e-14)
    assert history["loss"][0] == pytest.approx(loss, rel=1e-12)
    moved = program.theta
    penalty = (weights * np.abs(moved)).sum() + (own * moved**2).sum()
    assert history["penalty"][0] == pytest.approx(penalty, rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_of_an_epoch_is_over_its_samples(executor: str, reduction: str) -> None:
    """With a rate of next to nothing θ stands still, and the epoch's loss is the loss of all the data."""
    program = program_of(executor, reduction=reduction)
    X, T = data_of(23)
    s = np.random.default_rng(5).uniform(0.5, 2, 23)
    expected, _ = program.value_and_grad(program.theta, X, T, sample_weight=s)
    history = fg.fit(
        program, X, T, optimizer="sgd", learning_rate=1e-15, epochs=1, batch_size=5, sample_weight=s,
        validation=(X, T), metrics=["rmse"],
    )  # fmt: skip
    assert history["loss"][0] == pytest.approx(expected, rel=1e-9)
    unweighted, _ = program.value_and_grad(program.theta, X, T)
    assert history["val_loss"][0] == pytest.approx(unweighted, rel=1e-12)
    rmse = np.sqrt(np.mean((program.predict(X) - T) ** 2))
    assert history["rmse"][0] == history["val_rmse"][0] == pytest.approx(rmse, rel=1e-12)


def test_samples_of_weight_zero_are_left_out(executor: str) -> None:
    X, T = data_of(30)
    s = np.ones(30)
    s[::3] = 0.0
    one, two = program_of(executor), program_of(executor)
    fg.fit(one, X, T, epochs=2, batch_size=4, sample_weight=s)
    fg.fit(two, X[s > 0], T[s > 0], epochs=2, batch_size=4)
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12)


def test_class_indices_and_names(executor: str) -> None:
    program = program_of(executor, loss="cross_entropy")
    X, _ = data_of(60)
    classes = (X[:, 0] > 0).astype(int)
    columns = {name: X[:, k] for k, name in enumerate(program.inputs)}
    history = fg.fit(program, columns, classes, epochs=40, learning_rate=0.05, metrics=["accuracy"])
    assert history["accuracy"][-1] > 0.9
    other = program_of(executor, loss="cross_entropy")
    fg.fit(other, X, np.eye(2)[classes], epochs=40, learning_rate=0.05)
    assert (other.theta == program.theta).all()


def test_float32_stays_float32(executor: str) -> None:
    program = program_of(executor, dtype="float32")
    X, T = data_of()
    history = fg.fit(program, X, T, epochs=3, optimizer="adamw", l2=0.01, validation=0.25)
    assert program.theta.dtype == np.float32
    assert np.isfinite(history["val_loss"]).all()


# ---- order and seeds --------------------------------------------------------------------------------------------


def test_the_seed_decides_everything(executor: str) -> None:
    X, T = data_of()
    thetas = []
    for seed in (1, 1, 2):
        program = program_of(executor)
        fg.fit(program, X, T, epochs=3, batch_size=7, seed=seed, validation=0.2)
        thetas.append(program.theta.copy())
    assert (thetas[0] == thetas[1]).all()
    assert (thetas[0] != thetas[2]).any()


def test_every_sample_once_an_epoch_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    program, seen = program_of("python"), []
    X, T = data_of(11)
    X[:, 0] = np.arange(11)
    plain = program.value_and_grad
    monkeypatch.setattr(program, "value_and_grad", lambda *a: (seen.append(a[1][:, 0].tolist()), plain(*a))[1])
    fg.fit(program, X, T, epochs=2, batch_size=4)
    assert [len(batch) for batch in seen] == [4, 4, 3, 4, 4, 3]
    first, second = seen[0] + seen[1] + seen[2], seen[3] + seen[4] + seen[5]
    assert sorted(first) == sorted(second) == list(range(11))
    assert first != second != sorted(second)
    seen.clear()
    fg.fit(program, X, T, epochs=1, batch_size=100, shuffle=False)
    assert seen == [list(range(11))]


def test_training_goes_on_from_where_theta_stands(executor: str) -> None:
    program = program_of(executor)
    X, T = data_of()
    first = fg.fit(program, X, T, epochs=5, optimizer="sgd")
    second = fg.fit(program, X, T, epochs=5, optimizer="sgd")
    assert second["loss"][0] < first["loss"][-1]


# ---- settings ---------------------------------------------------------------------------------------------------


def test_schedule_and_rate(executor: str) -> None:
    X, T = data_of(8)
    history = fg.fit(program_of(executor), X, T, epochs=3, learning_rate=0.5, schedule=lambda epoch: 1 / epoch)
    assert history["rate"].tolist() == [0.5, 0.25, 0.5 / 3]
    frozen = program_of(executor)
    before = frozen.theta.copy()
    fg.fit(frozen, X, T, epochs=2, schedule=lambda epoch: 0.0)
    assert (frozen.theta == before).all()
    history = fg.fit(program_of(executor), X, T, epochs=1, optimizer=Adam(learning_rate=0.125))
    assert history["rate"].tolist() == [0.125]


def test_early_stopping_ends_with_the_best_theta(executor: str) -> None:
    program = program_of(executor)
    X, T = data_of()
    X_val, T_val = X[:15] + 0.3, T[:15][::-1]  # nothing to learn for these: it gets worse before long
    thetas: list[np.ndarray] = []
    history = fg.fit(
        program, X[15:], T[15:], epochs=400, learning_rate=0.05, validation=(X_val, T_val), patience=4,
        on_epoch=lambda row: thetas.append(program.theta.copy()),
    )  # fmt: skip
    assert history.reason == "early stopping"
    best = history.best_epoch
    assert best is not None
    assert len(history) == best + 4 < 400
    assert history["val_loss"].argmin() == best - 1
    assert (program.theta == thetas[best - 1]).all()
    assert (program.theta != thetas[-1]).any()
    value, _ = program.value_and_grad(program.theta, X_val, T_val)
    assert value == pytest.approx(history["val_loss"].min(), rel=1e-12)


def test_a_share_is_kept_from_training() -> None:
    X, T = data_of(20)
    X[3], T[3] = 77.0, 5.0
    seeds = range(40)
    held = 0
    for seed in seeds:
        program, seen = program_of("python"), []
        plain = program.value_and_grad
        program.value_and_grad = lambda *a, plain=plain, seen=seen: (seen.extend(a[1][:, 0].tolist()), plain(*a))[1]
        fg.fit(program, X, T, epochs=1, validation=0.25, seed=seed)
        assert len(seen) == 15
        held += 77.0 not in seen
    assert 2 <= held <= 20  # a quarter of 40, within what chance allows


# ---- history ----------------------------------------------------------------------------------------------------


def test_history(executor: str) -> None:
    X, T = data_of()
    rows: list[dict[str, float]] = []
    history = fg.fit(
        program_of(executor), X, T, epochs=3, metrics=["pearson"], validation=0.25, l1=1e-3, on_epoch=rows.append
    )
    names = ("epoch", "loss", "penalty", "pearson", "val_loss", "val_pearson", "rate", "seconds")
    assert history.names == names
    assert rows == history.rows
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history.reason == "finished"
    assert history.best_epoch == 1 + history["val_loss"].argmin()
    assert repr(history).startswith("History(3 epochs, finished; best epoch ")
    assert (np.diff(history["seconds"]) > 0).all()
    with pytest.raises(UnknownNameError, match="did you mean 'loss'"):
        history["los"]
    frame = pytest.importorskip("pandas")
    assert isinstance(history.to_frame(), frame.DataFrame)
    assert tuple(history.to_frame().columns) == names


def test_an_empty_history() -> None:
    assert fg.History().best_epoch is None
    assert repr(fg.History()) == "History(no epochs, finished)"


def test_a_bar_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    X, T = data_of(5)
    fg.fit(program_of("python"), X, T, epochs=2, progress=True)
    assert "2/2" in capsys.readouterr().out


def test_a_bar_needs_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rich.progress", None)
    X, T = data_of(5)
    with pytest.raises(MissingDependencyError, match=r"flowgrad\[cli\]"):
        fg.fit(program_of("python"), X, T, epochs=2, progress=True)


# ---- where it stops ---------------------------------------------------------------------------------------------


def test_interrupted_training_keeps_what_was_reached(executor: str) -> None:
    program, X, T = program_of(executor), *data_of()
    kept: list[np.ndarray] = []

    def stop(row: dict[str, float]) -> None:
        kept.append(program.theta.copy())
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    history = fg.fit(program, X, T, epochs=50, on_epoch=stop)
    assert history.reason == "interrupted"
    assert len(history) == 3
    assert (program.theta != kept[0]).any()
    assert np.isfinite(program.theta).all()


def test_interrupted_in_the_middle_of_a_step() -> None:
    program, X, T = program_of("python"), *data_of(20)
    plain, thetas = program.value_and_grad, []

    def value_and_grad(theta: np.ndarray, *rest: Any) -> Any:
        thetas.append(theta.copy())
        if len(thetas) == 4:
            raise KeyboardInterrupt
        return plain(theta, *rest)

    program.value_and_grad = value_and_grad  # type: ignore[method-assign]
    history = fg.fit(program, X, T, epochs=5, batch_size=10)
    assert (history.reason, len(history)) == ("interrupted", 1)
    assert (program.theta == thetas[2]).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_input_is_named(executor: str, bad: float) -> None:
    program, X, T = program_of(executor), *data_of(20)
    X[13, 1] = bad
    before = program.theta.copy()
    with pytest.raises(NonFiniteError, match=rf"epoch 1, step 3, batch 3 of 4: input 1 is {bad} at sample 13"):
        fg.fit(program, X, T, epochs=2, batch_size=5, shuffle=False)
    assert np.isfinite(program.theta).all()
    assert (program.theta != before).any()  # θ of step 2, the last that gave finite values


def test_a_bad_target_is_named(executor: str) -> None:
    program, X, T = program_of(executor), *data_of(20)
    T[2, 1] = math.nan
    before = program.theta.copy()
    with pytest.raises(NonFiniteError, match=r"step 1, .*target of output 8 is nan at sample 2"):
        fg.fit(program, X, T, batch_size=5, shuffle=False)
    assert (program.theta == before).all()


def test_the_first_neuron_is_named_not_those_behind_it(executor: str) -> None:
    program = chain(executor, "log")
    X = np.array([[1.0], [2.0], [-3.0], [4.0]])
    with pytest.raises(NonFiniteError, match=r"batch 2 of 2: neuron h has a = nan at z = -3, at sample 2"):
        fg.fit(program, X, np.ones((4, 1)), batch_size=2, shuffle=False, optimizer="sgd", learning_rate=1e-6)


def test_an_overflow_is_named(executor: str) -> None:
    program = chain(executor, "exp", weight=1000.0)
    with pytest.raises(NonFiniteError, match=r"step 1, batch 1 of 1: neuron h has a = inf at z = 1000, at sample 0"):
        fg.fit(program, np.ones((2, 1)), np.ones((2, 1)))


def test_a_gradient_that_is_infinite_is_named(executor: str) -> None:
    """√z at z = 0 is finite, its slope is not."""
    program = chain(executor, "sqrt")
    with pytest.raises(NonFiniteError, match=r"neuron h has ∂L/∂z = -inf at sample 1"):
        fg.fit(program, np.array([[1.0], [0.0]]), np.ones((2, 1)), shuffle=False)


def test_a_loss_that_overflows_is_named(executor: str) -> None:
    program = chain(executor, weight=1e200)
    with pytest.raises(NonFiniteError, match=r"loss of output y is inf at y = 1e\+200, at sample 0"):
        fg.fit(program, np.ones((2, 1)), np.ones((2, 1)))


def test_diverging_training_keeps_the_last_good_theta(executor: str) -> None:
    program, (X, T) = chain(executor, "cube"), (np.ones((4, 1)), np.zeros((4, 1)))
    with pytest.raises(NonFiniteError, match=r"epoch \d+, (after )?step \d+, batch 1"):
        fg.fit(program, X, T, optimizer="sgd", learning_rate=10.0, epochs=50)
    value, g = program.value_and_grad(program.theta, X, T)
    assert np.isfinite(value)
    assert np.isfinite(g).all()


def test_a_bad_validation_sample_is_named(executor: str) -> None:
    program, X, T = program_of(executor), *data_of(20)
    X_val = X.copy()
    X_val[4, 2] = math.nan
    with pytest.raises(NonFiniteError, match=r"epoch 1, after step 1, validation: input 2 is nan at sample 4"):
        fg.fit(program, X, T, validation=(X_val, T))


def test_ids_are_shown_as_they_are() -> None:
    G = nx.DiGraph([(("in", 1), "a b")])
    G.nodes["a b"]["activation"] = "log"
    program = fg.compile(fg.Network.from_networkx(G), executor="python", loss="squared_error")
    with pytest.raises(NonFiniteError, match=r"neuron 'a b' has a = -inf at z = 0"):
        fg.fit(program, np.zeros((1, 1)), np.zeros((1, 1)))


# ---- bad arguments ----------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"epochs": 0}, ConfigError, "epochs=0"),
    ({"epochs": 2.0}, ConfigError, "epochs=2.0"),
    ({"epochs": True}, ConfigError, "epochs=True"),
    ({"batch_size": 0}, ConfigError, "batch_size=0"),
    ({"batch_size": "64"}, ConfigError, "batch_size='64'"),
    ({"learning_rate": 0}, ConfigError, "learning_rate=0"),
    ({"learning_rate": -0.1}, ConfigError, "learning_rate=-0.1"),
    ({"learning_rate": math.nan}, ConfigError, "learning_rate=nan"),
    ({"learning_rate": "fast"}, ConfigError, "learning_rate='fast'"),
    ({"seed": -1}, ConfigError, "seed=-1"),
    ({"seed": None}, ConfigError, "seed=None"),
    ({"shuffle": 1}, ConfigError, "shuffle=1"),
    ({"progress": "yes"}, ConfigError, "progress='yes'"),
    ({"on_epoch": 3}, ConfigError, "on_epoch=3"),
    ({"optimizer": 3}, ConfigError, "optimizer=3"),
    ({"optimizer": "adma"}, UnknownNameError, "did you mean 'adam'"),
    ({"metrics": ["acuracy"]}, UnknownNameError, "did you mean 'accuracy'"),
    ({"schedule": "cosin"}, UnknownNameError, "did you mean 'cosine'"),
    ({"patience": 3}, ConfigError, "patience=3: needs validation"),
    ({"patience": 0, "validation": 0.5}, ConfigError, "patience=0"),
    ({"validation": 1.0}, ConfigError, "validation=1.0"),
    ({"validation": 0.01}, ConfigError, "validation=0.01: of 40 samples"),
    ({"validation": "no"}, ConfigError, "validation='no'"),
    ({"validation": (1, 2, 3)}, ConfigError, "validation has 3 entries"),
    ({"l1": -1.0}, ConfigError, "l1=-1.0"),
    ({"l2": math.inf}, ConfigError, "l2=inf"),
    ({"l2": "x"}, ConfigError, "l2 holds 'x'"),
    ({"l2": [([0, 99], 0.1)]}, ConfigError, "l2: slots must be"),
    ({"l2": [([0.5], 0.1)]}, ConfigError, "l2: slots must be"),
    ({"l2": [([0], -0.1)]}, ConfigError, "l2=-0.1"),
    ({"sample_weight": [1.0]}, ShapeError, "sample_weight"),
    ({"sample_weight": -np.ones(40)}, DataError, "sample_weight"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), BAD, ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    program, X, T = program_of("python"), *data_of(40)
    before = program.theta.copy()
    with pytest.raises(error) as caught:
        fg.fit(program, X, T, **arguments)
    assert words in str(caught.value)
    assert (program.theta == before).all()


def test_bad_data(executor: str) -> None:
    program, X, T = program_of(executor), *data_of(20)
    with pytest.raises(ShapeError, match="T has 19 rows and X 20"):
        fg.fit(program, X, T[:19])
    with pytest.raises(ShapeError, match="X has shape"):
        fg.fit(program, X[:, :2], T)
    with pytest.raises(DataError, match="empty batch"):
        fg.fit(program, X[:0], T[:0])
    with pytest.raises(ShapeError, match="T has 19 rows and X 20"):
        fg.fit(program, X, T, validation=(X, T[:19]))
    with pytest.raises(DataError, match="class index 2 at sample 0"):
        fg.fit(program_of(executor, loss="cross_entropy"), X, np.full(20, 2))
    with pytest.raises(DataError, match="no loss"):
        fg.fit(fg.compile(fg.topologies.layered([3, 2], seed=0), executor=executor), X, T)
    with pytest.raises(ConfigError, match="wants a flowgrad Program, not a Network"):
        fg.fit(fg.topologies.layered([3, 2], seed=0), X, T)  # type: ignore[arg-type]
