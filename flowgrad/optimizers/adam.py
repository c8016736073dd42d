"""Adam (Kingma & Ba 2015, algorithm 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from flowgrad.arguments import flag, real
from flowgrad.maths.updates import Decay
from flowgrad.optimizer import Array, Elementwise


@dataclass(frozen=True)
class Adam:
    """Adam: m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − rate · m̂/(√v̂ + ε).

    m̂ = m/(1−β₁ᵗ) and v̂ = v/(1−β₂ᵗ), where t counts the steps from 1, correct the bias of m and v, which start at 0.
    The default learning rate is the one of three that came closest to the best of a grid of settings on twelve data
    sets (`docs/defaults.md`). The paper and PyTorch use 0.001; wide, deep networks often need such a smaller rate.

    Args:
        learning_rate: number > 0, the rate if `fit` is given none.
        beta1, beta2: β₁ and β₂, at least 0 and below 1.
        epsilon: ε > 0.
        weight_decay: λ ≥ 0; λ·θ is added to g at weights, not at biases. This is an l2 penalty of λ/2, whose gradient
            is divided by √v̂ like the rest of g; `AdamW` has weight decay that is not.
        amsgrad: whether v̂ is computed from the largest v of all steps so far (Reddi et al. 2018).

    Raises:
        ConfigError: a setting has the wrong type or range.
    """

    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False
    name: str = "adam"
    summary: str = "first and second moments; beta1, beta2, epsilon, weight_decay, amsgrad"
    decay: ClassVar[Decay] = "coupled"

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, 0, open_low=True)
        real("beta1", self.beta1, 0, 1)
        real("beta2", self.beta2, 0, 1)
        real("epsilon", self.epsilon, 0, open_low=True)
        real("weight_decay", self.weight_decay, 0)
        flag("amsgrad", self.amsgrad)

    def start(self, theta: Array, decays: Any) -> Elementwise:
        b1, b2 = self.beta1, self.beta2

        def constants(t: int, rate: float) -> tuple[float, ...]:
            ascent, root = rate / (1.0 - b1**t), 1.0 / math.sqrt(1.0 - b2**t)
            return ascent, b1, 1.0 - b1, b2, 1.0 - b2, root, self.epsilon

        decaying = decays * self.weight_decay if self.weight_decay else None
        return Elementwise("amsgrad" if self.amsgrad else "adam", constants, theta, decaying, self.decay)


entry = Adam()
