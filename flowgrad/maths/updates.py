"""Updates: how every slot of θ moves by its gradient, slot by slot, as formulas over rows of slots.

A rule takes θ, the gradient g, its constants c and its states s, and gives θ and s anew. NumPy runs the formulas as
they stand; an executor may compile the same. They are those of `flowgrad.optimizers`, which say where each comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Rows = Sequence[Any] | npt.NDArray[Any]
Rule = Callable[[Any, Any, Rows, Rows], tuple[Any, tuple[Any, ...]]]
Decay = Literal["", "coupled", "decoupled"]


def plain(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """θ − rate·g"""
    (rate,) = c
    return p - g * rate, ()


def momentum(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """u ← μ·u + (1−d)·g; θ − rate·u"""
    rate, mu, share = c
    u = s[0] * mu + g * share
    return p - u * rate, (u,)


def nesterov(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """u ← μ·u + g; θ − rate·(g + μ·u)"""
    rate, mu, share = c
    u = s[0] * mu + g * share
    return p - (u * mu + g) * rate, (u,)


def _moments(g: Any, c: Rows, s: Rows) -> tuple[Any, Any]:
    return s[0] * c[1] + g * c[2], s[1] * c[3] + g * g * c[4]


def adam(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; θ − rate · m̂/(√v̂ + ε)"""
    m, v = _moments(g, c, s)
    return p - m / (np.sqrt(v) * c[5] + c[6]) * c[0], (m, v)


def amsgrad(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """Adam with the largest v that there was."""
    m, v = _moments(g, c, s)
    most = np.where(v > s[2], v, s[2])
    return p - m / (np.sqrt(most) * c[5] + c[6]) * c[0], (m, v, most)


def rmsprop(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """v ← ρv + (1−ρ)g²; θ − rate · g/(√v + ε)"""
    rate, rho, share, epsilon = c
    v = s[0] * rho + g * g * share
    return p - g / (np.sqrt(v) + epsilon) * rate, (v,)


def rmsprop_momentum(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """The same quotient gathered in u ← μ·u + g/(√v + ε)."""
    rate, rho, share, epsilon, mu = c
    v = s[0] * rho + g * g * share
    u = s[1] * mu + g / (np.sqrt(v) + epsilon)
    return p - u * rate, (v, u)


def _spread(g: Any, rho: Any, share: Any, v: Any, a: Any) -> tuple[Any, Any, Any]:
    """v, the running mean a of g, and √(v − a²), which rounding must not take below 0."""
    v, a = v * rho + g * g * share, a * rho + g * share
    above = v - a * a
    return v, a, np.sqrt(np.where(above > 0.0, above, 0.0))


def rmsprop_centered(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """√(v − a²) in the place of √v, a the running mean of g."""
    rate, rho, share, epsilon = c
    v, a, root = _spread(g, rho, share, s[0], s[1])
    return p - g / (root + epsilon) * rate, (v, a)


def rmsprop_centered_momentum(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """Both."""
    rate, rho, share, epsilon, mu = c
    v, a, root = _spread(g, rho, share, s[0], s[1])
    u = s[2] * mu + g / (root + epsilon)
    return p - u * rate, (v, a, u)


def adagrad(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """v ← v + g²; θ − rate · g/(√v + ε)"""
    rate, epsilon = c
    v = s[0] + g * g
    return p - g / (np.sqrt(v) + epsilon) * rate, (v,)


RULES: dict[str, tuple[Rule, int, int]] = {
    "plain": (plain, 0, 1),
    "momentum": (momentum, 1, 3),
    "nesterov": (nesterov, 1, 3),
    "adam": (adam, 2, 7),
    "amsgrad": (amsgrad, 3, 7),
    "rmsprop": (rmsprop, 1, 4),
    "rmsprop_momentum": (rmsprop_momentum, 2, 5),
    "rmsprop_centered": (rmsprop_centered, 2, 4),
    "rmsprop_centered_momentum": (rmsprop_centered_momentum, 3, 5),
    "adagrad": (adagrad, 1, 2),
}
"""name → the rule, how many states it has, how many constants"""


@dataclass(frozen=True)
class Update:
    """One move of θ: penalties, clipping, decay and the bounds around a rule, each where it is wanted.

    Rows that it reads beside θ and g are, in this order and each only where it is wanted: the states; factors of weight
    decay a slot; lower and upper bounds; factors of l1 and of l2. Constants are those of the rule; a factor on g; the
    size that g is cut to; the rate.
    """

    rule: str
    l1: bool = False
    l2: bool = False
    decay: Decay = ""
    scaled: bool = False
    cut: bool = False
    bounded: bool = False

    @property
    def states(self) -> int:
        """How many rows change."""
        return RULES[self.rule][1]

    @property
    def rows(self) -> int:
        """How many rows there are besides θ and g."""
        return self.states + self.l1 + self.l2 + (self.decay != "") + 2 * self.bounded

    @property
    def constants(self) -> int:
        """How many numbers it takes."""
        return RULES[self.rule][2] + 3

    def __call__(self, p: Any, g: Any, c: Rows, rows: Rows) -> tuple[Any, tuple[Any, ...]]:
        """θ and the states after the move."""
        rule, n, k = RULES[self.rule]
        (factor, most, rate), more = c[k:], iter(rows[n:])
        g = self.penalized(p, g, rows[self.rows - self.l1 - self.l2 :])
        if self.scaled:
            g = g * factor
        if self.cut:
            g = np.where(g > most, most, np.where(g < -most, -most, g))
        if self.decay == "coupled":
            g = g + p * next(more)
        elif self.decay == "decoupled":
            p = p - p * next(more) * rate
        p, s = rule(p, g, c[:k], rows[:n])
        if self.bounded:
            low, high = next(more), next(more)
            p = np.where(p < low, low, np.where(p > high, high, p))
        return p, s

    def penalized(self, p: Any, g: Any, rows: Rows) -> Any:
        """g + l1·sign θ + 2·l2·θ of the last rows; at 0 the l1 term pulls nowhere."""
        if self.l1:
            l1 = rows[0]
            g = g + np.where(p > 0.0, l1, np.where(p < 0.0, -l1, 0.0))
        if self.l2:
            l2 = rows[int(self.l1)]
            g = g + p * (l2 + l2)
        return g
