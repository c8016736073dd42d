"""fit: what it minimises, what it keeps and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import MissingDependencyError, UnknownNameError
from flowgrad.optimizers.adam import Adam

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
def test_a_step_is_the_gradient_of_the_reduced_loss_and_the_penalty(
    executor: str, reduction: str, program_of: Any, data_of: Any
) -> None:
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
def test_loss_of_an_epoch_is_over_its_samples(executor: str, reduction: str, program_of: Any, data_of: Any) -> None:
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
    rmse = np.sqrt(np.mean((program.predict(X) - T) ** 2, axis=0)).mean()
    assert history["rmse"][0] == history["val_rmse"][0] == pytest.approx(rmse, rel=1e-12)


def test_samples_of_weight_zero_are_left_out(executor: str, program_of: Any, data_of: Any) -> None:
    X, T = data_of(30)
    s = np.ones(30)
    s[::3] = 0.0
    one, two = program_of(executor), program_of(executor)
    fg.fit(one, X, T, epochs=2, batch_size=4, sample_weight=s)
    fg.fit(two, X[s > 0], T[s > 0], epochs=2, batch_size=4)
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12)


def test_class_indices_and_names(executor: str, program_of: Any, data_of: Any) -> None:
    program = program_of(executor, loss="cross_entropy")
    X, _ = data_of(60)
    classes = (X[:, 0] > 0).astype(int)
    columns = {name: X[:, k] for k, name in enumerate(program.inputs)}
    history = fg.fit(program, columns, classes, epochs=40, learning_rate=0.05, metrics=["accuracy"])
    assert history["accuracy"][-1] > 0.9
    other = program_of(executor, loss="cross_entropy")
    fg.fit(other, X, np.eye(2)[classes], epochs=40, learning_rate=0.05)
    assert (other.theta == program.theta).all()


def test_float32_stays_float32(executor: str, program_of: Any, data_of: Any) -> None:
    program = program_of(executor, dtype="float32")
    X, T = data_of()
    history = fg.fit(program, X, T, epochs=3, optimizer="adamw", l2=0.01, validation=0.25)
    assert program.theta.dtype == np.float32
    assert np.isfinite(history["val_loss"]).all()


# ---- order and seeds --------------------------------------------------------------------------------------------


def test_the_seed_decides_everything(executor: str, program_of: Any, data_of: Any) -> None:
    X, T = data_of()
    thetas = []
    for seed in (1, 1, 2):
        program = program_of(executor)
        fg.fit(program, X, T, epochs=3, batch_size=7, seed=seed, validation=0.2)
        thetas.append(program.theta.copy())
    assert (thetas[0] == thetas[1]).all()
    assert (thetas[0] != thetas[2]).any()


def test_every_sample_once_an_epoch_in_another_order(
    monkeypatch: pytest.MonkeyPatch, program_of: Any, data_of: Any
) -> None:
    program, seen = program_of("python"), []
    X, T = data_of(11)
    X[:, 0] = np.arange(11)
    plain = program._differentiate
    monkeypatch.setattr(program, "_differentiate", lambda *a: (seen.append(a[1][:, 0].tolist()), plain(*a))[1])
    fg.fit(program, X, T, epochs=2, batch_size=4)
    assert [len(batch) for batch in seen] == [4, 4, 3, 4, 4, 3]
    first, second = seen[0] + seen[1] + seen[2], seen[3] + seen[4] + seen[5]
    assert sorted(first) == sorted(second) == list(range(11))
    assert first != second != sorted(second)
    seen.clear()
    fg.fit(program, X, T, epochs=1, batch_size=100, shuffle=False)
    assert seen == [list(range(11))]


def test_training_goes_on_from_where_theta_stands(executor: str, program_of: Any, data_of: Any) -> None:
    program = program_of(executor)
    X, T = data_of()
    first = fg.fit(program, X, T, epochs=5, optimizer="sgd")
    second = fg.fit(program, X, T, epochs=5, optimizer="sgd")
    assert second["loss"][0] < first["loss"][-1]


# ---- settings ---------------------------------------------------------------------------------------------------


def test_schedule_and_rate(executor: str, program_of: Any, data_of: Any) -> None:
    X, T = data_of(8)
    history = fg.fit(program_of(executor), X, T, epochs=3, learning_rate=0.5, schedule=lambda epoch: 1 / epoch)
    assert history["rate"].tolist() == [0.5, 0.25, 0.5 / 3]
    frozen = program_of(executor)
    before = frozen.theta.copy()
    fg.fit(frozen, X, T, epochs=2, schedule=lambda epoch: 0.0)
    assert (frozen.theta == before).all()
    history = fg.fit(program_of(executor), X, T, epochs=1, optimizer=Adam(learning_rate=0.125))
    assert history["rate"].tolist() == [0.125]


def test_early_stopping_ends_with_the_best_theta(executor: str, program_of: Any, data_of: Any) -> None:
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


def test_a_share_is_kept_from_training(program_of: Any, data_of: Any) -> None:
    X, T = data_of(20)
    X[3], T[3] = 77.0, 5.0
    seeds = range(40)
    held = 0
    for seed in seeds:
        program, seen = program_of("python"), []
        plain = program._differentiate
        program._differentiate = lambda *a, plain=plain, seen=seen: (seen.extend(a[1][:, 0].tolist()), plain(*a))[1]
        fg.fit(program, X, T, epochs=1, validation=0.25, seed=seed)
        assert len(seen) == 15
        held += 77.0 not in seen
    assert 2 <= held <= 20  # a quarter of 40, within what chance allows


# ---- history ----------------------------------------------------------------------------------------------------


def test_history(executor: str, program_of: Any, data_of: Any) -> None:
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


def test_a_bar_is_drawn(capsys: pytest.CaptureFixture[str], program_of: Any, data_of: Any) -> None:
    pytest.importorskip("rich")
    X, T = data_of(5)
    fg.fit(program_of("python"), X, T, epochs=2, progress=True)
    assert "2/2" in capsys.readouterr().out


def test_a_bar_needs_rich(monkeypatch: pytest.MonkeyPatch, program_of: Any, data_of: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rich.progress", None)
    X, T = data_of(5)
    with pytest.raises(MissingDependencyError, match=r"flowgrad\[cli\]"):
        fg.fit(program_of("python"), X, T, epochs=2, progress=True)
