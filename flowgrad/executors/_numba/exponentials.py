"""Vector forms of common activations, σ and σ'; all but relu and its like on one exponential.

    e^x = 2^n · (1 + p),  n = round(x / ln 2),  r = x − n ln 2,  p = e^r − 1 = r + r² q(r),  |r| ≤ ½ ln 2

ln 2 is taken off in two parts, the first so short that n times it is exact; q is Cephes' minimax polynomial in
float32, and in float64 that of degree 10 by Remez' exchange, which is within 2^−58 of p. 2^n is applied as 2^(n+lift),
then 2^−lift, so that subnormal results are rounded once, at the end.

Errors, tested over the whole range: of σ at most 2 ulp in float32 and 4 in float64 (found: 1.98 and 3.1), of σ'
at most 5 ulp in both (found: 4.2) where it is found from what forward has kept. NaN stays NaN: no comparison that NaN
fails replaces it. In float32 tanh and sigmoid take off what rounding did to their quotient: so an estimate of
1/(1 + e) is enough.

Backward has a at hand, and memory is what a step waits for: so σ' is found from a. Where a lane of a row is nearer to
saturation than NEAR, tanh, sigmoid and elu keep z as well, and σ' is found from that; elsewhere an error of a grows by
1/NEAR at most: σ' is then within 32 times the bound of σ. What is kept is written for every row and stays where it is
wanted, so that forward has nothing to guess: it would learn whether it was right only when a is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from flowgrad.executors._numba.machine import can_estimate, can_gather, can_pick
from flowgrad.executors._numba.tables import tanh_by_addition, tanh_by_table
from flowgrad.executors._numba.vectors import (
    ROUND,
    Lanes,
    absolute,
    any_lane,
    choose,
    fma,
    near_reciprocal,
    power_of_two,
    with_sign,
)
from flowgrad.maths.rectifiers import LEAKY_SLOPE

NEAR = 0.03125
"""How near to saturation a may be, and σ' still be found from it."""


@dataclass(frozen=True)
class Constants:
    """e^lowest and e^(−root²) are 0, e^highest is inf; e^lowest · 2^lift is a normal number."""

    round: float
    ln2_high: float
    ln2_low: float
    q: tuple[float, ...]
    lowest: float
    highest: float
    root: float
    lift: int


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
    np.dtype(np.float32): Constants(
        ROUND[np.dtype(np.float32)], 0.693359375, -2.12194440054691e-4, _CEPHES, -110.0, 89.5, 10.5, 64
    ),
    np.dtype(np.float64): Constants(
        ROUND[np.dtype(np.float64)],
        0.693145751953125,
        1.42860682030941723212e-6,
        _REMEZ,
        -750.0,
        710.5,
        27.5,
        512,
    ),
}


Vectors = Callable[..., Any]


@dataclass(frozen=True)
class Form:
    """An activation over vectors: a = value(z), and what gives σ'(z) back.

    found(a) is σ' of every lane whose a tells it; untold(a) says whether any lane's does not. There exact(row, a) gives
    σ' of all from the row that forward has kept: kept(z).
    """

    value: Vectors
    found: Vectors
    untold: Vectors
    kept: Vectors
    exact: Vectors

    @property
    def keeps(self) -> bool:
        """Whether a ever leaves it untold."""
        return self.untold is not _never


def _never(a: Any) -> Any:
    return False


def _always(a: Any) -> Any:
    return True


def _itself(z: Any) -> Any:
    return z


def _as_kept(row: Any, a: Any) -> Any:
    return row


@dataclass(frozen=True)
class Parts:
    """Of e^x over vectors: power(x), n + ROUND; remainder(x, n), p; raised(x), e^x · 2^lift; floored(x), x where e^x is
    not 0, NaN stays.
    """

    power: Vectors
    remainder: Vectors
    raised: Vectors
    floored: Vectors


@cache
def parts(dtype: np.dtype[Any]) -> Parts:
    """For one dtype."""
    c = _CONSTANTS[dtype]
    ONTO, HIGH, LOW, LOWEST, LIFT, LOG2E = c.round, -c.ln2_high, -c.ln2_low, c.lowest, c.lift, 1.4426950408889634
    polynomial = _polynomial(c.q)

    def power(x: Any) -> Any:
        return fma(x, LOG2E, ONTO)

    def remainder(x: Any, n: Any) -> Any:
        r = fma(n - ONTO, LOW, fma(n - ONTO, HIGH, x))
        return fma(r * r, polynomial(r), r)

    def raised(x: Any) -> Any:
        n = power(x)
        lifted = power_of_two(n, LIFT)
        return fma(lifted, remainder(x, n), lifted)

    def floored(x: Any) -> Any:
        return choose(x < LOWEST, LOWEST, x)

    return Parts(power, remainder, raised, floored)


