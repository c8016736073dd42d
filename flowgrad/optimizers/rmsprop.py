"""RMSprop (Tieleman & Hinton 2012, lecture 6.5 of the course Neural Networks for Machine Learning)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowgrad.arguments import flag, real
from flowgrad.optimizer import Array, Elementwise


@dataclass(frozen=True)
class RMSprop:
    """RMSprop: v ← ρv + (1−ρ)g²;  θ ← θ − rate · g/(√v + ε).

    Args:
        learning_rate: number > 0, the rate if `fit` is given none.
        rho: ρ, at least 0 and below 1. The default is that of the lecture; PyTorch uses 0.99.
        epsilon: ε > 0.
        momentum: μ, at least 0 and below 1. If it is not 0, u ← μ·u + g/(√v + ε);  θ ← θ − rate·u.
        centered: whether √(v − a²) replaces √v, where a ← ρa + (1−ρ)g is the running mean of g (Graves 2013).
        weight_decay: λ ≥ 0; λ·θ is added to g at weights, not at biases.

    Raises:
        ConfigError: a setting has the wrong type or range.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0
    name: str = "rmsprop"
    summary: str = "gradient over its running root mean square; rho, epsilon, momentum, centered, weight_decay"

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, 0, open_low=True)
        real("rho", self.rho, 0, 1)
        real("epsilon", self.epsilon, 0, open_low=True)
        real("momentum", self.momentum, 0, 1)
        flag("centered", self.centered)
        real("weight_decay", self.weight_decay, 0)

    def start(self, theta: Array, decays: Any) -> Elementwise:
        rule = f"rmsprop{'_centered' if self.centered else ''}{'_momentum' if self.momentum else ''}"
        rest = (self.rho, 1.0 - self.rho, self.epsilon, *((self.momentum,) if self.momentum else ()))
        decaying = decays * self.weight_decay if self.weight_decay else None
        return Elementwise(rule, lambda t, rate: (rate, *rest), theta, decaying)


entry = RMSprop()
