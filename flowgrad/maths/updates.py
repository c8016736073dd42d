"""Updates of θ by its gradient, as elementwise formulas over rows of slots.

A rule maps θ, the gradient g, its constants c and its states s to the new θ and s. NumPy evaluates the formulas, and an
executor may compile them. They are those of `flowgrad.optimizers`, where the source of each is cited.
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
    """adam with v replaced by the largest v of all steps so far"""
    m, v = _moments(g, c, s)
    most = np.where(v > s[2], v, s[2])
    return p - m / (np.sqrt(most) * c[5] + c[6]) * c[0], (m, v, most)


def rmsprop(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """v ← ρv + (1−ρ)g²; θ − rate · g/(√v + ε)"""
    rate, rho, share, epsilon = c
    v = s[0] * rho + g * g * share
    return p - g / (np.sqrt(v) + epsilon) * rate, (v,)


def rmsprop_momentum(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """v ← ρv + (1−ρ)g²; u ← μ·u + g/(√v + ε); θ − rate·u"""
    rate, rho, share, epsilon, mu = c
    v = s[0] * rho + g * g * share
    u = s[1] * mu + g / (np.sqrt(v) + epsilon)
    return p - u * rate, (v, u)


def _spread(g: Any, rho: Any, share: Any, v: Any, a: Any) -> tuple[Any, Any, Any]:
    """Update v and the running mean a of g; return v, a and √(v − a²), the difference clipped at 0 for its rounding."""
    v, a = v * rho + g * g * share, a * rho + g * share
    above = v - a * a
    return v, a, np.sqrt(np.where(above > 0.0, above, 0.0))


def rmsprop_centered(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """rmsprop with √v replaced by √(v − a²), where a is the running mean of g"""
    rate, rho, share, epsilon = c
    v, a, root = _spread(g, rho, share, s[0], s[1])
    return p - g / (root + epsilon) * rate, (v, a)


def rmsprop_centered_momentum(p: Any, g: Any, c: Rows, s: Rows) -> tuple[Any, tuple[Any, ...]]:
    """rmsprop_momentum with √v replaced by √(v − a²), where a is the running mean of g"""
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
"""Name → (rule, number of its states, number of its constants)."""


@dataclass(frozen=True)
class Update:
    """One update of θ: a rule with optional penalties, scaling and clipping of g, weight decay and bounds.

    It reads these rows besides θ and g, in this order, each only if its option is set: the states; factors of weight
    decay by slot; lower and upper bounds; factors of l1; factors of l2. Its constants are those of the rule, the factor
    on g (for `scaled`), the largest magnitude of a component of g (for `cut`), and the rate.
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
        """Number of states, the rows that an update changes."""
        return RULES[self.rule][1]

    @property
    def rows(self) -> int:
        """Number of rows besides θ and g."""
        return self.states + self.l1 + self.l2 + (self.decay != "") + 2 * self.bounded

    @property
    def constants(self) -> int:
        """Number of constants."""
        return RULES[self.rule][2] + 3

    def __call__(self, p: Any, g: Any, c: Rows, rows: Rows) -> tuple[Any, tuple[Any, ...]]:
        """Return θ and the states after the update, given θ, the gradient, the constants and the rows."""
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
        """Return g + l1·sign θ + 2·l2·θ; `rows` holds the factors l1 and l2 that are set. At θ = 0 the l1 term is 0."""
        if self.l1:
            l1 = rows[0]
            g = g + np.where(p > 0.0, l1, np.where(p < 0.0, -l1, 0.0))
        if self.l2:
            l2 = rows[int(self.l1)]
            g = g + p * (l2 + l2)
        return g
