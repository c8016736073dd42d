"""AdamW: Adam with weight decay of its own (Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flowgrad.maths.updates import Decay
from flowgrad.optimizers.adam import Adam


@dataclass(frozen=True)
class AdamW(Adam):
    """θ ← θ − rate·λ·θ at the weights, then the step of Adam: the decay does not pass through m and v.

    λ is `weight_decay`; biases do not decay. Under Adam an l2 penalty is divided by √v̂ like the rest of the
    gradient, so that the weights with the largest gradients shrink least: here all shrink alike.

    Raises:
        ConfigError: a setting out of range.
    """

    weight_decay: float = 0.01
    name: str = "adamw"
    summary: str = "adam with decoupled weight decay; beta1, beta2, epsilon, weight_decay, amsgrad"
    decay: ClassVar[Decay] = "decoupled"


entry = AdamW()
