"""Where fit stops before its time: interrupted, or at a number that is not finite, which is named."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import NonFiniteError


def chain(executor: str, activation: str = "identity", weight: float = 1.0, loss: str = "squared_error") -> fg.Program:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": weight}, activation=activation)
    net.add_neuron("y", {"h": 1.0}, activation="identity")
    return fg.compile(net, executor=executor, loss=loss)


def test_interrupted_training_keeps_what_was_reached(executor: str, program_of: Any, data_of: Any) -> None:
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


def test_interrupted_in_the_middle_of_a_step(program_of: Any, data_of: Any) -> None:
    program, X, T = program_of("python"), *data_of(20)
    plain, thetas = program._differentiate, []

    def value_and_grad(theta: np.ndarray, *rest: Any) -> Any:
        thetas.append(theta.copy())
        if len(thetas) == 4:
            raise KeyboardInterrupt
        return plain(theta, *rest)

    program._differentiate = value_and_grad  # replaced in this test
    history = fg.fit(program, X, T, epochs=5, batch_size=10)
    assert (history.reason, len(history)) == ("interrupted", 1)
    assert (program.theta == thetas[2]).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_input_is_named(executor: str, bad: float, program_of: Any, data_of: Any) -> None:
    program, X, T = program_of(executor), *data_of(20)
    X[13, 1] = bad
    before = program.theta.copy()
    with pytest.raises(NonFiniteError, match=rf"epoch 1, step 3, batch 3 of 4: input 1 is {bad} at sample 13"):
        fg.fit(program, X, T, epochs=2, batch_size=5, shuffle=False)
    assert np.isfinite(program.theta).all()
    assert (program.theta != before).any()  # θ of step 2, the last that gave finite values


def test_a_bad_target_is_named(executor: str, program_of: Any, data_of: Any) -> None:
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


def test_a_bad_validation_sample_is_named(executor: str, program_of: Any, data_of: Any) -> None:
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
