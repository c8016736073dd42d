"""Rectifiers: activations that are z, or nearly, for positive z and damp negative z; σ' is under each.

They follow the rules of `flowgrad.maths.activations`. All but selu use the initializer "he": He et al. 2015 derive it
for relu and the leaky family, Clevert et al. 2016 use it for elu (celu with α = 1 is elu); gelu, silu, mish and
softplus approach relu on both sides. The constants of selu assume Var w = 1/fan_in (Klambauer et al. 2017), which is
Glorot's rule for equal fans.
"""

# mypy: disable-error-code="no-any-return"
# (NumPy types a ufunc of one number as Any; it is np.float64, which is a float.)

from __future__ import annotations

import math

import numpy as np

from flowgrad.maths.activation import Activation, Affine
from flowgrad.maths.activations import SIGMOID, STEP, sigmoid, step

LEAKY_SLOPE = 0.01  # Maas, Hannun & Ng 2013; Keras' layer has 0.3, maths.md and PyTorch 0.01
SELU_SCALE = 1.0507009873554804934193349852946  # λ and α of Klambauer et al. 2017, appendix A: the fixed point
SELU_ALPHA = 1.6732632423543772848170429916717  # of mean 0 and variance 1
SQRT_HALF = 0.70710678118654752440084436210485
INV_SQRT_2PI = 0.39894228040143267793994605993438


def relu(z: float) -> float:
    """max(z, 0); NaN at NaN."""
    return 0.0 if z <= 0.0 else z


def leaky_relu(z: float) -> float:
    """z for z > 0, else 0.01·z"""
    return z if z > 0.0 else LEAKY_SLOPE * z


def dleaky_relu(z: float) -> float:
    """1 for z > 0, else 0.01"""
    if z != z:
        return z
    return 1.0 if z > 0.0 else LEAKY_SLOPE


def elu(z: float) -> float:
    """z for z > 0, else e^z − 1 (Clevert et al. 2016, α = 1). With α = 1 celu is the same function."""
    return z if z > 0.0 else np.expm1(z)


def delu(z: float) -> float:
    """1 for z > 0, else e^z"""
    return 1.0 if z > 0.0 else np.exp(z)


def selu(z: float) -> float:
    """λz for z > 0, else λα(e^z − 1) (Klambauer et al. 2017)."""
    return SELU_SCALE * z if z > 0.0 else SELU_SCALE * SELU_ALPHA * np.expm1(z)


def dselu(z: float) -> float:
    """λ for z > 0, else λα·e^z"""
    return SELU_SCALE if z > 0.0 else SELU_SCALE * SELU_ALPHA * np.exp(z)


def softplus(z: float) -> float:
    """log(1 + e^z) = max(z, 0) + log1p(e^{−|z|})"""
    return z + np.log1p(np.exp(-z)) if z > 0.0 else np.log1p(np.exp(z))


def gelu(z: float) -> float:
    """½z·erfc(−z/√2) = z·Φ(z), exact and not the tanh fit; 1 + erf would lose the far tail to cancellation."""
    if z < -40.0:  # Φ has underflowed; avoids −inf · 0
        return 0.0
    return 0.5 * z * math.erfc(-z * SQRT_HALF)


def dgelu(z: float) -> float:
    """Φ(z) + z·φ(z), φ the density of the standard normal distribution."""
    if abs(z) > 40.0:
        return 1.0 if z > 0.0 else 0.0
    return 0.5 * math.erfc(-z * SQRT_HALF) + z * INV_SQRT_2PI * np.exp(-0.5 * z * z)


def silu(z: float) -> float:
    """z·σ(z), σ the sigmoid; also named swish."""
    if z < -800.0:  # σ has underflowed
        return 0.0
    return z * sigmoid(z)


def dsilu(z: float) -> float:
    """σ(z)·(1 + z·σ(−z))"""
    if abs(z) > 800.0:
        return 1.0 if z > 0.0 else 0.0
    return sigmoid(z) * (1.0 + z * sigmoid(-z))


