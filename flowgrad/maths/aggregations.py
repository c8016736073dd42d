"""Aggregations m_v of equation (1), each with its gradient ∂m/∂t directly under it.

`t` (K,) float64 holds the terms t_k = w_uv·a_u of one neuron and one sample, in edge order. `f(t)` returns m, which the
functions here define as 0 for K = 0; `df(t, d)` fills `d` (K,) float64 with ∂m/∂t_k. The functions are plain loops,
which the Python executor runs (under `np.errstate(all="ignore")`) and Numba compiles. They take O(K) time, the median
O(K log K).

Among equal terms the first in edge order is selected. A NaN among the terms makes max, min, max_abs and median NaN; no
term is then selected, and the gradient is NaN at the terms that are NaN and 0 at the others, so that both passes show
the source of the NaN.
"""

# mypy: disable-error-code="no-any-return"
# (NumPy types an element of an array as Any; it is np.float64, which is a float.)

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, brief

Terms = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Aggregation:
    """An aggregation m of a neuron's terms t_k = w_uv·a_u, equation (1), with its name and its gradient ∂m/∂t.

    A user's own Aggregation is used in place of a name, as in `add_neuron(..., aggregation=record)`. It runs on every
    executor that supports custom functions (`ExecutorInfo.custom_functions`). The Numba executor compiles `f` and `df`
    unless there is a `coefficient`: they must then be plain functions of loops and NumPy operations.

    Two records are equal if their `name`, `f` and `df` are.

    Attributes:
        name: non-empty str.
        f: f(t) returns m as a float; t (K,) float64 holds the terms of one neuron and sample in edge order, K ≥ 1. A
            neuron without in-edges has m = 0 without a call.
        df: df(t, d) writes ∂m/∂t_k into every entry of d (K,) float64 and returns None.
        coefficient: if m is the sum times a factor that depends on K alone, the function K → c, K ≥ 1, with
            m = c·Σ_k t_k, which executors may use in place of `f` and `df`; else None.

    Raises:
        ConfigError: `name` is not a non-empty str, `f`, `df` or `coefficient` is not callable, or `coefficient(2)` is
            not a finite number.

    >>> entries["median"]
    Aggregation('median', f=median, df=dmedian)
    >>> entries["mean"].coefficient(4)
    0.25
    """

    name: str
    f: Callable[[Terms], float]
    df: Callable[[Terms, Terms], None]
    coefficient: Callable[[int], float] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"an aggregation's name is a non-empty text, not {brief(self.name)}")
        for role in ("f", "df"):
            if not callable(g := getattr(self, role)):
                raise ConfigError(f"{role} of aggregation {brief(self.name)} is a function of terms, not {brief(g)}")
        if self.coefficient is None:
            return
        if not callable(self.coefficient):
            said = f"coefficient={brief(self.coefficient)} of aggregation {brief(self.name)}"
            raise ConfigError(f"{said}: must be a function of the number of terms, or None")
        c = self.coefficient(2)
        if not isinstance(c, Real) or not math.isfinite(c):
            said = f"coefficient of aggregation {brief(self.name)} gives {brief(c)} for 2 terms"
            raise ConfigError(f"{said}: must be a finite number")

    def __repr__(self) -> str:
        f, df = (getattr(g, "__name__", repr(g)) for g in (self.f, self.df))
        return f"Aggregation({self.name!r}, f={f}, df={df})"


def coefficients(
    aggregations: Sequence[Aggregation], code: npt.NDArray[np.integer], fan_in: npt.NDArray[np.integer]
) -> Terms:
    """Return, for each node, the factor c with m = c·Σ_k t_k for all terms t: (V,) float64, NaN where there is none.

    c is 1 for nodes without terms, whose aggregation is 0 as an empty sum is, and for inputs.

    Args:
        aggregations: the records that `code` refers to.
        code: (V,) integer, index into `aggregations`; −1 for inputs.
        fan_in: (V,) integer, number of terms K.

    >>> coefficients((entries["mean"], entries["max"]), np.array([-1, 0, 1, 1]), np.array([0, 4, 4, 0]))
    array([1.  , 0.25,  nan, 1.  ])
    """
    found = np.ones(len(code))
    for k, aggregation in enumerate(aggregations):
        at = np.flatnonzero((code == k) & (fan_in > 0))
        by_number = np.full(int(fan_in[at].max(initial=0)) + 1, np.nan)
        if aggregation.coefficient is not None:
            for K in np.flatnonzero(np.bincount(fan_in[at])).tolist():
                by_number[K] = aggregation.coefficient(K)
        found[at] = by_number[fan_in[at]]
    return found


def one(K: int) -> float:
    """Return 1, the coefficient of the sum."""
    return 1.0


def equal_share(K: int) -> float:
    """Return 1/K, the coefficient of the mean."""
    return 1.0 / K


def total(t: Terms) -> float:
    """Σ_k t_k, added in edge order."""
    m = 0.0
    for k in range(t.size):
        m += t[k]
    return m


def dtotal(t: Terms, d: Terms) -> None:
    """1"""
    for k in range(t.size):
        d[k] = 1.0


def mean(t: Terms) -> float:
    """1/K Σ_k t_k"""
    if t.size == 0:
        return 0.0
    return total(t) / t.size


def dmean(t: Terms, d: Terms) -> None:
    """1/K"""
    for k in range(t.size):
        d[k] = 1.0 / t.size


