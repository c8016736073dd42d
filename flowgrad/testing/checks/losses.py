"""Losses, reductions and sample weights, through backward and through value_and_grad."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowgrad.maths.losses import Loss
from flowgrad.network import Network
from flowgrad.program import Program, compile
from flowgrad.registry import names
from flowgrad.testing import oracle
from flowgrad.testing.battery import NEAR, Subject, check

O = 3  # outputs
INF = math.inf

# (y, t, Σ_n l_n, ∂(Σ_k l_k)/∂y_n), computed by hand from maths.md
BY_HAND: dict[str, list[tuple[list[float], list[float], float, list[float]]]] = {
    "squared_error": [([1, 2, 3], [0, 2, 5], 2.5, [1, 0, -2])],
    "absolute_error": [([1, 2, 3], [0, 2, 5], 3.0, [1, 0, -1])],
    "huber": [([0.5, 2, 3], [0, 2, 5], 1.625, [0.5, 0, -1]), ([1, 1, 1], [0, 2, 1], 1.0, [1, -1, 0])],
    "poisson": [([0, 0, 0], [1, 0, 3], 3.0, [0, 1, -2]), ([-INF, 0, 0], [0, 1, 1], 2.0, [0, 0, 0])],
    "cross_entropy": [
        ([1e4, 0, -1e4], [1, 0, 0], 0.0, [0, 0, 0]),
        ([1e4, 0, -1e4], [0, 1, 0], 1e4, [1, -1, 0]),
        ([0, 0, 0], [1, 0, 0], math.log(3), [-2 / 3, 1 / 3, 1 / 3]),
        ([-INF, 0, 0], [1, 0, 0], INF, [-1, 0.5, 0.5]),
        ([1e17, 1e17, 0], [1, 0, 0], math.log(2), [-0.5, 0.5, 0]),
        ([2.0**23 + 1, 2.0**23, 0], [0, 1, 0], math.log1p(math.e), [1 / (1 + 1 / math.e), -1 / (1 + 1 / math.e), 0]),
        ([0, -40, -INF], [1, 0, 0], math.log1p(math.exp(-40)), [-math.exp(-40), math.exp(-40), 0]),
    ],
    "binary_cross_entropy": [
        ([1000, -1000, 0], [0, 1, 1], 2000 + math.log(2), [1, -1, -0.5]),
        ([1000, -1000, 0], [1, 0, 0], math.log(2), [0, 0, 0.5]),
        ([INF, 0, 0], [0, 1, 1], INF, [1, -0.5, -0.5]),
    ],
}


@check("losses", least=30, over=names("losses"), name="losses")
def losses(subject: Subject, name: str) -> None:
    """A loss and its base cases (9) are right, for both reductions, sample weights, single outputs and edge values."""
    for y, t, value, slope in BY_HAND.get(name, []):
        for dtype in subject.info.dtypes:
            near = 1e-12 if dtype == "float64" else 1e-6
            for loss, dy in _both(subject.compile(_straight(subject), dtype, name), [y], [t]):
                subject.each(f"{name} of y = {y}, t = {t} in {dtype}", loss, value, near, near)
                subject.each(f"∂{name}/∂y at y = {y}, t = {t} in {dtype}", dy[0], slope, near, near)
    rng = np.random.default_rng(91)
    Y, T = rng.standard_normal((9, O)) * 2, oracle.targets(name, rng, (9, O))
    weights = rng.random(9) + 0.25
    if name in (*oracle.LOSS, "cross_entropy"):
        program = subject.compile(_straight(subject), "float64", name, reduction="sum")
        total = sum(
            complex(l).real for y, t in zip(Y, T, strict=True) for l in oracle.losses(name, y.tolist(), t.tolist())
        )
        base = [oracle.base_cases(name, y.tolist(), t.tolist()) for y, t in zip(Y, T, strict=True)]
        for loss, dy in _both(program, Y, T):
            subject.same(f"{name} of the oracle", loss, total)
            subject.same(f"base cases of {name} of the oracle", dy, base)
    for dtype in subject.info.dtypes:
        for reduction in ("mean", "sum"):
            for s in (None, weights):
                _beside_python(subject, name, Y, T, dtype, reduction, s)


def _beside_python(subject: Subject, loss: str | Loss, Y: Any, T: Any, dtype: str, reduction: str, s: Any) -> None:
    net, name = _straight(subject), loss if isinstance(loss, str) else loss.name
    one = subject.compile(net, dtype, loss, reduction=reduction)
    options: dict[str, Any] = {"dtype": dtype, "loss": loss, "reduction": reduction}
    ref = compile(net, executor="python", **options)
    near, where = NEAR[dtype], f"of {name}, {reduction}, {dtype}, {'with' if s is not None else 'without'} weights"
    found = one.backward(one.forward(Y), T, sample_weight=s, per_output=subject.info.per_output)
    expected = ref.backward(ref.forward(Y), T, sample_weight=s, per_output=True)
    value, g = one.value_and_grad(one.theta, Y, T, sample_weight=s)
    subject.same(f"loss {where}", found.loss, expected.loss, near)
    subject.same(f"fused loss {where}", value, expected.loss, near)
    given = subject.given(one)
    subject.same(f"∂L/∂z {where}", found.dz.array[given], expected.dz.array[given], near)
    subject.same(f"∂L/∂θ {where}", found.theta, expected.theta, near)
    subject.same(f"fused ∂L/∂θ {where}", g, expected.theta, near)
    if not subject.info.per_output:
        return
    rows = np.array(list(found.per_output.values()))
    subject.same(f"∂l_n/∂θ {where}", rows, np.array(list(expected.per_output.values())), near)
    subject.same(f"Σ_n ∂l_n/∂θ {where}", rows.sum(axis=0), expected.theta, near)


@check("losses", least=4)
def class_indices(subject: Subject) -> None:
    """Class indices (B,) under cross_entropy are equivalent to one-hot rows, in backward and value_and_grad."""
    rng = np.random.default_rng(95)
    Y, classes = rng.standard_normal((7, O)), rng.integers(0, O, 7)
    program = subject.compile(_straight(subject), loss="cross_entropy")
    by_index, by_row = _both(program, Y, classes), _both(program, Y, np.eye(O)[classes])
    for (loss, dy), (loss_of_rows, dy_of_rows) in zip(by_index, by_row, strict=True):
        subject.bits("loss", np.float64(loss), np.float64(loss_of_rows))
        subject.bits("base cases", dy, dy_of_rows)


def quartic(y: Any, t: Any) -> Any:
    """(y − t)⁴, a loss that flowgrad does not define."""
    return (y - t) * (y - t) * (y - t) * (y - t)


def dquartic(y: Any, t: Any) -> Any:
    """4 (y − t)³"""
    return 4.0 * (y - t) * (y - t) * (y - t)


def halved(y: Any, t: Any, lse: Any) -> Any:
    """½ t_n (lse − y_n), half the cross-entropy: a coupled loss that flowgrad does not define."""
    return 0.5 * t * (lse - y)


def dhalved(y: Any, t: Any, lse: Any, mass: Any) -> Any:
    """½ (mass · p_n − t_n), p = softmax(y)"""
    return 0.5 * (mass * np.exp(y - lse) - t)


OWN: dict[str, tuple[Loss, Any, Any]] = {  # name → (record, Σ l_n and base cases as functions of y, t (B, O))
    "quartic": (
        Loss("quartic", quartic, dquartic),
        lambda y, t: ((y - t) ** 4).sum(),
        lambda y, t: 4 * (y - t) ** 3,
    ),
    "halved": (
        Loss("halved", halved, dhalved, coupled=True),
        lambda y, t: 0.5 * (t.sum(axis=1) * np.log(np.exp(y).sum(axis=1)) - (t * y).sum(axis=1)).sum(),
        lambda y, t: 0.5 * (t.sum(axis=1) * np.exp(y).T / np.exp(y).sum(axis=1)).T - 0.5 * t,
    ),
}


@check("losses", least=30, over=tuple(OWN), name="a_loss_of_the_users_own")
def a_loss_of_the_users_own(subject: Subject, name: str) -> None:
    """A user's own `Loss(name, f, df)` works in all dtypes, for both reductions, sample weights and single outputs."""
    own, value, slope = OWN[name]
    rng = np.random.default_rng(97)
    Y, T = rng.standard_normal((5, O)), rng.random((5, O))
    for loss, dy in _both(subject.compile(_straight(subject), loss=own, reduction="sum"), Y, T):
        subject.same("its value", loss, value(Y, T))
        subject.same("its base cases", dy, slope(Y, T))
    for dtype in subject.info.dtypes:
        for reduction in ("mean", "sum"):
            for s in (None, rng.random(5) + 0.25):
                _beside_python(subject, own, Y, T, dtype, reduction, s)


def _straight(subject: Subject) -> Network:
    """Return a network with y = x: one edge of weight 1 per output."""
    net, sigma = Network(), subject.functions("activations", ("identity",))[0]
    for k in range(O):
        net.add_input(k)
    for k in range(O):
        net.add_neuron((k, "y"), {k: 1.0}, activation=sigma)
    return net


def _both(program: Program, Y: Any, T: Any) -> list[tuple[float, Any]]:
    """Return loss and ∂L/∂y (B, O) twice: by backward, and by value_and_grad of single samples (as ∂L/∂b)."""
    acts = program.forward(Y)
    grads = program.backward(acts, T)
    slots = [program.theta_index.bias[v] for v in program.outputs]
    dy = grads.dz.array[program.plan.outputs].T
    total, rows = 0.0, []
    for b in range(len(dy)):
        value, g = program.value_and_grad(program.theta, Y[b : b + 1], T[b : b + 1])
        total += value
        rows.append(g[slots])
    mean = len(dy) if program.reduction == "mean" else 1
    return [(float(grads.loss or 0.0), dy), (total / mean, np.array(rows))]
