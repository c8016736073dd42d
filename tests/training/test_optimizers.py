"""Optimizers against their published updates, written out once more for single numbers."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flowgrad.errors import ConfigError
from flowgrad.maths.updates import Update
from flowgrad.optimizer import BLOCK, Optimizer, by_blocks
from flowgrad.optimizers.adagrad import Adagrad
from flowgrad.optimizers.adam import Adam
from flowgrad.optimizers.adamw import AdamW
from flowgrad.optimizers.rmsprop import RMSprop
from flowgrad.optimizers.sgd import SGD
from flowgrad.registry import find, names

STEPS = 30


def sgd(theta: float, gradients: list[float], rate: float, mu: float = 0.0, nesterov: bool = False) -> float:
    u = 0.0
    for g in gradients:
        u = mu * u + g
        theta -= rate * (g + mu * u if nesterov else u)
    return theta


def adam(theta: float, gradients: list[float], rate: float, decay: float = 0.0) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        theta -= rate * decay * theta
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta -= rate * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return theta


def rmsprop(theta: float, gradients: list[float], rate: float) -> float:
    v = 0.0
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        theta -= rate * g / (math.sqrt(v) + 1e-8)
    return theta


RULES: list[tuple[Optimizer, Callable[..., float], dict[str, Any]]] = [
    (SGD(), sgd, {}),
    (SGD(momentum=0.8), sgd, {"mu": 0.8}),
    (SGD(momentum=0.8, nesterov=True), sgd, {"mu": 0.8, "nesterov": True}),
    (Adam(), adam, {}),
    (AdamW(weight_decay=0.3), adam, {"decay": 0.3}),
    (RMSprop(), rmsprop, {}),
]


TORCH: list[tuple[Optimizer, str, dict[str, Any]]] = [
    (SGD(weight_decay=0.1), "SGD", {"weight_decay": 0.1}),
    (SGD(momentum=0.9, dampening=0.3), "SGD", {"momentum": 0.9, "dampening": 0.3}),
    (
        SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
        "SGD",
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    (Adam(), "Adam", {}),
    (Adam(beta1=0.8, beta2=0.95, epsilon=1e-3), "Adam", {"betas": (0.8, 0.95), "eps": 1e-3}),
    (Adam(amsgrad=True, weight_decay=0.1), "Adam", {"amsgrad": True, "weight_decay": 0.1}),
    (AdamW(weight_decay=0.3), "AdamW", {"weight_decay": 0.3}),
    (AdamW(weight_decay=0.3, amsgrad=True), "AdamW", {"weight_decay": 0.3, "amsgrad": True}),
    (RMSprop(rho=0.99), "RMSprop", {}),
    (RMSprop(momentum=0.7, weight_decay=0.1), "RMSprop", {"alpha": 0.9, "momentum": 0.7, "weight_decay": 0.1}),
    (RMSprop(centered=True), "RMSprop", {"alpha": 0.9, "centered": True}),
    (RMSprop(centered=True, momentum=0.5), "RMSprop", {"alpha": 0.9, "centered": True, "momentum": 0.5}),
    (Adagrad(), "Adagrad", {}),
    (
        Adagrad(initial=0.2, rate_decay=0.1, weight_decay=0.1),
        "Adagrad",
        {"initial_accumulator_value": 0.2, "lr_decay": 0.1, "weight_decay": 0.1},
    ),
]


@pytest.mark.parametrize(("rule", "name", "options"), TORCH, ids=lambda x: x if isinstance(x, str) else "")
def test_steps_are_those_of_torch(rule: Optimizer, name: str, options: dict[str, Any]) -> None:
    """In float64 over 100 steps; weights decay, biases are a group that does not."""
    torch = pytest.importorskip("torch", reason="torch is not installed: it is compared with")
    rng = np.random.default_rng(3)
    first, gradients = rng.normal(size=8), rng.normal(size=(100, 8))
    weights, biases = (torch.tensor(part.copy(), dtype=torch.float64) for part in (first[:6], first[6:]))
    groups = [{"params": [weights]}, {"params": [biases], "weight_decay": 0.0}]
    theirs = getattr(torch.optim, name)(groups, lr=0.02, **options)
    theta = first.copy()
    step = rule.start(theta, np.arange(8) < 6)
    for g in gradients:
        step(theta, g, 0.02)
        weights.grad, biases.grad = torch.tensor(g[:6]), torch.tensor(g[6:])
        theirs.step()
    np.testing.assert_allclose(theta, np.concatenate([weights.numpy(), biases.numpy()]), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numba_moves_as_numpy_does(dtype: Any) -> None:
    """Bit for bit, with every part of an update and without; what is not finite is told."""
    pytest.importorskip("numba")
    from flowgrad.executors._numba.update import Updater

    compiled, rng = Updater(np.dtype(dtype), 2), np.random.default_rng(0)
    everything = {"l1": True, "l2": True, "cut": True, "bounded": True, "scaled": True}
    for rule, more in (
        ("adam", everything | {"decay": "decoupled"}),
        ("rmsprop_centered_momentum", {"decay": "coupled"}),
    ):
        update, n = Update(rule, **more), compiled.room(3 * 2**14 + 5)
        theta, g = rng.standard_normal((2, n)).astype(dtype)
        rows, c = np.abs(rng.standard_normal((update.rows, n))).astype(dtype), (0.3,) * update.constants
        states, out, wanted = rows.copy(), np.zeros(n, dtype), np.zeros(n, dtype)
        assert compiled.advance(update, theta, g, out, states, c)
        assert by_blocks(update, theta, g, wanted, list(rows), c)
        assert out.tobytes() == wanted.tobytes()
        assert states.tobytes() == rows.tobytes()
        g[n // 2] = np.nan
        assert not compiled.advance(update, theta, g, out, states, c)
        g[n // 2] = 0
        penalties = rows[update.rows - update.l1 - update.l2 :]
        mine = g.copy()
        found = compiled.square(update, theta, mine, penalties)
        assert mine.tobytes() == np.asarray(update.penalized(theta, g, penalties)).tobytes()
        assert found == pytest.approx(np.square(mine, dtype=np.float64).sum(), rel=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("rule", "formula", "settings"), RULES, ids=lambda x: repr(x) if hasattr(x, "name") else "")
def test_steps_are_the_published_ones(rule: Optimizer, formula: Any, settings: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=5).astype(dtype)
    gradients = rng.normal(size=(STEPS, 5)).astype(dtype)
    theta = first.copy()
    step = rule.start(theta, np.ones(5, bool))
    for g in gradients:
        before = g.copy()
        step(theta, g, 0.05)
        assert (g == before).all()
    expected = [formula(float(first[k]), gradients[:, k].tolist(), 0.05, **settings) for k in range(5)]
    assert theta.dtype == dtype
    np.testing.assert_allclose(theta, expected, rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-6)


def test_adamw_leaves_biases_alone() -> None:
    theta, still = np.array([1.0, 1.0]), np.zeros(2)
    step = AdamW(weight_decay=0.1).start(theta, np.array([True, False]))
    step(theta, still, 0.5)
    assert theta.tolist() == [0.95, 1.0]


@pytest.mark.parametrize("rule", [r for r, _, _ in RULES], ids=repr)
def test_a_step_allocates_nothing_of_the_size_of_theta(rule: Optimizer) -> None:
    theta, g = np.ones(400_000), np.full(400_000, 0.5)
    step = rule.start(theta, np.ones(len(theta), bool))
    step(theta, g, 0.1)
    tracemalloc.start()
    try:
        step(theta, g, 0.1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 8 * BLOCK < theta.nbytes / 8


def test_two_runs_of_one_record_share_nothing() -> None:
    rule, g = Adam(), np.ones(3)
    one, two = np.zeros(3), np.zeros(3)
    first, second = rule.start(one, g > 0), rule.start(two, g > 0)
    first(one, g, 0.1)
    first(one, -5 * g, 0.1)
    second(two, g, 0.1)
    assert two.tolist() == [-0.1 / (1 + 1e-8)] * 3


def test_every_name_is_an_optimizer() -> None:
    assert set(names("optimizers")) >= {"sgd", "adam", "adamw", "rmsprop"}
    for name in names("optimizers"):
        entry = find("optimizers", name)
        assert isinstance(entry, Optimizer)
        assert entry.name == name
        assert entry.summary
        assert entry.learning_rate > 0


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: SGD(learning_rate=0), "learning_rate"),
        (lambda: SGD(momentum=1.0), "momentum"),
        (lambda: SGD(nesterov=True), "nesterov"),
        (lambda: SGD(momentum=0.5, nesterov=1), "nesterov"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: Adam(beta1=-0.1), "beta1"),
        (lambda: Adam(beta2=1), "beta2"),
        (lambda: Adam(epsilon=0), "epsilon"),
        (lambda: Adam(learning_rate="0.1"), "learning_rate"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: AdamW(weight_decay=-1), "weight_decay"),
        (lambda: AdamW(beta2=float("nan")), "beta2"),
        (lambda: RMSprop(rho=2), "rho"),
        (lambda: RMSprop(learning_rate=True), "learning_rate"),
    ],
)
def test_settings_out_of_range_are_named(make: Callable[[], object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        make()
