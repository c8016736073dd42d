"""Activations of other programs that differ from those in `activations`; their names begin with that of the program.

neat-python scales z and clamps it (its documentation, "Activation functions"); weight-agnostic networks
(WANN, Gaier & Ha 2019) have sine and cosine of period 2 and e^{−z²/2}. Beyond a clamp the function is constant, so the
derivative is 0 there. The functions return NaN for NaN, as those of `activations`.
"""

# mypy: disable-error-code="no-any-return"
# (NumPy types a ufunc of one number as Any; it is np.float64, which is a float.)

from __future__ import annotations

import math

import numpy as np

from flowgrad.maths.activation import Activation, Affine
from flowgrad.maths.activations import dhyperbolic_tangent
from flowgrad.maths.activations import entries as ours


def clamp(z: float, limit: float) -> float:
    """Clip z to ±limit; NaN stays NaN."""
    if z > limit:
        return limit
    if z < -limit:
        return -limit
    return z


def inside(z: float, limit: float) -> float:
    """Return the derivative of `clamp`: 1 strictly within ±limit, else 0; NaN for NaN."""
    if z != z:
        return z
    return 1.0 if abs(z) < limit else 0.0


def neat_sigmoid(z: float) -> float:
    """1 / (1 + e^{−y}), y = 5z within ±60"""
    return 1.0 / (1.0 + np.exp(-clamp(5.0 * z, 60.0)))


def d_neat_sigmoid(z: float) -> float:
    """5 σ(y) σ(−y)"""
    y = clamp(5.0 * z, 60.0)
    return 5.0 / (1.0 + np.exp(-y)) / (1.0 + np.exp(y)) * inside(5.0 * z, 60.0)


def neat_tanh(z: float) -> float:
    """tanh(2.5z)"""
    return np.tanh(2.5 * z)


def d_neat_tanh(z: float) -> float:
    """2.5 / cosh²(2.5z); neat-python clamps 2.5z at ±60, which has no effect, as tanh 60 is 1 to the last digit"""
    return 2.5 * dhyperbolic_tangent(2.5 * z)


def neat_sin(z: float) -> float:
    """sin(5z), 5z within ±60"""
    return np.sin(clamp(5.0 * z, 60.0))


def d_neat_sin(z: float) -> float:
    """5 cos(5z)"""
    return 5.0 * np.cos(clamp(5.0 * z, 60.0)) * inside(5.0 * z, 60.0)


def neat_gauss(z: float) -> float:
    """e^{−5z²}, z within ±3.4"""
    y = clamp(z, 3.4)
    return np.exp(-5.0 * y * y)


def d_neat_gauss(z: float) -> float:
    """−10z e^{−5z²}"""
    y = clamp(z, 3.4)
    return -10.0 * y * np.exp(-5.0 * y * y) * inside(z, 3.4)


def neat_lelu(z: float) -> float:
    """z where z > 0, else 0.005z"""
    return z if z > 0.0 else 0.005 * z


def d_neat_lelu(z: float) -> float:
    """1 where z > 0, else 0.005"""
    if z != z:
        return z
    return 1.0 if z > 0.0 else 0.005


def neat_softplus(z: float) -> float:
    """log(1 + e^y) / 5, y = 5z within ±60"""
    y = clamp(5.0 * z, 60.0)
    return 0.2 * (np.maximum(y, 0.0) + np.log1p(np.exp(-np.abs(y))))


def d_neat_softplus(z: float) -> float:
    """σ(y)"""
    return inside(5.0 * z, 60.0) / (1.0 + np.exp(-clamp(5.0 * z, 60.0)))


def neat_inv(z: float) -> float:
    """1 / z, and 0 at 0"""
    return 0.0 if z == 0.0 else 1.0 / z


def d_neat_inv(z: float) -> float:
    """−1 / z², and 0 at 0"""
    return 0.0 if z == 0.0 else -(1.0 / z) / z


def neat_log(z: float) -> float:
    """log max(z, 1e−7)"""
    if z != z:
        return z
    return np.log(z) if z > 1e-7 else np.log(1e-7)


def d_neat_log(z: float) -> float:
    """1 / z above 1e−7, else 0"""
    if z != z:
        return z
    return 1.0 / z if z > 1e-7 else 0.0


def neat_exp(z: float) -> float:
    """e^z, z within ±60"""
    return np.exp(clamp(z, 60.0))


def d_neat_exp(z: float) -> float:
    """e^z within ±60, else 0"""
    return np.exp(clamp(z, 60.0)) * inside(z, 60.0)


def neat_hat(z: float) -> float:
    """1 − |z| within ±1, else 0"""
    if z != z:
        return z
    return 1.0 - abs(z) if abs(z) < 1.0 else 0.0


def d_neat_hat(z: float) -> float:
    """−sign z within ±1, else 0; also 0 at the kink z = 0"""
    if z != z:
        return z
    if z == 0.0 or abs(z) >= 1.0:
        return 0.0
    return -1.0 if z > 0.0 else 1.0


def wann_sin(z: float) -> float:
    """sin(πz)"""
    return np.sin(math.pi * z)


def d_wann_sin(z: float) -> float:
    """π cos(πz)"""
    return math.pi * np.cos(math.pi * z)


