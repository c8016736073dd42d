"""Exponentials over rows: e^x, e^x − 1, e^(−x²), tanh, and the steps that they share, in float32 and float64.

    e^x = 2^n · (1 + p),  n = round(x / ln 2),  r = x − n ln 2,  p = e^r − 1 = r + r² q(r),  |r| ≤ ½ ln 2

ln 2 is subtracted in two parts, of which the first has so few bits that n times it is exact. q is a minimax polynomial:
in float32 that of Cephes, in float64 one of degree 10 by the Remez algorithm, which gives p to within 2^−58. 2^n is
applied as 2^(n + lift), then 2^−lift, so that subnormal results are rounded only once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.executors._numba.machine import features
from flowgrad.executors._numba.simd import absolute, choose, fma, power_of_two, with_sign
from flowgrad.executors._numba.tables import tanh_of_positive

LOG2E = 1.4426950408889634


@dataclass(frozen=True)
class Constants:
    """Constants of a dtype: x + onto has round(x) in its low bits; ln2_high + ln2_low = ln 2; q: highest power first;
    e^lowest and e^(−root²) round to 0, e^highest to inf; e^lowest · 2^lift is a normal number.
    """

    onto: float
    ln2_high: float
    ln2_low: float
    q: tuple[float, ...]
    lowest: float
    highest: float
    root: float
    lift: int

    @property
    def drop(self) -> float:
        """2^−lift, the factor that undoes 2^lift."""
        return 2.0**-self.lift


_CEPHES = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_REMEZ = (
    1.7687756209238196e-09,
    2.5105236714461645e-08,
    2.756793562955527e-07,
    2.755725535971791e-06,
    2.4801574517700647e-05,
    0.00019841269874845574,
    0.0013888888895613222,
    0.00833333333332613,
    0.041666666666652245,
    0.1666666666666667,
    0.5000000000000001,
)
_CONSTANTS = {
    np.dtype(np.float32): Constants(1.5 * 2**23, 0.693359375, -2.12194440054691e-4, _CEPHES, -110.0, 89.5, 10.5, 64),
    np.dtype(np.float64): Constants(
        1.5 * 2**52, 0.693145751953125, 1.42860682030941723212e-6, _REMEZ, -750.0, 710.5, 27.5, 512
    ),
}


def constants(x: Any) -> Constants:
    """Return the constants of a row's dtype."""
    return _CONSTANTS[x.dtype]


def polynomial(q: tuple[float, ...], r: Any) -> Any:
    """Evaluate q(r) by Estrin's scheme, whose pairs are independent; coefficients from the highest power down."""
    terms: list[Any] = list(reversed(q))
    while len(terms) > 1:
        paired = [fma(r, terms[k + 1], terms[k]) if k + 1 < len(terms) else terms[k] for k in range(0, len(terms), 2)]
        terms, r = paired, r * r
    return terms[0]


def power(x: Any) -> Any:
    """Return n + onto, where n = round(x / ln 2)."""
    return fma(x, LOG2E, constants(x).onto)


def remainder(x: Any, n: Any) -> Any:
    """Return p = e^r − 1 of x, given n + onto from `power`."""
    return remainder_of(x, n, None)


def remainder_of(x: Any, n: Any, low: Any) -> Any:
    """Return p of x + low, where low is a correction below the precision of x, or None; n is that of x."""
    c = constants(x)
    r = fma(n - c.onto, -c.ln2_low, fma(n - c.onto, -c.ln2_high, x))
    r = r if low is None else r + low
    return fma(r * r, polynomial(c.q, r), r)


def raised(x: Any) -> Any:
    """Return e^x · 2^lift for x ≤ 40; 2^(n + lift) must be a normal number, as it is for x ≥ lowest."""
    n = power(x)
    lifted = power_of_two(n, constants(x).lift)
    return fma(lifted, remainder(x, n), lifted)


def floored(x: Any) -> Any:
    """Return max(x, lowest), which keeps 2^(n + lift) normal; NaN stays NaN."""
    lowest = constants(x).lowest
    return choose(x < lowest, lowest, x)


def expm1_below(x: Any) -> Any:
    """Return e^x − 1 for x ≤ 40."""
    c = constants(x)
    x = floored(x)
    n = power(x)
    scale = power_of_two(n, c.lift) * c.drop
    return fma(scale, remainder(x, n), scale - 1.0)


def lifted_gaussian(x: Any) -> Any:
    """Return e^(−x²) · 2^lift for 0 ≤ x ≤ root; the exponent includes the rounding error of x²."""
    c = constants(x)
    square = x * x
    error = fma(x, x, -square)
    n = power(-square)
    return (remainder_of(-square, n, -error) + 1.0) * power_of_two(n, c.lift)


def short(x: Any) -> Any:
    """Return min(|x|, root), the domain of `lifted_gaussian`; NaN stays NaN."""
    x, largest = absolute(x), constants(x).root
    return choose(x > largest, largest, x)


def exp(x: Any) -> Any:
    """Return e^x; 2^n is applied as two factors, since 2^n itself may overflow or be subnormal."""
    c = constants(x)
    x = floored(choose(x > c.highest, c.highest, x))
    n = power(x)
    p = remainder(x, n)
    half = fma(n - c.onto, 0.5, c.onto)
    return ((p + 1.0) * power_of_two(half, 0)) * power_of_two((n - half) + c.onto, 0)


def tanh(z: Any) -> Any:
    """Return tanh z = ±(1 − e)/(1 + e), e = e^(−2|z|); in float32 by a table (AVX-512) or with a corrected quotient."""
    if z.dtype == np.float32 and "avx512f" in features():
        return with_sign(tanh_of_positive(absolute(z)), z)
    less = expm1_below(absolute(z) * -2.0)  # e − 1
    more = less + 2.0
    if z.dtype == np.float64:
        return with_sign(less / more, z)
    low = less - (more - 2.0)  # the rounding error of 1 + e, to be corrected for the bound of 2 ulp
    inverse = 1.0 / more
    quotient = less * inverse
    rest = fma(low, -quotient, fma(more, -quotient, less))
    return with_sign(fma(rest, inverse, quotient), z)
