"""Vector forms of common activations, σ and σ' at once; all but relu and its like on one exponential.

    e^x = 2^n · (1 + p),  n = round(x / ln 2),  r = x − n ln 2,  p = e^r − 1 = r + r² q(r),  |r| ≤ ½ ln 2

ln 2 is taken off in two parts, the first so short that n times it is exact; q is Cephes' minimax polynomial in
float32, and in float64 that of degree 10 by Remez' exchange, which is within 2^−58 of p. 2^n is applied as 2^(n+lift),
then 2^−lift, so that subnormal results are rounded once, at the end.

Errors, tested over the whole range: of σ at most 2 ulp in float32 and 4 in float64 (found: 1.98 and 3.1), of σ'
at most 5 ulp in both (found: 4.2) where it is stored. NaN stays NaN: no comparison that NaN fails replaces it.
In float32 tanh and sigmoid take off what rounding did to their quotient: so an estimate of 1/(1 + e) is enough.

Stored is σ' only where a does not tell it. Backward has a at hand, and memory is what a step waits for: so tanh,
sigmoid and elu store a row's σ' where a lane of it is nearer to saturation than NEAR, and `recalled` knows where
that is and finds it from a elsewhere. There an error of a grows by 1/NEAR at most: σ' is then within 32 times the
bound of σ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.executors._numba.machine import can_estimate, can_pick
from flowgrad.executors._numba.tables import tanh_by_table
from flowgrad.executors._numba.vectors import (
    ROUND,
    Lanes,
    absolute,
    any_lane,
    choose,
    fma,
    near_reciprocal,
    power_of_two,
    store,
    with_sign,
)
from flowgrad.maths.activations import LEAKY_SLOPE

Form = Callable[[Any, int, int], int]
Recall = tuple[Callable[[Any], Any], Callable[[Any], Any]]

VECTOR_FORMS = frozenset({"tanh", "sigmoid", "exp", "gaussian", "elu", "celu", "relu", "leaky_relu", "identity"})
"""Names of the activations that have vector forms."""
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


def vector_forms(lanes: Lanes) -> dict[str, Form]:
    """Form by name of the activation: form(z, a, slope) writes σ(z) to a and, where slope is not 0 and a would not
    tell it, σ'(z) to slope; gives how many bytes of σ' it wrote.
    """
    c = _CONSTANTS[lanes.dtype]
    ONTO, HIGH, LOW = c.round, -c.ln2_high, -c.ln2_low
    LOWEST, HIGHEST, ROOT, LIFT, DROP = c.lowest, c.highest, c.root, c.lift, 2.0**-c.lift
    LOG2E, SIZE = 1.4426950408889634, lanes.size
    COMPENSATED = lanes.dtype == np.float32  # 2 ulp ask for it, 4 do not
    ESTIMATED = can_estimate()
    PICKED = lanes.dtype == np.float32 and can_pick()
    magnitude = tanh_by_table() if PICKED else absolute  # which is then not asked
    polynomial = _polynomial(c.q)

    def power(x: Any) -> Any:
        """n + ROUND of e^x."""
        return fma(x, LOG2E, ONTO)

    def remainder(x: Any, n: Any) -> Any:
        """p of e^x."""
        r = fma(n - ONTO, LOW, fma(n - ONTO, HIGH, x))
        return fma(r * r, polynomial(r), r)

    def floored(x: Any) -> Any:
        """x where e^x is not 0; NaN stays."""
        return choose(x < LOWEST, LOWEST, x)

    def inverted(x: Any) -> Any:
        """1/x; in float32 an estimate to 14 bits, which who uses it corrects."""
        if COMPENSATED:
            return near_reciprocal(x)
        if not ESTIMATED:
            return 1.0 / x
        y = near_reciprocal(x)
        y = fma(fma(x, y * -1.0, 1.0), y, y)
        return fma(fma(x, y * -1.0, 1.0), y, y)

    def tanh(z: Any, a: int, slope: int) -> int:
        """e = e^(−2|z|): |a| = (1 − e)/(1 + e), 1 − e by p; σ' = 4e/(1 + e)² = 2e/(1 + e) · (1 + |a|)"""
        x = floored(absolute(z) * -2.0)
        n = power(x)
        p = remainder(x, n)
        lifted = power_of_two(n, LIFT)
        scale = lifted * DROP
        less = fma(scale, p, scale - 1.0)  # e − 1
        more = less + 2.0
        inverse = inverted(more)
        quotient = less * inverse
        if COMPENSATED:
            low = less - (more - 2.0)  # what rounding took from 1 + e
            rest = fma(low, quotient * -1.0, fma(more, quotient * -1.0, less))
            quotient = fma(rest, inverse, quotient)
        written = 0
        if slope != 0:  # noqa: SIM102 (the first is decided while translating)
            if any_lane(quotient < NEAR - 1.0):
                if COMPENSATED:
                    inverse = fma(fma(more, inverse * -1.0, 1.0), inverse, inverse)
                y = fma(lifted, p, lifted) * inverse
                store(slope, fma(y, quotient * -1.0, y) * (2.0 * DROP))
                written = SIZE
        store(a, with_sign(quotient, z))
        return written

    def tanh_picked(z: Any, a: int, slope: int) -> int:
        """|a| from a table; σ' as above."""
        size = magnitude(absolute(z))
        written = 0
        if slope != 0:  # noqa: SIM102 (as above)
            if any_lane(size > 1.0 - NEAR):
                x = floored(absolute(z) * -2.0)
                n = power(x)
                p = remainder(x, n)
                lifted = power_of_two(n, LIFT)
                e = fma(lifted, p, lifted)
                y = e / fma(e, DROP, 1.0)
                store(slope, fma(y, size, y) * (2.0 * DROP))
                written = SIZE
        store(a, with_sign(size, z))
        return written

    def sigmoid(z: Any, a: int, slope: int) -> int:
        """e = e^(−|z|): a = 1/(1 + e), or e/(1 + e) below 0; σ' = e/(1 + e)²"""
        x = floored(absolute(z) * -1.0)
        n = power(x)
        p = remainder(x, n)
        lifted = power_of_two(n, LIFT)
        e = fma(lifted, p, lifted)
        more = fma(e, DROP, 1.0)
        inverse = inverted(more)
        if COMPENSATED:
            low = fma(e, DROP, 1.0 - more)  # what rounding took from 1 + e
            inverse = fma(fma(low, inverse * -1.0, fma(more, inverse * -1.0, 1.0)), inverse, inverse)
        below = e * inverse
        value = choose(z < 0.0, below * DROP, inverse)
        written = 0
        if slope != 0:  # noqa: SIM102 (as above)
            if any_lane(value > 1.0 - NEAR):
                store(slope, (below * inverse) * DROP)
                written = SIZE
        store(a, value)
        return written

    def exp(z: Any, a: int, slope: int) -> int:
        """a = σ' = e^z"""
        x = floored(choose(z > HIGHEST, HIGHEST, z))
        n = power(x)
        p = remainder(x, n)
        half = fma(n - ONTO, 0.5, ONTO)
        store(a, ((p + 1.0) * power_of_two(half, 0)) * power_of_two((n - half) + ONTO, 0))
        return 0

    def gaussian(z: Any, a: int, slope: int) -> int:
        """a = e^(−z²), the error of z² taken into the exponent; σ' = −2z·a"""
        x = absolute(z)
        x = choose(x > ROOT, ROOT, x)
        square = x * x
        error = fma(x, x, square * -1.0)
        n = power(square * -1.0)
        r = fma(n - ONTO, LOW, fma(n - ONTO, HIGH, square * -1.0)) - error
        p = fma(r * r, polynomial(r), r)
        e = (p + 1.0) * power_of_two(n, LIFT)
        written = 0
        if slope != 0:
            store(slope, (with_sign(x, z * -1.0) * e) * (2.0 * DROP))
            written = SIZE
        store(a, e * DROP)
        return written

    def elu(z: Any, a: int, slope: int) -> int:
        """a = z, or e^z − 1 below 0; σ' = 1, or e^z"""
        x = floored(choose(z > 0.0, 0.0, z))
        n = power(x)
        p = remainder(x, n)
        lifted = power_of_two(n, LIFT)
        scale = lifted * DROP
        value = choose(z > 0.0, z, fma(scale, p, scale - 1.0))
        written = 0
        if slope != 0:  # noqa: SIM102 (as above)
            if any_lane(value < NEAR - 1.0):
                store(slope, fma(lifted, p, lifted) * DROP)
                written = SIZE
        store(a, value)
        return written

    def relu(z: Any, a: int, slope: int) -> int:
        """a = max(z, 0)"""
        store(a, choose(z <= 0.0, 0.0, z))
        return 0

    def leaky_relu(z: Any, a: int, slope: int) -> int:
        """a = z, or 0.01·z below 0"""
        store(a, choose(z > 0.0, z, z * LEAKY_SLOPE))
        return 0

    def identity(z: Any, a: int, slope: int) -> int:
        """a = z"""
        store(a, z)
        return 0

    forms = (tanh, sigmoid, exp, gaussian, elu, relu, leaky_relu, identity)
    return {f.__name__: f for f in forms} | {"celu": elu} | ({"tanh": tanh_picked} if PICKED else {})


