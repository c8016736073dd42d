"""Stochastic gradient descent, with momentum and Nesterov's look-ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.arguments import real
from flowgrad.errors import ConfigError, brief
from flowgrad.optimizer import Array, Step


@dataclass(frozen=True)
class SGD:
    """u ← μ·u + g;  θ ← θ − rate·u, or with `nesterov` θ ← θ − rate·(g + μ·u). Without momentum u is g.

    The rate multiplies the velocity when it is used, not when it is gathered (Sutskever et al. 2013 do the
    latter), so that a schedule takes effect at once.

    Raises:
        ConfigError: a setting out of range, or nesterov without momentum.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    name: str = "sgd"
    summary: str = "gradient descent; momentum, nesterov"

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, 0, open_low=True)
        real("momentum", self.momentum, 0, 1)
        if not isinstance(self.nesterov, bool):
            raise ConfigError(f"nesterov={brief(self.nesterov)}: must be True or False")
        if self.nesterov and not self.momentum:
            raise ConfigError("nesterov=True: needs momentum above 0")

    def start(self, theta: Array, decays: Any) -> Step:
        u, scratch = np.zeros_like(theta), np.empty_like(theta)
        mu, nesterov = self.momentum, self.nesterov

        def step(theta: Array, gradient: Array, rate: float) -> None:
            if not mu:
                np.multiply(gradient, rate, out=scratch)
            else:
                np.multiply(u, mu, out=u)
                np.add(u, gradient, out=u)
                if nesterov:
                    np.multiply(u, mu, out=scratch)
                    np.add(scratch, gradient, out=scratch)
                    np.multiply(scratch, rate, out=scratch)
                else:
                    np.multiply(u, rate, out=scratch)
            np.subtract(theta, scratch, out=theta)

        return step


entry = SGD()
