"""Activations σ of equation (3), a = σ(z), each with σ'(z) of (7) and (8) directly under it.

Rectifiers are in `rectifiers`, activations as other programs define them in `foreign`; the same rules hold there.

All are plain scalar functions of one float64: the Python executor calls them with np.float64 numbers, under
`np.errstate(all="ignore")`, and Numba compiles them without `fastmath`. All of them follow four rules:

- σ and σ' are NaN at NaN (branches are ordered so that NaN reaches one that returns NaN);
- at ±inf they are the limit, if there is one, and neither inf − inf nor 0 · inf is formed;
- σ and σ' are accurate to a few units in the last place wherever z determines them that well;
- every path returns a float, nothing divides by zero, and no function here has the name of a NumPy function.

At a kink σ' is the derivative from the left, with two exceptions: it is 0 for |z|, and 0 at the upper edge of
hard_sigmoid and hard_tanh, as in PyTorch.

Functions that saturate on both sides and have slope 1 (erf: 1.13) at 0 use the initializer "glorot_spectral". The
sigmoids do not: their slope is ¼ or less, and trees of eight levels of them trained worse with still smaller weights.
"""

# mypy: disable-error-code="no-any-return"
# (NumPy types a ufunc of one number as Any; it is np.float64, which is a float.)

from __future__ import annotations

import math

import numpy as np

from flowgrad.maths.activation import Activation

HALF_PI = 1.5707963267948966192313216916398
TWO_BY_SQRT_PI = 1.1283791670955125738961589031215


def identity(z: float) -> float:
    """z"""
    return z


def didentity(z: float) -> float:
    """1"""
    return z if z != z else 1.0


def sigmoid(z: float) -> float:
    """1/(1 + e^{−z}), computed with e^{−|z|}, which cannot overflow."""
    if z >= 0.0:
        return 1.0 / (1.0 + np.exp(-z))
    e = np.exp(z)
    return e / (1.0 + e)


def dsigmoid(z: float) -> float:
    """σ(z)·σ(−z), which is accurate for large z, where σ·(1 − σ) suffers from cancellation."""
    return sigmoid(z) * sigmoid(-z)


def hyperbolic_tangent(z: float) -> float:
    """tanh z"""
    return np.tanh(z)


def dhyperbolic_tangent(z: float) -> float:
    """1/cosh² z = 4e/(1 + e)² with e = e^{−2|z|}, without the cancellation of 1 − tanh²."""
    e = np.exp(-2.0 * abs(z))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


def step(z: float) -> float:
    """1 for z > 0, else 0; also the derivative of relu, which is 0 at 0 by the usual convention."""
    if z != z:
        return z
    return 1.0 if z > 0.0 else 0.0


def softsign(z: float) -> float:
    """z/(1 + |z|); for |z| > 1 numerator and denominator are divided by z, so that ±inf gives ±1."""
    if z > 1.0:
        return 1.0 / (1.0 + 1.0 / z)
    if z < -1.0:
        return 1.0 / (1.0 / z - 1.0)
    return z / (1.0 + abs(z))


def dsoftsign(z: float) -> float:
    """1/(1 + |z|)², computed as the square of a quotient, because the square of 1 + |z| may overflow."""
    r = 1.0 / (1.0 + abs(z))
    return r * r


def hard_sigmoid(z: float) -> float:
    """clip(z/6 + ½, 0, 1), as in PyTorch and MobileNetV3; Keras before 3 and ONNX by default have slope 0.2."""
    if z <= -3.0:
        return 0.0
    if z >= 3.0:
        return 1.0
    return (z + 3.0) / 6.0


def dhard_sigmoid(z: float) -> float:
    """1/6 for |z| < 3, else 0, also at the two kinks."""
    if abs(z) >= 3.0:
        return 0.0
    return z if z != z else 1.0 / 6.0


def hard_tanh(z: float) -> float:
    """clip(z, −1, 1)"""
    if z <= -1.0:
        return -1.0
    if z >= 1.0:
        return 1.0
    return z


def dhard_tanh(z: float) -> float:
    """1 for |z| < 1, else 0, also at the two kinks."""
    if abs(z) >= 1.0:
        return 0.0
    return z if z != z else 1.0


