"""Functions over float64 rows from which formulas are composed: log, log1p, expm1, erfc, sin, cos, arctan, min, max.

Maximal errors, tested over the whole range: 2.5 ulp; erfc 6 ulp. NaN gives NaN; ±inf and arguments at or beyond the
ends of a domain give the C library's results. Polynomials, highest power first, interpolate at Chebyshev nodes and were
computed with 50 digits; each is within 2^−53 of the function, or of the term of it, that it approximates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowgrad.executors._numba.blocks import NUMPY, filled
from flowgrad.executors._numba.powers import constants, exp, expm1_below, lifted_gaussian, polynomial, short
from flowgrad.executors._numba.rows import bit, exponent, mantissa, rarely
from flowgrad.executors._numba.simd import absolute, choose, fma, root, with_sign

# ---- exponential and logarithm --------------------------------------------------------------------------------

_LOG = (
    0.14617807153417325,
    0.15331611722055008,
    0.1818289243253687,
    0.22222211089379496,
    0.28571428628253836,
    0.3999999999989889,
    0.666666666666667,
)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
SMALLEST = 2.0**-1022


def expm1(x: Any) -> Any:
    """Return e^x − 1."""
    far = x > 40.0
    return choose(far, exp(x), expm1_below(choose(far, 40.0, x)))


def log(x: Any) -> Any:
    """Return log x = k log 2 + log(1 + f), √½ ≤ 1 + f < √2; with s = f/(2 + f), log(1 + f) = 2s + s³·L(s²)."""
    small = x < SMALLEST
    y = choose(small, x * 2.0**54, x)
    k = exponent(y) - choose(small, 54.0, filled(x, 0.0))
    f = mantissa(y) - 1.0
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    low = fma(s, fma(z, polynomial(_LOG, z), half), k * LN2_LOW)
    value = fma(k, LN2_HIGH, f - (half - low))
    value = choose(x < np.inf, value, x)
    return choose(x > 0.0, value, choose(x == 0.0, -np.inf, choose(x < 0.0, np.nan, x)))


def log1p(x: Any) -> Any:
    """Return log(1 + x) = log u + (1 + x − u)/u to first order, where u is 1 + x rounded."""
    u = x + 1.0
    taken = choose(x > 1.0, 1.0 - (u - x), x - (u - 1.0))
    inside = choose(u > 0.0, u, filled(x, 1.0))
    return log(u) + choose(u < np.inf, taken / inside, filled(x, 0.0))


# ---- erfc -----------------------------------------------------------------------------------------------------

_ERFCX = (
    9.084541771213907e-10,
    -6.36903746253068e-10,
    -1.5213206819950384e-08,
    3.3863100022513686e-09,
    1.2397022621920958e-07,
    -7.900030007324783e-08,
    -8.46291501725211e-07,
    1.4268525380407012e-06,
    4.694619976583313e-06,
    -1.886213507131139e-05,
    -3.635296646587849e-06,
    0.00017681319046764806,
    -0.0004550526455639654,
    -0.00028095893558087193,
    0.0061120556492774555,
    -0.02637005333230321,
    0.07638151490987771,
    -0.17401093724044453,
    0.33085158787798813,
    -0.5408538313132201,
    0.7732087022652374,
    -0.9765487290808821,
    1.095995661000491,
)


def erfc(x: Any) -> Any:
    """Return erfc x = e^(−x²) · E((y − 4)/(y + 4)) / (y + 4) with y = |x| and a polynomial E; for x < 0, 2 − that."""
    y = short(x)
    inverse = 1.0 / (y + 4.0)
    tail = (lifted_gaussian(y) * (polynomial(_ERFCX, (y - 4.0) * inverse) * inverse)) * constants(x).drop
    return choose(x < 0.0, 2.0 - tail, tail)


# ---- trigonometric functions ----------------------------------------------------------------------------------

_SIN = (
    1.591810123027412e-10,
    -2.5051131455427946e-08,
    2.755731610068303e-06,
    -0.0001984126983675497,
    0.008333333333330946,
    -0.16666666666666666,
)
_COS = (
    -1.1382614868556325e-11,
    2.0876146024689747e-09,
    -2.7557317270560326e-07,
    2.4801587298763433e-05,
    -0.0013888888888887395,
    0.041666666666666664,
)
_ATAN = (
    -0.01917392228554793,
    0.03922923713835943,
    -0.05085365922344248,
    0.05858132894427922,
    -0.06664509603255386,
    0.07692183059894114,
    -0.09090904572487347,
    0.11111111015117626,
    -0.1428571428466482,
    0.19999999999995513,
    -0.3333333333333333,
)
HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
"""π/2 as a sum of three, the first two of 33 bits: their products with an integer below 2^20 are exact."""
FAR = 5e4
"""Largest |x| that `_quarter` reduces, with |n| < 2^15; beyond it the C library computes sin and cos, lane by lane."""
_far_sin, _far_cos = rarely("sin", np.sin), rarely("cos", np.cos)


def _quarter(x: Any, ahead: float) -> Any:
    """Return sin(x + ahead · π/2), |x| ≤ FAR: ±sin r or ±cos r by (n + ahead) mod 4, r = x − n π/2, |r| ≤ π/4."""
    onto = constants(x).onto
    n = fma(x, 2.0 / math.pi, onto)
    k = n - onto
    first = fma(k, -HALF_PI[0], x)
    taken = k * HALF_PI[1]
    high = first - taken
    low = ((first - high) - taken) - k * HALF_PI[2]
    r = high + low
    rest = (high - r) + low
    z = r * r
    sine = r + fma(r * z, polynomial(_SIN, z), rest * fma(z, -0.5, 1.0))
    half = z * 0.5
    one = 1.0 - half
    cosine = one + (((1.0 - one) - half) + (z * z * polynomial(_COS, z) - r * rest))
    n = n + ahead
    value = choose(bit(n, 0), cosine, sine)
    return choose(bit(n, 1), -value, value)


def sin(x: Any) -> Any:
    """Return sin x; ±0 gives ±0."""
    far = absolute(x) > FAR
    near = choose(x == 0.0, x, _quarter(choose(far, 0.0, x), 0.0))
    return _far_sin(x, far, near)


def cos(x: Any) -> Any:
    """Return cos x."""
    far = absolute(x) > FAR
    return _far_cos(x, far, _quarter(choose(far, 0.0, x), 1.0))


def arctan(x: Any) -> Any:
    """Return arctan x: of (|x| − 1)/(|x| + 1) plus π/4 for |x| > tan π/8, of −1/|x| plus π/2 for |x| > tan 3π/8."""
    y = absolute(x)
    middle, large = y > math.sqrt(2.0) - 1.0, y > math.sqrt(2.0) + 1.0
    above = choose(large, -1.0, choose(middle, y - 1.0, y))
    below = choose(large, y, choose(middle, y + 1.0, filled(y, 1.0)))
    t = above / below
    z = t * t
    high = choose(large, math.pi / 2, choose(middle, math.pi / 4, filled(y, 0.0)))
    low = high * (6.123233995736766e-17 / (math.pi / 2))
    return with_sign(high + (t + fma(t * z, polynomial(_ATAN, z), low)), x)


# ---- comparisons ----------------------------------------------------------------------------------------------


def minimum(x: Any, y: Any) -> Any:
    """Return the smaller of two rows, or of a row and a number; NaN if either is NaN."""
    return choose(x > y, y, choose(y == y, x, y) if _may_be_nan(y) else x)


def maximum(x: Any, y: Any) -> Any:
    """Return the larger of two rows, or of a row and a number; NaN if either is NaN."""
    return choose(x < y, y, choose(y == y, x, y) if _may_be_nan(y) else x)


def sign(x: Any) -> Any:
    """Return 1 or −1, or x itself where it is ±0 or NaN."""
    return choose(x > 0.0, 1.0, choose(x < 0.0, -1.0, x))


def _may_be_nan(x: Any) -> bool:
    return not isinstance(x, float) or x != x


NUMPY |= {
    np.exp: exp,
    np.expm1: expm1,
    np.log: log,
    np.log1p: log1p,
    np.sin: sin,
    np.cos: cos,
    np.arctan: arctan,
    np.sqrt: root,
    np.abs: absolute,
    np.sign: sign,
    np.minimum: minimum,
    np.maximum: maximum,
    np.where: choose,
}