def recalled(lanes: Lanes) -> dict[str, Recall]:
    """By name of the activation: σ'(z) from a = σ(z), and whether it has been stored because a does not tell it."""

    def tanh(a: Any) -> Any:
        """σ' = (1 − |a|)(1 + |a|)"""
        x = absolute(a)
        return (1.0 - x) * (x + 1.0)

    def tanh_stored(a: Any) -> Any:
        return any_lane(absolute(a) > 1.0 - NEAR)

    def sigmoid(a: Any) -> Any:
        """σ' = a(1 − a)"""
        return a * (1.0 - a)

    def sigmoid_stored(a: Any) -> Any:
        return any_lane(a > 1.0 - NEAR)

    def exp(a: Any) -> Any:
        """σ' = a"""
        return a

    def elu(a: Any) -> Any:
        """σ' = 1, or 1 + a below 0"""
        return choose(a > 0.0, 1.0, a + 1.0)

    def elu_stored(a: Any) -> Any:
        return any_lane(a < NEAR - 1.0)

    def relu(a: Any) -> Any:
        """σ' = 1, or 0 where a is"""
        return choose(a > 0.0, 1.0, a)

    def leaky_relu(a: Any) -> Any:
        """σ' = 1, or 0.01 from 0 down"""
        return choose(a > 0.0, 1.0, choose(a <= 0.0, LEAKY_SLOPE, a))

    def identity(a: Any) -> Any:
        """σ' = 1"""
        return choose(a == a, 1.0, a)

    def always(a: Any) -> Any:
        return True

    def never(a: Any) -> Any:
        return False

    told = {f.__name__: (f, never) for f in (exp, relu, leaky_relu, identity)}
    near = {"tanh": (tanh, tanh_stored), "sigmoid": (sigmoid, sigmoid_stored), "elu": (elu, elu_stored)}
    return told | near | {"celu": (elu, elu_stored), "gaussian": (exp, always)}  # whose a has lost the sign of z


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