def mish(z: float) -> float:
    """z·tanh(log(1 + e^z)), where tanh(log(1 + e)) = n/(n + 2) with n = e(e + 2) (Misra 2019)."""
    if z < -800.0:  # e^z has underflowed
        return 0.0
    if z > 0.0:
        e = np.exp(-z)
        return z * ((1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e))
    e = np.exp(z)
    n = e * (e + 2.0)
    return z * (n / (n + 2.0))


def dmish(z: float) -> float:
    """n/(n + 2) + z·4e(e + 1)/(n + 2)², with n = e(e + 2) and e = e^z; for z > 0 fractions are reduced by e² and e⁴."""
    if z < -800.0:
        return 0.0
    if z > 40.0:  # 1 − σ' is below e^{−70}
        return 1.0
    if z > 0.0:
        e = np.exp(-z)
        c = 1.0 + 2.0 * e + 2.0 * e * e
        return (1.0 + 2.0 * e) / c + z * (4.0 * e * e * (1.0 + e) / (c * c))
    e = np.exp(z)
    n = e * (e + 2.0)
    return n / (n + 2.0) + z * (4.0 * e * (e + 1.0) / ((n + 2.0) * (n + 2.0)))


E = "exp(-abs(z))"
ELU = ("select(z > 0, z, expm1(z))", "select(z > 0, 1, exp(z))")
ABOVE = f"select(z > 0, 1 + 2 * {E}, {E} * ({E} + 2))"
BELOW = f"select(z > 0, 1 + 2 * {E} + 2 * {E} * {E}, {E} * ({E} + 2) + 2)"
MISH = (  # tanh(softplus(z)) = ABOVE / BELOW
    f"select(z < -800, 0, z * ({ABOVE} / {BELOW}))",
    f"select(z < -800, 0, select(z > 40, 1, {ABOVE} / {BELOW} + "
    f"z * (4 * {E} * select(z > 0, {E}, 1) * (1 + {E}) / ({BELOW} * {BELOW}))))",
)

_elu = Activation("elu", elu, delu, initializer="he", expression=ELU)

entries: dict[str, Activation] = {
    a.name: a
    for a in (
        Activation("relu", relu, step, initializer="he", expression=("select(z <= 0, 0, z)", STEP)),
        Activation(
            "leaky_relu",
            leaky_relu,
            dleaky_relu,
            initializer="he",
            expression=(f"select(z > 0, z, {LEAKY_SLOPE} * z)", f"select(z > 0, 1, select(z == z, {LEAKY_SLOPE}, z))"),
        ),
        _elu,
        Activation(
            "selu",
            selu,
            dselu,
            expression=(
                f"select(z > 0, {SELU_SCALE} * z, {SELU_SCALE * SELU_ALPHA} * expm1(z))",
                f"select(z > 0, {SELU_SCALE}, {SELU_SCALE * SELU_ALPHA} * exp(z))",
            ),
        ),
        Activation("celu", elu, delu, initializer="he", affine=Affine(_elu), expression=ELU),
        Activation(
            "softplus",
            softplus,
            sigmoid,
            initializer="he",
            expression=(f"select(z > 0, z, 0) + log1p({E})", SIGMOID),
        ),
        Activation(
            "gelu",
            gelu,
            dgelu,
            initializer="he",
            expression=(
                f"select(z < -40, 0, 0.5 * z * erfc(-z * {SQRT_HALF}))",
                "select(abs(z) > 40, select(z > 0, 1, 0), "
                f"0.5 * erfc(-z * {SQRT_HALF}) + z * {INV_SQRT_2PI} * exp(-0.5 * z * z))",
            ),
        ),
        Activation(
            "silu",
            silu,
            dsilu,
            initializer="he",
            expression=(
                f"select(z < -800, 0, z * ({SIGMOID}))",
                "select(abs(z) > 800, select(z > 0, 1, 0), "
                f"{SIGMOID} * (1 + z * (select(z <= 0, 1, {E}) / (1 + {E}))))",
            ),
        ),
        Activation("mish", mish, dmish, initializer="he", expression=MISH),
    )
}
