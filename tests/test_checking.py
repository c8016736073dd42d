"""gradcheck: passes where backward is right, finds where it is not, and says what it cannot know."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.checking import difference
from flowgrad.errors import ConfigError, ShapeError
from flowgrad.inturn import InTurn
from flowgrad.registry import names

LOSSES = names("losses")


def program_of(executor: str, activation: str = "tanh", loss: str = "squared_error", **options: Any) -> fg.Program:
    net = fg.topologies.layered([3, 4, 2], activation=activation, seed=5)
    return fg.compile(net, executor=executor, loss=loss, **options)


def data_of(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(n, 3)), rng.uniform(0.1, 1.0, size=(n, 2))


class Wrong:
    """A kernel whose backward is off by a share at one edge."""

    def __init__(self, kernel: Any, edge: int, share: float) -> None:
        self.kernel, self.edge, self.share = kernel, edge, share

    def forward(self, *arguments: Any) -> Any:
        return self.kernel.forward(*arguments)

    def backward(self, *arguments: Any) -> Any:
        adjoint = self.kernel.backward(*arguments)
        weight = adjoint.weight.copy()
        weight[self.edge] += self.share * np.abs(weight).max()
        return replace(adjoint, weight=weight)


def spoil(program: fg.Program, edge: int, share: float) -> None:
    """Put such a kernel in the place of the program's."""
    wrong = Wrong(program.kernel, edge, share)
    program._differentiate = InTurn(wrong, program.plan, program.loss).value_and_grad


@pytest.mark.covering(executor=["python", "numba"], loss=LOSSES, reduction=["mean", "sum"])
def test_every_loss_passes(executor: str, loss: str, reduction: str) -> None:
    program, (X, T) = program_of(executor, loss=loss, reduction=reduction), data_of()
    check = fg.gradcheck(program, X, T, sample_weight=np.arange(1.0, 7.0), rows=0)
    assert check.passed
    assert check.worst_error < 1e-9
    assert check.checked == check.parameters == len(program.theta) == len(check.slots)


@pytest.mark.covering(
    executor=["python", "numba"],
    activation=["relu", "leaky_relu", "abs", "hard_tanh", "gelu", "sin", "step"],
    dtype=["float64", "float32"],
)
def test_kinks_between_steps_do_not_fool_it(executor: str, activation: str, dtype: str) -> None:
    X, T = data_of(30)
    check = fg.gradcheck(program_of(executor, activation, dtype=dtype), X, T, rows=0)
    assert check.passed
    assert check.worst_error < (1e-7 if dtype == "float64" else 1e-5)
    assert all(s.verdict == "agrees" for s in check.slots)


@pytest.mark.parametrize("share", [1e-6, 1e-3, 0.1])
def test_a_wrong_gradient_is_found_and_named(share: float) -> None:
    program, (X, T) = program_of("python"), data_of()
    edge = program.labels.edge((1, 4))
    spoil(program, edge, share)
    check = fg.gradcheck(program, X, T)
    assert not check.passed
    worst = check.slots[0]
    assert (worst.slot, worst.verdict, worst.label) == (program.theta_index[1, 4], "differs", "weight 1 → 4")
    assert worst.error == pytest.approx(share, rel=0.2)
    assert [s.verdict for s in check.slots[1:]] == ["agrees"] * (len(check.slots) - 1)
    said = repr(check).splitlines()[1]
    assert said.startswith("weight 1 → 4")
    assert said.endswith("differs")
    assert "FAILED: 26 of 26" in repr(check)


def test_an_error_outside_the_sample_shows_in_the_directions() -> None:
    net = fg.topologies.layered([20, 20, 2], activation="tanh", seed=1)
    program = fg.compile(net, executor="python", loss="squared_error")
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(3, 20)), rng.normal(size=(3, 2))
    good = fg.gradcheck(program, X, T, slots=5, directions=3, rows=0)
    assert good.passed
    assert (good.checked, good.parameters, len(good.slots)) == (5, 462, 8)
    sampled = {s.slot for s in good.slots}
    edge = next(k for k in range(program.plan.n_edges) if k not in sampled)
    spoil(program, edge, 0.5)
    bad = fg.gradcheck(program, X, T, slots=5, directions=3, rows=0)
    assert {s.label for s in bad.slots if s.verdict == "differs"} == {"direction 1", "direction 2", "direction 3"}


