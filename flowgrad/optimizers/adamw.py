"""AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flowgrad.maths.updates import Decay
from flowgrad.optimizers.adam import Adam


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← θ − rate·λ·θ at weights, then the step of Adam, with m and v of g alone.

    In Adam, the gradient of an l2 penalty is divided by √v̂ like the rest of the gradient, so weights with large
    gradients decay less than others. Here all weights decay by the same factor.

    Args:
        learning_rate, beta1, beta2, epsilon, amsgrad: as for `Adam`.
        weight_decay: λ ≥ 0; biases do not decay.

    Raises:
        ConfigError: a setting has the wrong type or range.
    """

    weight_decay: float = 0.01
    name: str = "adamw"
    summary: str = "adam with decoupled weight decay; beta1, beta2, epsilon, weight_decay, amsgrad"
    decay: ClassVar[Decay] = "decoupled"


entry = AdamW()