def inverter(dtype: np.dtype[Any]) -> Vectors:
    """inverted(x): 1/x; in float32 an estimate to 14 bits, which who uses it corrects."""
    ESTIMATE, DIVIDE = dtype == np.float32, not can_estimate()

    def inverted(x: Any) -> Any:
        if ESTIMATE:
            return near_reciprocal(x)
        if DIVIDE:
            return 1.0 / x
        y = near_reciprocal(x)
        y = fma(fma(x, y * -1.0, 1.0), y, y)
        return fma(fma(x, y * -1.0, 1.0), y, y)

    return inverted


def _tanh(lanes: Lanes) -> Form:
    """e = e^(−2|z|): |a| = (1 − e)/(1 + e), 1 − e by p, or from a table; σ' = 4e/(1 + e)² = 2e/(1 + e) · (1 + |a|)"""
    e, inverted = parts(lanes.dtype), inverter(lanes.dtype)
    LIFT, DROP = _CONSTANTS[lanes.dtype].lift, 2.0 ** -_CONSTANTS[lanes.dtype].lift
    COMPENSATED = lanes.dtype == np.float32  # 2 ulp ask for it, 4 do not
    TABLED = can_pick() if lanes.dtype == np.float32 else can_gather()
    by_table = tanh_by_table if lanes.dtype == np.float32 else tanh_by_addition
    magnitude = by_table() if TABLED else absolute  # which is then not asked

    def value(z: Any) -> Any:
        if TABLED:
            return with_sign(magnitude(absolute(z)), z)
        x = e.floored(absolute(z) * -2.0)
        n = e.power(x)
        p = e.remainder(x, n)
        scale = power_of_two(n, LIFT) * DROP
        less = fma(scale, p, scale - 1.0)  # e − 1
        more = less + 2.0
        inverse = inverted(more)
        quotient = less * inverse
        if COMPENSATED:
            low = less - (more - 2.0)  # what rounding took from 1 + e
            rest = fma(low, quotient * -1.0, fma(more, quotient * -1.0, less))
            quotient = fma(rest, inverse, quotient)
        return with_sign(quotient, z)

    def found(a: Any) -> Any:
        """(1 − |a|)(1 + |a|)"""
        x = absolute(a)
        return (1.0 - x) * (x + 1.0)

    def untold(a: Any) -> Any:
        return any_lane(absolute(a) > 1.0 - NEAR)

    def exact(z: Any, a: Any) -> Any:
        lifted = e.raised(e.floored(absolute(z) * -2.0))
        y = lifted / fma(lifted, DROP, 1.0)
        return fma(y, absolute(a), y) * (2.0 * DROP)

    return Form(value, found, untold, _itself, exact)


def _sigmoid(lanes: Lanes) -> Form:
    """e = e^(−|z|): a = 1/(1 + e), or y = e/(1 + e) below 0; σ' = y(1 − y)"""
    e, inverted, DROP = parts(lanes.dtype), inverter(lanes.dtype), 2.0 ** -_CONSTANTS[lanes.dtype].lift
    COMPENSATED = lanes.dtype == np.float32

    def value(z: Any) -> Any:
        lifted = e.raised(e.floored(absolute(z) * -1.0))
        more = fma(lifted, DROP, 1.0)
        inverse = inverted(more)
        if COMPENSATED:
            low = fma(lifted, DROP, 1.0 - more)  # what rounding took from 1 + e
            inverse = fma(fma(low, inverse * -1.0, fma(more, inverse * -1.0, 1.0)), inverse, inverse)
        return choose(z < 0.0, (lifted * inverse) * DROP, inverse)

    def found(a: Any) -> Any:
        return a * (1.0 - a)

    def untold(a: Any) -> Any:
        return any_lane(a > 1.0 - NEAR)

    def exact(z: Any, a: Any) -> Any:
        lifted = e.raised(e.floored(absolute(z) * -1.0))
        y = lifted / fma(lifted, DROP, 1.0)
        return fma(y * (-1.0 * DROP), y, y) * DROP

    return Form(value, found, untold, _itself, exact)


def _exp(lanes: Lanes) -> Form:
    """a = σ' = e^z"""
    e, c = parts(lanes.dtype), _CONSTANTS[lanes.dtype]
    ONTO, HIGHEST = c.round, c.highest

    def value(z: Any) -> Any:
        x = e.floored(choose(z > HIGHEST, HIGHEST, z))
        n = e.power(x)
        p = e.remainder(x, n)
        half = fma(n - ONTO, 0.5, ONTO)
        return ((p + 1.0) * power_of_two(half, 0)) * power_of_two((n - half) + ONTO, 0)

    return Form(value, _itself, _never, _itself, _as_kept)