def product(t: Terms) -> float:
    """Π_k t_k; mantissas and exponents are handled separately, so that no partial product overflows or underflows.

    >>> product(np.array([2.0**999, 2.0**999, 2.0**-999, 2.0**-999]))
    1.0
    """
    if t.size == 0:
        return 0.0
    m, e = 1.0, 0
    for k in range(t.size):
        x, i = math.frexp(t[k])
        m, j = math.frexp(m * x)
        e += i + j
    return float(np.ldexp(m, e))


def dproduct(t: Terms, d: Terms) -> None:
    """Π_{j<k} t_j · Π_{j>k} t_j; the product is never divided by t_k, so that zeros need no special case.

    >>> d = np.empty(3)
    >>> dproduct(np.array([0.0, 2.0, 3.0]), d)
    >>> d.tolist()
    [6.0, 0.0, 0.0]
    """
    exponent = np.empty(t.size, np.int64)
    m, e = 1.0, 0
    for k in range(t.size):  # d_k · 2^exponent_k = Π_{j<k} t_j
        d[k] = m
        exponent[k] = e
        x, i = math.frexp(t[k])
        m, j = math.frexp(m * x)
        e += i + j
    m, e = 1.0, 0
    for k in range(t.size - 1, -1, -1):  # m · 2^e = Π_{j>k} t_j
        d[k] = np.ldexp(d[k] * m, exponent[k] + e)
        x, i = math.frexp(t[k])
        m, j = math.frexp(m * x)
        e += i + j


def first_nan(t: Terms) -> int:
    """Return the first k with t_k NaN, or −1."""
    for k in range(t.size):
        if t[k] != t[k]:
            return k
    return -1


def send_to(t: Terms, d: Terms, winner: int) -> None:
    """Write the gradient of m = t[winner] to d: NaN at every NaN of t, 1 at a winner that is not NaN, 0 elsewhere."""
    for k in range(t.size):
        d[k] = t[k] if t[k] != t[k] else 0.0
    if t.size > 0 and t[winner] == t[winner]:
        d[winner] = 1.0


def argmax(t: Terms) -> int:
    """Return the index of the first NaN, or else of the first largest term."""
    k = max(first_nan(t), 0)
    for j in range(k + 1, t.size):
        if t[j] > t[k]:
            k = j
    return k


def maximum(t: Terms) -> float:
    """max_k t_k"""
    if t.size == 0:
        return 0.0
    return t[argmax(t)]


def dmaximum(t: Terms, d: Terms) -> None:
    """1 for the first largest term, else 0"""
    send_to(t, d, argmax(t))


def argmin(t: Terms) -> int:
    """Return the index of the first NaN, or else of the first smallest term."""
    k = max(first_nan(t), 0)
    for j in range(k + 1, t.size):
        if t[j] < t[k]:
            k = j
    return k


def minimum(t: Terms) -> float:
    """min_k t_k"""
    if t.size == 0:
        return 0.0
    return t[argmin(t)]


def dminimum(t: Terms, d: Terms) -> None:
    """1 for the first smallest term, else 0"""
    send_to(t, d, argmin(t))


def middle(t: Terms) -> tuple[int, int]:
    """Return the indices of the two middle terms in ascending order, ties in edge order; they are equal for odd K."""
    order = np.argsort(t, kind="mergesort")
    return order[(t.size - 1) // 2], order[t.size // 2]


def median(t: Terms) -> float:
    """The middle term; for even K the mean of the middle two."""
    if t.size == 0:
        return 0.0
    nan = first_nan(t)
    if nan >= 0:
        return t[nan]
    i, j = middle(t)
    if i == j:
        return t[i]
    if abs(t[i]) < 1.0:  # the sum cannot overflow; in the other case halving t[i] is exact
        return 0.5 * (t[i] + t[j])
    return 0.5 * t[i] + 0.5 * t[j]


def dmedian(t: Terms, d: Terms) -> None:
    """1 for the middle term; for even K ½ for each of the middle two"""
    nan = first_nan(t)
    if t.size == 0 or nan >= 0:
        send_to(t, d, nan)
        return
    i, j = middle(t)
    d[:] = 0.0
    d[i] += 0.5
    d[j] += 0.5


def argmax_abs(t: Terms) -> int:
    """Return the index of the first NaN, or else of the first term of largest magnitude."""
    k = max(first_nan(t), 0)
    for j in range(k + 1, t.size):
        if abs(t[j]) > abs(t[k]):
            k = j
    return k


def max_abs(t: Terms) -> float:
    """The term of largest magnitude, with its sign."""
    if t.size == 0:
        return 0.0
    return t[argmax_abs(t)]


def dmax_abs(t: Terms, d: Terms) -> None:
    """1 for the first term of largest magnitude, else 0: m is that term itself."""
    send_to(t, d, argmax_abs(t))


entries: dict[str, Aggregation] = {
    a.name: a
    for a in (
        Aggregation("sum", total, dtotal, coefficient=one),
        Aggregation("mean", mean, dmean, coefficient=equal_share),
        Aggregation("product", product, dproduct),
        Aggregation("max", maximum, dmaximum),
        Aggregation("min", minimum, dminimum),
        Aggregation("median", median, dmedian),
        Aggregation("max_abs", max_abs, dmax_abs),
    )
}