def test_the_sample_is_the_seeds() -> None:
    program, (X, T) = program_of("python"), data_of()
    drawn = [[s.slot for s in fg.gradcheck(program, X, T, slots=4, seed=n, rows=0).slots] for n in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) != set(drawn[2])


def test_a_kink_is_named_and_not_held_against_backward(executor: str) -> None:
    net = fg.Network.from_arrays([0, 1], [1, 2], weight=[1.0, 1.0], activation="relu")
    program = fg.compile(net, executor=executor, loss="squared_error")
    check = fg.gradcheck(program, [[0.0], [1.0]], [[1.0], [2.0]])
    verdicts = {s.label: s.verdict for s in check.slots}
    assert verdicts == {"weight 0 → 1": "agrees", "weight 1 → 2": "agrees", "bias 1": "kink", "bias 2": "kink"}
    assert check.passed
    assert "2 kink" in repr(check)


def test_nothing_measured_is_no_pass() -> None:
    net = fg.Network.from_arrays([0], [1], weight=[1.0], activation="log")
    program = fg.compile(net, executor="python", loss="squared_error")
    with np.errstate(all="ignore"):
        assert not fg.gradcheck(program, [[-1.0]], [[1.0]], rows=0).passed


def test_theta_is_left_alone_and_may_be_given(executor: str) -> None:
    program, (X, T) = program_of(executor), data_of()
    before = program.theta.copy()
    check = fg.gradcheck(program, X, T, theta=np.zeros(len(before)), rows=0)
    assert (program.theta == before).all()
    by_slot = {s.slot: s.analytic for s in check.slots}
    _, g = program.value_and_grad(np.zeros(len(before)), X, T)
    assert [by_slot[k] for k in range(len(before))] == g.tolist()


def test_shared_and_frozen_parameters(executor: str) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("a", [], activation="tanh", trainable=False)
    net.add_neuron("b", [], activation="tanh", aggregation="max")
    net.connect("x", "a", 0.7, param="w")
    net.connect("x", "b", 0.7, param="w")
    net.connect("a", "b", -1.5, trainable=False)
    program = fg.compile(net, executor=executor, loss="squared_error")
    check = fg.gradcheck(program, [[0.3], [-1.0], [2.0]], [[1.0], [0.0], [0.5]], rows=0)
    assert check.passed
    assert {s.label for s in check.slots} == {"weight x → a", "bias b"}


@pytest.mark.parametrize(
    ("f", "slope"),
    [(np.exp, 1.0), (lambda h: np.sin(50 * h), 50.0), (lambda h: 1e8 + h, 1.0), (lambda h: abs(h - 3e-3), -1.0)],
)
def test_differences_know_how_far_off_they_are(f: Callable[[float], float], slope: float) -> None:
    found = difference(f, 1.0, 1e-9)
    assert abs(found.value - slope) <= 10 * found.doubt + 1e-12
    assert found.doubt < 1e-3
    assert not found.kink


def test_differences_see_a_kink_and_a_jump() -> None:
    assert difference(lambda h: 2 * abs(h) + h, 1.0, 1e-9).kink
    assert difference(lambda h: math.copysign(1.0, h), 1.0, 1e-9).doubt > 1


def test_one_sample_has_no_loss_where_all_have_one_together() -> None:
    program = fg.compile(fg.topologies.layered([2, 3, 1], seed=1), executor="python", loss="cox")
    X, T = np.random.default_rng(0).normal(size=(2, 6, 2))
    assert fg.gradcheck(program, X, T[:, :1]).passed
    with pytest.raises(ConfigError, match=r"^sample=2: cox depends on all samples together"):
        fg.gradcheck(program, X, T[:, :1], sample=2)


def test_bad_arguments() -> None:
    program, (X, T) = program_of("python"), data_of()
    for arguments in ({"slots": 0}, {"rows": -1}, {"tolerance": 0.0}, {"seed": "a"}, {"directions": -1}):
        with pytest.raises(ConfigError, match=next(iter(arguments))):
            fg.gradcheck(program, X, T, **arguments)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigError, match="not a Network"):
        fg.gradcheck(fg.topologies.layered([3, 2], seed=0), X, T)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ShapeError, match="theta has shape"):
        fg.gradcheck(program, X, T, theta=[1.0])
    with pytest.raises(ShapeError, match="T has 5 rows and X 6"):
        fg.gradcheck(program, X, T[:5])
