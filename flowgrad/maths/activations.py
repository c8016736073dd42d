"""Activations σ of equation (3), a = σ(z), each with σ'(z) of (7) and (8) directly under it.

Plain scalar functions of one float64: the Python executor calls them with np.float64 numbers, under
`np.errstate(all="ignore")`; Numba compiles the same objects, without `fastmath`. All of them keep four rules:

- NaN in gives NaN out, of σ and of σ' (branches are laid so that NaN falls to one that returns it);
- ±inf give the limit where there is one, never inf − inf or 0 · inf on the way;
- σ and σ' are accurate to a few units in the last place wherever z determines them that well;
- every path returns a float, nothing divides by zero, and no function here has the name of a NumPy function.

At a kink σ' is the value from the left, except at |z|, where it is 0, and at the upper edge of hard_sigmoid and
hard_tanh: a clipped edge counts as clipped, σ' = 0, as in PyTorch.
"""

# mypy: disable-error-code="no-any-return"
# (NumPy types a ufunc of one number as Any; it is np.float64, which is a float.)

from __future__ import annotations

import math

import numpy as np

from flowgrad.maths.activation import Activation

LEAKY_SLOPE = 0.01  # Maas, Hannun & Ng 2013; Keras' layer has 0.3, maths.md and PyTorch 0.01
SELU_SCALE = 1.0507009873554804934193349852946  # λ and α of Klambauer et al. 2017, appendix A: the fixed point
SELU_ALPHA = 1.6732632423543772848170429916717  # of mean 0 and variance 1
SQRT_HALF = 0.70710678118654752440084436210485
HALF_PI = 1.5707963267948966192313216916398
INV_SQRT_2PI = 0.39894228040143267793994605993438


def identity(z: float) -> float:
    """z"""
    return z


def didentity(z: float) -> float:
    """1"""
    return z if z != z else 1.0


def sigmoid(z: float) -> float:
    """1/(1 + e^{−z}), by the exponential that cannot overflow."""
    if z >= 0.0:
        return 1.0 / (1.0 + np.exp(-z))
    e = np.exp(z)
    return e / (1.0 + e)


def dsigmoid(z: float) -> float:
    """σ(z)·σ(−z), which keeps the digits that σ·(1 − σ) cancels for large z."""
    return sigmoid(z) * sigmoid(-z)


def hyperbolic_tangent(z: float) -> float:
    """tanh z"""
    return np.tanh(z)


def dhyperbolic_tangent(z: float) -> float:
    """1/cosh² z = 4e/(1 + e)² with e = e^{−2|z|}, which keeps the digits that 1 − tanh² cancels."""
    e = np.exp(-2.0 * abs(z))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


def relu(z: float) -> float:
    """max(z, 0); NaN stays NaN."""
    return 0.0 if z <= 0.0 else z


def step(z: float) -> float:
    """1 for z > 0, else 0. It is also relu', 0 at the kink as everybody has it."""
    if z != z:
        return z
    return 1.0 if z > 0.0 else 0.0


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


def softsign(z: float) -> float:
    """z/(1 + |z|), divided through by z where z may be infinite."""
    if z > 1.0:
        return 1.0 / (1.0 + 1.0 / z)
    if z < -1.0:
        return 1.0 / (1.0 / z - 1.0)
    return z / (1.0 + abs(z))


def dsoftsign(z: float) -> float:
    """1/(1 + |z|)², as the square of a quotient: the square of 1 + |z| overflows."""
    r = 1.0 / (1.0 + abs(z))
    return r * r


def gelu(z: float) -> float:
    """½z·erfc(−z/√2) = z·Φ(z), exact and not the tanh fit; erfc has the far tail that 1 + erf cancels."""
    if z < -40.0:  # Φ has underflowed; −inf · 0 is not to be formed
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
    """n/(n + 2) + z·4e(e + 1)/(n + 2)², with n = e(e + 2) and e = e^z; for z > 0 divided through by e⁴."""
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


