"""Saturation: neurons on a flat end of their activation function, judged by σ and σ' at their own z alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flowgrad.executor import Array
from flowgrad.maths.activation import Activation
from flowgrad.plan import Plan

SMALL = 1e-3  # flat: |σ'| below this share of the function's largest; of an unbounded function, below this value
BEYOND = 1e3  # factor on z at which an unbounded function is evaluated again, to see whether it has a limit

PROBES = np.unique(np.concatenate([np.linspace(-50, 50, 2001), *(s * np.geomspace(1e-3, 1e6, 901) for s in (-1, 1))]))


def saturated(plan: Plan, z: Array, slope: Array) -> Array:
    """Return (V,) bool: neurons that are on a flat end of their σ at every sample.

    A bounded σ (one with a `range`) is flat where |σ'| is below a thousandth of the largest that it has anywhere; one
    that is flat everywhere, such as step, has no such end. An unbounded σ is flat where |σ'| is below a thousandth
    and a thousand times further out σ has moved by less than that: softplus at −20, not log at 10⁴. Where its σ' is
    0 at every sample it is called dead and not saturated.

    Args:
        z, slope: (V, B) z and σ'(z) of every node.
    """
    steepest = np.abs(slope).max(axis=1)
    found = np.zeros(len(z), np.bool_)
    for code, sigma in enumerate(plan.activations):
        mine = plan.activation == code
        if sigma.range is not None:
            seen = np.abs(slope[mine])
            largest = max(_largest(sigma), float(seen[np.isfinite(seen)].max(initial=0.0)))
            found |= mine & (steepest < SMALL * largest)
        else:
            for v in np.flatnonzero(mine & (steepest > 0) & (steepest < SMALL)).tolist():
                found[v] = all(_arrived(sigma, value) for value in z[v].tolist())
    return found


def _largest(sigma: Activation) -> float:
    """Return the largest finite |σ'| at some 4,000 probes up to ±10⁶, denser near 0, where functions bend."""
    return max((abs(value) for value in map(_of(sigma.df), PROBES.tolist()) if np.isfinite(value)), default=0.0)


def _arrived(sigma: Activation, z: float) -> bool:
    """Whether σ changes by less than `SMALL` from z to `BEYOND` times as far out."""
    f = _of(sigma.f)
    return abs(f(np.copysign(BEYOND * max(1.0, abs(z)), z)) - f(z)) < SMALL


def _of(function: Callable[[float], float]) -> Callable[[float], float]:
    """Wrap a scalar function to return NaN where it raises, as functions of `math` do for large arguments."""

    def call(z: float) -> float:
        with np.errstate(all="ignore"):
            try:
                return float(function(np.float64(z)))
            except (ArithmeticError, ValueError):
                return float("nan")

    return call
