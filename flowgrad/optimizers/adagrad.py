"""Adagrad (Duchi, Hazan & Singer 2011, with diagonal matrices)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowgrad.arguments import real
from flowgrad.optimizer import Array, Elementwise


@dataclass(frozen=True)
class Adagrad:
    """Adagrad: v ← v + g²;  θ ← θ − rate/(1 + (t−1)·η) · g/(√v + ε), where t counts the steps from 1.

    Args:
        learning_rate: number > 0, the rate if `fit` is given none.
        epsilon: ε > 0.
        initial: initial value of v, ≥ 0.
        rate_decay: η ≥ 0.
        weight_decay: λ ≥ 0; λ·θ is added to g at weights, not at biases.

    Raises:
        ConfigError: a setting has the wrong type or range.
    """

    learning_rate: float = 0.01
    epsilon: float = 1e-10
    initial: float = 0.0
    rate_decay: float = 0.0
    weight_decay: float = 0.0
    name: str = "adagrad"
    summary: str = "gradient over the root of its summed squares; epsilon, initial, rate_decay, weight_decay"

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, 0, open_low=True)
        real("epsilon", self.epsilon, 0, open_low=True)
        real("initial", self.initial, 0)
        real("rate_decay", self.rate_decay, 0)
        real("weight_decay", self.weight_decay, 0)

    def start(self, theta: Array, decays: Any) -> Elementwise:
        def constants(t: int, rate: float) -> tuple[float, ...]:
            return rate / (1.0 + (t - 1) * self.rate_decay), self.epsilon

        decaying = decays * self.weight_decay if self.weight_decay else None
        return Elementwise("adagrad", constants, theta, decaying, initial=self.initial)


entry = Adagrad()
