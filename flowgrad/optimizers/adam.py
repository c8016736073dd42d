"""Adam (Kingma & Ba 2015, algorithm 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.arguments import real
from flowgrad.optimizer import Array, Step


@dataclass(frozen=True)
class Adam:
    """m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − rate · m̂/(√v̂ + ε).

    m̂ = m/(1−β₁ᵗ) and v̂ = v/(1−β₂ᵗ) undo the pull of the zeros that m and v begin with; t counts the steps
    from 1.

    Raises:
        ConfigError: a setting out of range.
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    name: str = "adam"
    summary: str = "first and second moments; beta1, beta2, epsilon"

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, 0, open_low=True)
        real("beta1", self.beta1, 0, 1)
        real("beta2", self.beta2, 0, 1)
        real("epsilon", self.epsilon, 0, open_low=True)

    def start(self, theta: Array, decays: Any) -> Step:
        m, v, scratch = np.zeros_like(theta), np.zeros_like(theta), np.empty_like(theta)
        beta1, beta2, epsilon = self.beta1, self.beta2, self.epsilon
        t = 0

        def step(theta: Array, gradient: Array, rate: float) -> None:
            nonlocal t
            t += 1
            np.multiply(m, beta1, out=m)
            np.multiply(gradient, 1.0 - beta1, out=scratch)
            np.add(m, scratch, out=m)
            np.multiply(v, beta2, out=v)
            np.multiply(gradient, gradient, out=scratch)
            np.multiply(scratch, 1.0 - beta2, out=scratch)
            np.add(v, scratch, out=v)
            np.sqrt(v, out=scratch)
            np.multiply(scratch, 1.0 / math.sqrt(1.0 - beta2**t), out=scratch)
            np.add(scratch, epsilon, out=scratch)
            np.divide(m, scratch, out=scratch)
            np.multiply(scratch, rate / (1.0 - beta1**t), out=scratch)
            np.subtract(theta, scratch, out=theta)

        return step


entry = Adam()