def wann_cos(z: float) -> float:
    """cos(πz)"""
    return np.cos(math.pi * z)


def d_wann_cos(z: float) -> float:
    """−π sin(πz)"""
    return -math.pi * np.sin(math.pi * z)


def wann_gaussian(z: float) -> float:
    """e^{−z²/2}"""
    return np.exp(-0.5 * z * z)


def d_wann_gaussian(z: float) -> float:
    """−z e^{−z²/2}, 0 at ±inf"""
    e = np.exp(-0.5 * z * z)
    return e if e == 0.0 else -z * e


def wann_inverse(z: float) -> float:
    """−z"""
    return -z


def d_wann_inverse(z: float) -> float:
    """−1"""
    if z != z:
        return z
    return -1.0


Y = "min(max(5 * z, -60), 60)"
E = f"exp(-abs({Y}))"
INSIDE = "select(abs(5 * z) < 60, 1, select(z == z, 0, z))"
NEAR = "min(max(z, -3.4), 3.4)"

entries: dict[str, Activation] = {
    record.name: record
    for record in (
        Activation(
            "neat-sigmoid",
            neat_sigmoid,
            d_neat_sigmoid,
            range=(0.0, 1.0),
            expression=(f"select({Y} >= 0, 1, {E}) / (1 + {E})", f"5 * {E} / ((1 + {E}) * (1 + {E})) * {INSIDE}"),
        ),
        Activation(
            "neat-tanh",
            neat_tanh,
            d_neat_tanh,
            range=(-1.0, 1.0),
            affine=Affine(ours["tanh"], factor=2.5),
            expression=(
                "tanh(2.5 * z)",
                "2.5 * (4 * exp(-2 * abs(2.5 * z)) / ((1 + exp(-2 * abs(2.5 * z))) * (1 + exp(-2 * abs(2.5 * z)))))",
            ),
        ),
        Activation(
            "neat-sin",
            neat_sin,
            d_neat_sin,
            range=(-1.0, 1.0),
            expression=(f"sin({Y})", f"5 * cos({Y}) * {INSIDE}"),
        ),
        Activation(
            "neat-gauss",
            neat_gauss,
            d_neat_gauss,
            range=(0.0, 1.0),
            expression=(
                f"exp(-5 * {NEAR} * {NEAR})",
                f"-10 * {NEAR} * exp(-5 * {NEAR} * {NEAR}) * select(abs(z) < 3.4, 1, select(z == z, 0, z))",
            ),
        ),
        Activation(
            "neat-lelu",
            neat_lelu,
            d_neat_lelu,
            expression=("select(z > 0, z, 0.005 * z)", "select(z > 0, 1, select(z == z, 0.005, z))"),
        ),
        Activation(
            "neat-softplus",
            neat_softplus,
            d_neat_softplus,
            expression=(f"0.2 * (max({Y}, 0) + log1p({E}))", f"select({Y} >= 0, 1, {E}) / (1 + {E}) * {INSIDE}"),
        ),
        Activation(
            "neat-inv",
            neat_inv,
            d_neat_inv,
            expression=("select(z == 0, 0, 1 / z)", "select(z == 0, 0, -(1 / z) / z)"),
        ),
        Activation(
            "neat-log",
            neat_log,
            d_neat_log,
            expression=("log(max(z, 1e-7))", "select(z > 1e-7, 1 / z, select(z == z, 0, z))"),
        ),
        Activation(
            "neat-exp",
            neat_exp,
            d_neat_exp,
            expression=(
                "exp(min(max(z, -60), 60))",
                "exp(min(max(z, -60), 60)) * select(abs(z) < 60, 1, select(z == z, 0, z))",
            ),
        ),
        Activation(
            "neat-hat",
            neat_hat,
            d_neat_hat,
            range=(0.0, 1.0),
            expression=(
                "max(1 - abs(z), 0)",
                "select(z == 0, 0, select(abs(z) < 1, select(z > 0, -1, 1), select(z == z, 0, z)))",
            ),
        ),
        Activation(
            "wann-sin",
            wann_sin,
            d_wann_sin,
            range=(-1.0, 1.0),
            affine=Affine(ours["sin"], factor=math.pi),
            expression=(f"sin({math.pi} * z)", f"{math.pi} * cos({math.pi} * z)"),
        ),
        Activation(
            "wann-cos",
            wann_cos,
            d_wann_cos,
            range=(-1.0, 1.0),
            affine=Affine(ours["cos"], factor=math.pi),
            expression=(f"cos({math.pi} * z)", f"-{math.pi} * sin({math.pi} * z)"),
        ),
        Activation(
            "wann-gaussian",
            wann_gaussian,
            d_wann_gaussian,
            range=(0.0, 1.0),
            affine=Affine(ours["gaussian"], factor=math.sqrt(0.5)),
            expression=("exp(-0.5 * z * z)", "select(abs(z) > 40, 0, -z * exp(-0.5 * z * z))"),
        ),
        Activation(
            "wann-inverse",
            wann_inverse,
            d_wann_inverse,
            affine=Affine(ours["identity"], scale=-1.0),
            expression=("-z", "select(z == z, -1, z)"),
        ),
    )
}
