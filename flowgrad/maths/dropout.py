"""Dropout: draw the neurons that a training step sets to 0 in each sample, by a counter-based (stateless) generator.

In training a_v of a hidden neuron is multiplied by m/(1 − p), m = 1 with probability 1 − p, else 0. Inputs have a p of
their own; outputs are never dropped (Srivastava et al. 2014, scaled in training). Each m is derived from a hash of
(seed, step, neuron, sample), so that every executor draws the same m, in any order and on any number of threads. Seed
and step are mixed by the finalizer of SplitMix64 (Steele, Lea & Flood 2014), neurons and samples by Wellons' lowbias32
(2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import real, whole

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
ROUNDS = ((16, 0x7FEB352D), (15, 0x846CA68B))
"""Rounds of the 32-bit hash: XOR x with x >> the first number, multiply by the second; a last XOR is with x >> 16."""


@dataclass(frozen=True)
class Dropout:
    """Draw of the neurons that one training step drops: their activations are set to 0, independently in each sample.

    The draw is a function of seed, step, neuron and sample alone, hence equal on every executor.

    Args:
        p: probability that a hidden neuron is dropped, 0 ≤ p < 1; it is rounded to a multiple of 2⁻³².
        seed: seed of the draw, an integer ≥ 0.
        step: number of the training step, an integer ≥ 0.
        first: number of the first sample of the batch, an integer ≥ 0. If a batch is processed in parts, the number of
            each part's first sample makes the draw equal to that of the whole batch.
        inputs: probability that an input is dropped, 0 ≤ inputs < 1, rounded as p.

    Raises:
        ConfigError: an argument has the wrong type or is out of range.

    >>> Dropout(0.5, seed=1, step=3).factors([0, 1], 6).tolist()
    [[0.0, 2.0, 2.0, 0.0, 0.0, 2.0], [0.0, 0.0, 2.0, 0.0, 2.0, 2.0]]
    """

    p: float = 0.0
    seed: int = 0
    step: int = 0
    first: int = 0
    inputs: float = 0.0

    def __post_init__(self) -> None:
        real("dropout", self.p, 0, 1)
        real("input_dropout", self.inputs, 0, 1)
        for name in ("seed", "step", "first"):
            whole(name, getattr(self, name), 0)

    @cached_property
    def least(self) -> tuple[int, int]:
        """Two thresholds, for hidden neurons and for inputs: one is kept if its hash, an integer < 2³², is ≥ this."""
        return min(round(self.p * 2**32), MASK32), min(round(self.inputs * 2**32), MASK32)

    @cached_property
    def keys(self) -> tuple[int, int]:
        """Two keys derived from seed and step, integers < 2³²: one for the samples, one for the neurons."""
        key = _mixed64(_mixed64(self.seed + GOLDEN) + self.step * GOLDEN)
        return key & MASK32, key >> 32

    def factors(self, neurons: Any, samples: int, inputs: bool = False) -> npt.NDArray[np.float64]:
        """Return the factors by which activations are multiplied: 0 if dropped, else 1/(1 − p).

        Args:
            neurons: (n,) positions in `Plan.nodes`, integers ≥ 0; all are hidden neurons, or all are inputs.
            samples: number of samples B; their numbers are first … first + B − 1.
            inputs: whether the nodes are inputs, so that the probability is `self.inputs` and not `self.p`.

        Returns:
            (n, B) float64.
        """
        (of_samples, of_neurons), least = self.keys, self.least[inputs]
        s = hashed(np.arange(self.first, self.first + samples, dtype=np.uint64) + np.uint64(of_samples))
        v = hashed(np.asarray(neurons, np.uint64) + np.uint64(of_neurons))
        return np.where(hashed(v[:, None] ^ s[None, :]) >= least, 1.0 / (1.0 - least / 2**32), 0.0)


def hashed(x: Any) -> Any:
    """Hash the lower 32 bits of each element (uint64) to 32 bits by lowbias32, a bijection."""
    x = x & np.uint64(MASK32)
    for shift, factor in ROUNDS:
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(MASK32)
    return x ^ (x >> np.uint64(16))


def _mixed64(x: int) -> int:
    """Mix the lower 64 bits of an integer by the finalizer of SplitMix64, a bijection."""
    x &= MASK64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ (x >> shift)) * factor) & MASK64
    return x ^ (x >> 31)
