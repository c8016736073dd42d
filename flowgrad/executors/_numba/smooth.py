"""Vector forms of silu, softplus and gelu: one exponential each, in float32 and float64 alike; forward keeps σ'.

Errors, tested over the whole range: at most 3 ulp, of gelu 6, and of σ' where it vanishes what roundings of z change.
Coefficients are of interpolations in Chebyshev's nodes, to 50 digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad.executors._numba.form import Form, always, itself
from flowgrad.executors._numba.powers import constants, polynomial, power, raised, remainder_of
from flowgrad.executors._numba.rows import absolute, choose, fma, power_of_two
from flowgrad.maths.rectifiers import INV_SQRT_2PI

_DEEP = {np.dtype(np.float32): 128.0, np.dtype(np.float64): 800.0}
"""e^−this times this is 0."""


def _logistic(z: Any) -> tuple[Any, Any, Any, Any]:
    """e · 2^lift, e and 1/(1 + e), e = e^−|z|; z within what the exponential is for, NaN stays."""
    deep, drop = _DEEP[z.dtype], constants(z).drop
    inside = choose(z > deep, deep, choose(z < -deep, -deep, z))
    lifted = raised(-absolute(inside))
    e = lifted * drop
    return lifted, e, 1.0 / (e + 1.0), inside


# ---- silu: z·σ(z); σ(z)·(1 + z·σ(−z)), σ the sigmoid ----------------------------------------------------------


def _silu(z: Any) -> Any:
    lifted, _, inverse, inside = _logistic(z)
    return choose(z < 0.0, ((lifted * inverse) * inside) * constants(z).drop, z * inverse)


def _dsilu(z: Any) -> Any:
    lifted, e, inverse, inside = _logistic(z)
    other = e * inverse
    below = ((lifted * inverse) * fma(inside, inverse, 1.0)) * constants(z).drop
    return choose(z < 0.0, below, inverse * fma(inside, other, 1.0))


# ---- softplus: max(z, 0) + log(1 + e), e = e^−|z|, by s = e/(2 + e): 2 artanh s; 1/(1 + e^−z) -----------------

_LOG1P = {
    np.dtype(np.float32): (
        0.23224388477831642,
        0.2170656432120296,
        0.28592358674320933,
        0.39999706319421113,
        0.6666666732056181,
    ),
    np.dtype(np.float64): (
        0.16164134865118995,
        0.08800696405722702,
        0.1200108104593959,
        0.1331414334391922,
        0.15385570117742978,
        0.18181789434252693,
        0.22222222717465243,
        0.28571428567108387,
        0.40000000000014585,
        0.6666666666666666,
    ),
}


def _softplus(z: Any) -> Any:
    lifted, e, _, _ = _logistic(z)
    inverse = 1.0 / (e + 2.0)
    s = e * inverse
    square = s * s
    series = fma(square, polynomial(_LOG1P[z.dtype], square), 2.0)
    return fma((lifted * inverse) * series, constants(z).drop, choose(z > 0.0, z, 0.0))


def _dsoftplus(z: Any) -> Any:
    lifted, _, inverse, _ = _logistic(z)
    return choose(z < 0.0, (lifted * inverse) * constants(z).drop, inverse)


# ---- gelu: z·Φ(z); Φ(z) + z·φ(z), Φ(−y) = e^(−y²/2) · T((y − 6)/(y + 6)) / (y + 6), T a polynomial ------------

_TAIL = {
    np.dtype(np.float32): (
        0.00029641082391913744,
        8.803179934573489e-05,
        -0.0021575538379235105,
        0.009999959033074662,
        -0.030987971044519454,
        0.07517626982647864,
        -0.1526792480154483,
        0.26797403071872833,
        -0.4139036521265916,
        0.5689688938078095,
        -0.7010090285118342,
        0.7773517719062836,
    ),
    np.dtype(np.float64): (
        8.593544372498285e-10,
        5.141988291899891e-09,
        -1.738130643905212e-10,
        -4.4149303696512375e-08,
        9.658611529211993e-09,
        3.1172908654945277e-07,
        -4.3055841140159364e-07,
        -1.8006565540537867e-06,
        6.796567784945442e-06,
        1.075994996679049e-06,
        -6.475197218165947e-05,
        0.00018136031174258702,
        3.286999345691083e-05,
        -0.0021316051920435273,
        0.01002982064664151,
        -0.03098531550954569,
        0.07517191566825548,
        -0.1526802320643716,
        0.2679742458416921,
        -0.4139035857755941,
        0.5689688918147829,
        -0.7010090295908655,
        0.7773517718933622,
    ),
}
_WIDEST = {np.dtype(np.float32): 15.0, np.dtype(np.float64): 40.0}
"""Φ(−this) is 0, also times this."""


def _normal(z: Any) -> tuple[Any, Any, Any]:
    """y = |z|, at most so large that all is 0 there; e^(−y²/2) and Φ(−y), both times 2^lift."""
    c, y, widest = constants(z), absolute(z), _WIDEST[z.dtype]
    y = choose(y > widest, widest, y)
    square = y * y
    error = fma(y, y, -square)
    x = square * -0.5
    n = power(x)
    density = (remainder_of(x, n, error * -0.5) + 1.0) * power_of_two(n, c.lift)
    inverse = 1.0 / (y + 6.0)
    return y, density, density * (polynomial(_TAIL[z.dtype], (y - 6.0) * inverse) * inverse)


def _gelu(z: Any) -> Any:
    y, _, tail = _normal(z)
    drop = constants(z).drop
    return choose(z < 0.0, (tail * -y) * drop, fma(-y, tail * drop, z))


def _dgelu(z: Any) -> Any:
    y, density, tail = _normal(z)
    below = fma(y * -INV_SQRT_2PI, density, tail) * constants(z).drop
    return choose(z < 0.0, below, 1.0 - below)


SMOOTH = {
    "silu": Form(_silu, itself, always, _dsilu),
    "softplus": Form(_softplus, itself, always, _dsoftplus),
    "gelu": Form(_gelu, itself, always, _dgelu),
}
"""Forms by name of the activation."""
