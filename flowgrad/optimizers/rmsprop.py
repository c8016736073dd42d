"""RMSprop (Tieleman & Hinton 2012, lecture 6.5 of their course)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.arguments import real
from flowgrad.optimizer import Array, Step


@dataclass(frozen=True)
class RMSprop:
    """v ← ρv + (1−ρ)g²;  θ ← θ − rate · g/(√v + ε).

    ρ = 0.9 is the lecture's; PyTorch's default is 0.99.

    Raises:
        ConfigError: a setting out of range.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8
    name: str = "rmsprop"
    summary: str = "gradient over its running root mean square; rho, epsilon"

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, 0, open_low=True)
        real("rho", self.rho, 0, 1)
        real("epsilon", self.epsilon, 0, open_low=True)

    def start(self, theta: Array, decays: Any) -> Step:
        v, scratch = np.zeros_like(theta), np.empty_like(theta)
        rho, epsilon = self.rho, self.epsilon

        def step(theta: Array, gradient: Array, rate: float) -> None:
            np.multiply(v, rho, out=v)
            np.multiply(gradient, gradient, out=scratch)
            np.multiply(scratch, 1.0 - rho, out=scratch)
            np.add(v, scratch, out=v)
            np.sqrt(v, out=scratch)
            np.add(scratch, epsilon, out=scratch)
            np.divide(gradient, scratch, out=scratch)
            np.multiply(scratch, rate, out=scratch)
            np.subtract(theta, scratch, out=theta)

        return step


entry = RMSprop()
