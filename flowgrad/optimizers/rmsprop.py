"""RMSprop (Tieleman & Hinton 2012, lecture 6.5 of their course)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowgrad.arguments import flag, real
from flowgrad.optimizer import Array, Elementwise


@dataclass(frozen=True)
class RMSprop:
    """v ← ρv + (1−ρ)g²;  θ ← θ − rate · g/(√v + ε).

    ρ = 0.9 is the lecture's; PyTorch's default is 0.99. `centered` takes √(v − a²) for √v, a the running mean of g
    (Graves 2013); `momentum` μ gathers the quotients in u ← μ·u + g/(√v + ε); `weight_decay` λ adds λ·θ to g at the
    weights.

    Raises:
        ConfigError: a setting out of range.
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