def hard_sigmoid(z: float) -> float:
    """clip(z/6 + ½, 0, 1), PyTorch's and MobileNetV3's; Keras before 3 and ONNX' default have slope 0.2."""
    if z <= -3.0:
        return 0.0
    if z >= 3.0:
        return 1.0
    return (z + 3.0) / 6.0


def dhard_sigmoid(z: float) -> float:
    """1/6 for |z| < 3, else 0, at the two kinks as well."""
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
    """1 for |z| < 1, else 0, at the two kinks as well."""
    if abs(z) >= 1.0:
        return 0.0
    return z if z != z else 1.0


def arc_tangent(z: float) -> float:
    """arctan z"""
    return np.arctan(z)


def darc_tangent(z: float) -> float:
    """1/(1 + z²), as the square of a quotient where 1 is lost in z²."""
    if abs(z) > 1e9:
        r = 1.0 / z
        return r * r
    return 1.0 / (1.0 + z * z)


def sine(z: float) -> float:
    """sin z; it has no limit at ±inf: NaN."""
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
    if abs(z) > 30.0:  # e^{−900} has underflowed; inf · 0 is not to be formed
        return 0.0
    return -2.0 * z * np.exp(-z * z)


def dflat(z: float) -> float:
    """0: σ' of step and of sign, at their jump as well."""
    return z if z != z else 0.0


def signum(z: float) -> float:
    """1, 0 or −1; 0 at 0. It is also the derivative of |z|."""
    if z > 0.0:
        return 1.0
    return -1.0 if z < 0.0 else z  # ±0 and NaN are their own sign


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
    """log z; −inf at 0, NaN below."""
    return np.log(z)


def dlogarithm(z: float) -> float:
    """1/z; inf at 0, and NaN below, where log itself has no value."""
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
    """1/z; at ±0 ±inf."""
    return np.copysign(np.inf, z) if z == 0.0 else 1.0 / z


def dreciprocal(z: float) -> float:
    """−1/z², as the square of a quotient: z² overflows."""
    r = reciprocal(z)
    return -r * r


entries: dict[str, Activation] = {
    a.name: a
    for a in (
        Activation("identity", identity, didentity),
        Activation("sigmoid", sigmoid, dsigmoid, range=(0.0, 1.0)),
        Activation("tanh", hyperbolic_tangent, dhyperbolic_tangent, range=(-1.0, 1.0)),
        Activation("relu", relu, step),
        Activation("leaky_relu", leaky_relu, dleaky_relu),
        Activation("elu", elu, delu),
        Activation("selu", selu, dselu),
        Activation("celu", elu, delu),
        Activation("softplus", softplus, sigmoid),
        Activation("softsign", softsign, dsoftsign, range=(-1.0, 1.0)),
        Activation("gelu", gelu, dgelu),
        Activation("silu", silu, dsilu),
        Activation("mish", mish, dmish),
        Activation("hard_sigmoid", hard_sigmoid, dhard_sigmoid, range=(0.0, 1.0)),
        Activation("hard_tanh", hard_tanh, dhard_tanh, range=(-1.0, 1.0)),
        Activation("arctan", arc_tangent, darc_tangent, range=(-HALF_PI, HALF_PI)),
        Activation("sin", sine, cosine, range=(-1.0, 1.0)),
        Activation("cos", cosine, dcosine, range=(-1.0, 1.0)),
        Activation("gaussian", gaussian, dgaussian, range=(0.0, 1.0)),
        Activation("step", step, dflat, range=(0.0, 1.0)),
        Activation("sign", signum, dflat, range=(-1.0, 1.0)),
        Activation("abs", absolute, signum),
        Activation("square", square, dsquare),
        Activation("cube", cube, dcube),
        Activation("exp", exponential, exponential),
        Activation("log", logarithm, dlogarithm),
        Activation("sqrt", square_root, dsquare_root),
        Activation("reciprocal", reciprocal, dreciprocal),
    )
}