def arc_tangent(z: float) -> float:
    """arctan z"""
    return np.arctan(z)


def darc_tangent(z: float) -> float:
    """1/(1 + z²); for |z| > 1e9, where 1 + z² rounds to z² and may overflow, computed as (1/z)²."""
    if abs(z) > 1e9:
        r = 1.0 / z
        return r * r
    return 1.0 / (1.0 + z * z)


def error_function(z: float) -> float:
    """erf z = 2/√π ∫₀ᶻ e^{−t²} dt"""
    return math.erf(z)


def derror_function(z: float) -> float:
    """2/√π · e^{−z²}"""
    return TWO_BY_SQRT_PI * np.exp(-z * z)


def sine(z: float) -> float:
    """sin z; NaN at ±inf, where it has no limit."""
    return np.sin(z)


def cosine(z: float) -> float:
    """cos z, which is also sin'."""
    return np.cos(z)


def dcosine(z: float) -> float:
    """−sin z"""
    return -np.sin(z)


def gaussian(z: float) -> float:
    """e^{−z²}"""
    return np.exp(-z * z)


def dgaussian(z: float) -> float:
    """−2z·e^{−z²}"""
    if abs(z) > 30.0:  # e^{−900} has underflowed; avoids inf · 0
        return 0.0
    return -2.0 * z * np.exp(-z * z)


def dflat(z: float) -> float:
    """0, the derivative of step and of sign, also at their jumps; NaN at NaN."""
    return z if z != z else 0.0


def signum(z: float) -> float:
    """1 for z > 0, −1 for z < 0, 0 at 0; also the derivative of |z|."""
    if z > 0.0:
        return 1.0
    return -1.0 if z < 0.0 else z  # ±0 and NaN are returned as they are


def absolute(z: float) -> float:
    """|z|; its derivative is `signum`."""
    return abs(z)


def square(z: float) -> float:
    """z²"""
    return z * z


def dsquare(z: float) -> float:
    """2z"""
    return 2.0 * z


def cube(z: float) -> float:
    """z³"""
    return z * z * z


def dcube(z: float) -> float:
    """3z²"""
    return 3.0 * z * z


def exponential(z: float) -> float:
    """e^z, its own derivative."""
    return np.exp(z)


def logarithm(z: float) -> float:
    """log z; −inf at 0, NaN below 0."""
    return np.log(z)


def dlogarithm(z: float) -> float:
    """1/z; inf at 0, and NaN below 0, where log is not defined."""
    if z > 0.0:
        return 1.0 / z
    if z == 0.0:
        return np.inf
    return np.nan


def square_root(z: float) -> float:
    """√z; NaN below 0."""
    return np.sqrt(z)


def dsquare_root(z: float) -> float:
    """½/√z; inf at 0."""
    return np.inf if z == 0.0 else 0.5 / np.sqrt(z)


def reciprocal(z: float) -> float:
    """1/z; ±inf at ±0."""
    return np.copysign(np.inf, z) if z == 0.0 else 1.0 / z


def dreciprocal(z: float) -> float:
    """−1/z², computed as the square of a quotient, because z² may overflow."""
    r = reciprocal(z)
    return -r * r


SIGMOID = "select(z >= 0, 1, exp(-abs(z))) / (1 + exp(-abs(z)))"
STEP = "select(z > 0, 1, select(z == z, 0, z))"
SIGN = "select(z > 0, 1, select(z < 0, -1, z))"
FLAT = "select(z == z, 0, z)"


_ERF = (
    1.1283791670955126,
    -0.37612638903183543,
    0.11283791670945006,
    -0.02686617064323777,
    0.0052239776071164225,
    -0.0008548325975389692,
    0.00012055294904839707,
    -1.492473690741966e-05,
    1.6447424703317362e-06,
    -1.6208483801871705e-07,
    1.3720064546777686e-08,
    -7.795898827002142e-10,
)
"""Coefficients of z⁰, z², z⁴, …: erf(z)/z interpolated at the Chebyshev points of 0 ≤ z² ≤ 1, error there ≤ 1e-17."""


