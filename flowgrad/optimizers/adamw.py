"""AdamW: Adam with weight decay of its own (Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.arguments import real
from flowgrad.optimizer import Array, Step
from flowgrad.optimizers.adam import Adam


@dataclass(frozen=True)
class AdamW:
    """θ ← θ − rate·λ·θ at the weights, then the step of Adam: the decay does not pass through m and v.

    λ is `weight_decay`; biases do not decay. Under Adam an l2 penalty is divided by √v̂ like the rest of the
    gradient, so that the weights with the largest gradients shrink least: here all shrink alike.

    Raises:
        ConfigError: a setting out of range.
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    name: str = "adamw"
    summary: str = "adam with decoupled weight decay; beta1, beta2, epsilon, weight_decay"

    def __post_init__(self) -> None:
        self._adam()
        real("weight_decay", self.weight_decay, 0)

    def _adam(self) -> Adam:
        return Adam(self.learning_rate, self.beta1, self.beta2, self.epsilon)

    def start(self, theta: Array, decays: Any) -> Step:
        adam = self._adam().start(theta, decays)
        factor = np.where(decays, self.weight_decay, 0.0).astype(theta.dtype)
        scratch = np.empty_like(theta)

        def step(theta: Array, gradient: Array, rate: float) -> None:
            np.multiply(theta, factor, out=scratch)
            np.multiply(scratch, rate, out=scratch)
            np.subtract(theta, scratch, out=theta)
            adam(theta, gradient, rate)

        return step


entry = AdamW()
