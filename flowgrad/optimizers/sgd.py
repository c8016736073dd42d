"""Stochastic gradient descent, optionally with momentum and Nesterov's look-ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowgrad.arguments import flag, real
from flowgrad.errors import ConfigError
from flowgrad.optimizer import Array, Elementwise


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: θ ← θ − rate·g, or with momentum u ← μ·u + (1−d)·g;  θ ← θ − rate·u.

    The rate multiplies u where θ is updated, so a schedule takes effect at once. (In Sutskever et al. 2013 the rate
    multiplies g where g is added to u.)

    Args:
        learning_rate: number > 0, the rate if `fit` is given none.
        momentum: μ, at least 0 and below 1; 0 is plain gradient descent.
        nesterov: whether the update is θ ← θ − rate·(g + μ·u).
        dampening: d, at least 0 and below 1. In the first step, and without momentum, d is 0.
        weight_decay: λ ≥ 0; λ·θ is added to g at weights, not at biases, like the gradient of an l2 penalty of λ/2.

    Raises:
        ConfigError: a setting has the wrong type or range, or nesterov is given without momentum or with dampening.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    dampening: float = 0.0
    weight_decay: float = 0.0
    name: str = "sgd"
    summary: str = "gradient descent; momentum, nesterov, dampening, weight_decay"

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, 0, open_low=True)
        real("momentum", self.momentum, 0, 1)
        flag("nesterov", self.nesterov)
        real("dampening", self.dampening, 0, 1)
        real("weight_decay", self.weight_decay, 0)
        if self.nesterov and not self.momentum:
            raise ConfigError("nesterov=True: needs momentum above 0")
        if self.nesterov and self.dampening:
            raise ConfigError("nesterov=True: goes without dampening")

    def start(self, theta: Array, decays: Any) -> Elementwise:
        rule = "nesterov" if self.nesterov else "momentum" if self.momentum else "plain"

        def constants(t: int, rate: float) -> tuple[float, ...]:
            return (rate, self.momentum, 1.0 if t == 1 else 1.0 - self.dampening)[: 1 if rule == "plain" else 3]

        return Elementwise(rule, constants, theta, decays * self.weight_decay if self.weight_decay else None)


entry = SGD()