def _erf() -> str:
    """Return the formula of erf: a polynomial for |z| < 1, else ±(1 − erfc |z|), which cancels no digits there."""
    polynomial = repr(_ERF[-1])
    for c in _ERF[-2::-1]:
        polynomial = f"({c!r} + z * z * {polynomial})"
    return f"select(abs(z) < 1, z * {polynomial}, select(z > 0, 1 - erfc(abs(z)), erfc(abs(z)) - 1))"


entries: dict[str, Activation] = {
    a.name: a
    for a in (
        Activation("identity", identity, didentity, expression=("z", "select(z == z, 1, z)")),
        Activation(
            "sigmoid",
            sigmoid,
            dsigmoid,
            range=(0.0, 1.0),
            expression=(SIGMOID, "exp(-abs(z)) / ((1 + exp(-abs(z))) * (1 + exp(-abs(z))))"),
        ),
        Activation(
            "tanh",
            hyperbolic_tangent,
            dhyperbolic_tangent,
            range=(-1.0, 1.0),
            initializer="glorot_spectral",
            expression=("tanh(z)", "4 * exp(-2 * abs(z)) / ((1 + exp(-2 * abs(z))) * (1 + exp(-2 * abs(z))))"),
        ),
        Activation(
            "softsign",
            softsign,
            dsoftsign,
            range=(-1.0, 1.0),
            initializer="glorot_spectral",
            expression=(
                "select(abs(z) > 1, select(z > 0, 1, -1) / (1 + 1 / abs(z)), z / (1 + abs(z)))",
                "1 / (1 + abs(z)) * (1 / (1 + abs(z)))",
            ),
        ),
        Activation(
            "hard_sigmoid",
            hard_sigmoid,
            dhard_sigmoid,
            range=(0.0, 1.0),
            expression=("min(max((z + 3) / 6, 0), 1)", "select(abs(z) >= 3, 0, select(z == z, 1 / 6, z))"),
        ),
        Activation(
            "hard_tanh",
            hard_tanh,
            dhard_tanh,
            range=(-1.0, 1.0),
            initializer="glorot_spectral",
            expression=("min(max(z, -1), 1)", "select(abs(z) >= 1, 0, select(z == z, 1, z))"),
        ),
        Activation(
            "arctan",
            arc_tangent,
            darc_tangent,
            range=(-HALF_PI, HALF_PI),
            initializer="glorot_spectral",
            expression=("arctan(z)", "select(abs(z) > 1e9, 1 / z * (1 / z), 1 / (1 + z * z))"),
        ),
        Activation(
            "erf",
            error_function,
            derror_function,
            range=(-1.0, 1.0),
            initializer="glorot_spectral",
            expression=(_erf(), f"{TWO_BY_SQRT_PI} * exp(-z * z)"),
        ),
        Activation("sin", sine, cosine, range=(-1.0, 1.0), expression=("sin(z)", "cos(z)")),
        Activation("cos", cosine, dcosine, range=(-1.0, 1.0), expression=("cos(z)", "-sin(z)")),
        Activation(
            "gaussian",
            gaussian,
            dgaussian,
            range=(0.0, 1.0),
            expression=("exp(-z * z)", "select(abs(z) > 30, 0, -2 * z * exp(-z * z))"),
        ),
        Activation("step", step, dflat, range=(0.0, 1.0), expression=(STEP, FLAT)),
        Activation("sign", signum, dflat, range=(-1.0, 1.0), expression=(SIGN, FLAT)),
        Activation("abs", absolute, signum, expression=("abs(z)", SIGN)),
        Activation("square", square, dsquare, expression=("z * z", "2 * z")),
        Activation("cube", cube, dcube, expression=("z * z * z", "3 * z * z")),
        Activation("exp", exponential, exponential, expression=("exp(z)", "exp(z)")),
        Activation("log", logarithm, dlogarithm, expression=("log(z)", "select(z >= 0, 1 / abs(z), log(z))")),
        Activation("sqrt", square_root, dsquare_root, expression=("sqrt(z)", "0.5 / abs(sqrt(z))")),
        Activation("reciprocal", reciprocal, dreciprocal, expression=("1 / z", "-(1 / z) * (1 / z)")),
    )
}