def _gaussian(lanes: Lanes) -> Form:
    """a = e^(−z²), the error of z² taken into the exponent; σ' = −2z·a, which is kept: a has lost the sign of z"""
    e, c = parts(lanes.dtype), _CONSTANTS[lanes.dtype]
    ONTO, HIGH, LOW, ROOT, LIFT, DROP = c.round, -c.ln2_high, -c.ln2_low, c.root, c.lift, 2.0**-c.lift
    polynomial = _polynomial(c.q)

    def short(z: Any) -> Any:
        x = absolute(z)
        return choose(x > ROOT, ROOT, x)

    def lifted(x: Any) -> Any:
        square = x * x
        error = fma(x, x, square * -1.0)
        n = e.power(square * -1.0)
        r = fma(n - ONTO, LOW, fma(n - ONTO, HIGH, square * -1.0)) - error
        p = fma(r * r, polynomial(r), r)
        return (p + 1.0) * power_of_two(n, LIFT)

    def value(z: Any) -> Any:
        return lifted(short(z)) * DROP

    def kept(z: Any) -> Any:
        x = short(z)
        return (with_sign(x, z * -1.0) * lifted(x)) * (2.0 * DROP)

    return Form(value, _itself, _always, kept, _as_kept)


def _elu(lanes: Lanes) -> Form:
    """a = z, or e^z − 1 below 0; σ' = 1, or e^z"""
    e, LIFT = parts(lanes.dtype), _CONSTANTS[lanes.dtype].lift
    DROP = 2.0**-LIFT

    def value(z: Any) -> Any:
        x = e.floored(choose(z > 0.0, 0.0, z))
        n = e.power(x)
        scale = power_of_two(n, LIFT) * DROP
        return choose(z > 0.0, z, fma(scale, e.remainder(x, n), scale - 1.0))

    def found(a: Any) -> Any:
        """1, or 1 + a below 0"""
        return choose(a > 0.0, 1.0, a + 1.0)

    def untold(a: Any) -> Any:
        return any_lane(a < NEAR - 1.0)

    def exact(z: Any, a: Any) -> Any:
        return e.raised(e.floored(choose(z > 0.0, 0.0, z))) * DROP

    return Form(value, found, untold, _itself, exact)


def _relu(lanes: Lanes) -> Form:
    """a = max(z, 0); σ' = 1, or 0 where a is"""

    def value(z: Any) -> Any:
        return choose(z <= 0.0, 0.0, z)

    def found(a: Any) -> Any:
        return choose(a > 0.0, 1.0, a)

    return Form(value, found, _never, _itself, _as_kept)


def _leaky_relu(lanes: Lanes) -> Form:
    """a = z, or 0.01·z below 0; σ' = 1, or 0.01 from 0 down"""

    def value(z: Any) -> Any:
        return choose(z > 0.0, z, z * LEAKY_SLOPE)

    def found(a: Any) -> Any:
        return choose(a > 0.0, 1.0, choose(a <= 0.0, LEAKY_SLOPE, a))

    return Form(value, found, _never, _itself, _as_kept)


def _identity(lanes: Lanes) -> Form:
    """a = z; σ' = 1"""

    def found(a: Any) -> Any:
        return choose(a == a, 1.0, a)

    return Form(_itself, found, _never, _itself, _as_kept)


FORMS = {
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "exp": _exp,
    "gaussian": _gaussian,
    "elu": _elu,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "identity": _identity,
}
"""Of each activation that has one, by name: form(lanes) for vectors of so many."""


def _polynomial(q: tuple[float, ...]) -> Callable[[Any], Any]:
    """q(r), by pairs so that the processor finds work side by side; the highest power's coefficient stands first."""
    if len(q) == 6:
        q5, q4, q3, q2, q1, q0 = q

        def short(r: Any) -> Any:
            square = r * r
            return fma(fma(fma(r, q5, q4), square, fma(r, q3, q2)), square, fma(r, q1, q0))

        return short
    q10, q9, q8, q7, q6, q5, q4, q3, q2, q1, q0 = q

    def long(r: Any) -> Any:
        square = r * r
        fourth = square * square
        low = fma(fma(r, q3, q2), square, fma(r, q1, q0))
        middle = fma(fma(r, q7, q6), square, fma(r, q5, q4))
        high = fma(square, q10, fma(r, q9, q8))
        return fma(fma(high, fourth, middle), fourth, low)

    return long
