"""flowgrad's activations σ and their derivatives as torch operators: the same formulas, over whole tensors.

Each takes z of any shape, float32 or float64, and returns a new tensor. NaN in gives NaN out; ±inf the limit.
The formulas are those of `flowgrad.maths`, branch for branch; a branch here is a `where` over both.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, where

from flowgrad.maths.rectifiers import INV_SQRT_2PI, LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE, SQRT_HALF
from flowgrad_torch.table import ACTIVATIONS

Function = Callable[[Tensor], Tensor]


def _through(z: Tensor, value: Tensor | float) -> Tensor:
    """Return the value, NaN where z is NaN."""
    return where(z != z, z, value)


def identity(z: Tensor) -> Tensor:
    """z"""
    return z.clone()


def didentity(z: Tensor) -> Tensor:
    """1"""
    return _through(z, 1.0)


def dsigmoid(z: Tensor) -> Tensor:
    """σ(z)·σ(−z)"""
    return sigmoid(z) * sigmoid(-z)


def sigmoid(z: Tensor) -> Tensor:
    """1/(1 + e^{−z}), by the exponential that cannot overflow: its relative accuracy holds far below 0 too."""
    e = torch.exp(-z.abs())
    return where(z >= 0.0, 1.0, e) / (1.0 + e)


def dtanh(z: Tensor) -> Tensor:
    """4e/(1 + e)² with e = e^{−2|z|}"""
    e = torch.exp(-2.0 * z.abs())
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


def relu(z: Tensor) -> Tensor:
    """max(z, 0)"""
    return where(z <= 0.0, 0.0, z)


def step(z: Tensor) -> Tensor:
    """1 for z > 0, else 0; also relu'"""
    return _through(z, (z > 0.0).to(z.dtype))


def leaky_relu(z: Tensor) -> Tensor:
    """z for z > 0, else 0.01·z"""
    return where(z > 0.0, z, LEAKY_SLOPE * z)


def dleaky_relu(z: Tensor) -> Tensor:
    """1 for z > 0, else 0.01"""
    return _through(z, where(z > 0.0, torch.ones_like(z), LEAKY_SLOPE))


def elu(z: Tensor) -> Tensor:
    """z for z > 0, else e^z − 1"""
    return where(z > 0.0, z, torch.expm1(z))


def delu(z: Tensor) -> Tensor:
    """1 for z > 0, else e^z"""
    return where(z > 0.0, 1.0, torch.exp(z))


def selu(z: Tensor) -> Tensor:
    """λz for z > 0, else λα(e^z − 1)"""
    return where(z > 0.0, SELU_SCALE * z, SELU_SCALE * SELU_ALPHA * torch.expm1(z))


def dselu(z: Tensor) -> Tensor:
    """λ for z > 0, else λα·e^z"""
    return where(z > 0.0, SELU_SCALE, SELU_SCALE * SELU_ALPHA * torch.exp(z))


def softplus(z: Tensor) -> Tensor:
    """max(z, 0) + log1p(e^{−|z|})"""
    return where(z > 0.0, z, 0.0) + torch.log1p(torch.exp(-z.abs()))


def softsign(z: Tensor) -> Tensor:
    """z/(1 + |z|), divided through by z where z may be infinite"""
    far = where(z > 0.0, 1.0 / (1.0 + 1.0 / z), 1.0 / (1.0 / z - 1.0))
    return where(z.abs() > 1.0, far, z / (1.0 + z.abs()))


def dsoftsign(z: Tensor) -> Tensor:
    """1/(1 + |z|)²"""
    r = 1.0 / (1.0 + z.abs())
    return r * r


def gelu(z: Tensor) -> Tensor:
    """½z·erfc(−z/√2)"""
    return where(z < -40.0, 0.0, 0.5 * z * torch.special.erfc(-z * SQRT_HALF))


def dgelu(z: Tensor) -> Tensor:
    """Φ(z) + z·φ(z)"""
    near = 0.5 * torch.special.erfc(-z * SQRT_HALF) + z * INV_SQRT_2PI * torch.exp(-0.5 * z * z)
    return where(z.abs() > 40.0, (z > 0.0).to(z.dtype), near)


def silu(z: Tensor) -> Tensor:
    """z·σ(z)"""
    return where(z < -800.0, 0.0, z * sigmoid(z))


def dsilu(z: Tensor) -> Tensor:
    """σ(z)·(1 + z·σ(−z))"""
    return where(z.abs() > 800.0, (z > 0.0).to(z.dtype), sigmoid(z) * (1.0 + z * sigmoid(-z)))


def _mish_parts(z: Tensor) -> tuple[Tensor, Tensor]:
    """Compute e = e^{−|z|} and n = e(e + 2); n is used for z ≤ 0 alone."""
    e = torch.exp(-z.abs())
    return e, e * (e + 2.0)


def mish(z: Tensor) -> Tensor:
    """z·tanh(log(1 + e^z)) = z·n/(n + 2), n = e(e + 2), e = e^z; for z > 0 divided through by e²"""
    e, n = _mish_parts(z)
    ratio = where(z > 0.0, (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e), n / (n + 2.0))
    return where(z < -800.0, 0.0, z * ratio)


def dmish(z: Tensor) -> Tensor:
    """n/(n + 2) + z·4e(e + 1)/(n + 2)²; for z > 0 divided through by e⁴"""
    e, n = _mish_parts(z)
    c = 1.0 + 2.0 * e + 2.0 * e * e
    above = (1.0 + 2.0 * e) / c + z * (4.0 * e * e * (1.0 + e) / (c * c))
    below = n / (n + 2.0) + z * (4.0 * e * (e + 1.0) / ((n + 2.0) * (n + 2.0)))
    return where(z < -800.0, 0.0, where(z > 40.0, 1.0, where(z > 0.0, above, below)))


def hard_sigmoid(z: Tensor) -> Tensor:
    """clip(z/6 + ½, 0, 1)"""
    return where(z <= -3.0, 0.0, where(z >= 3.0, 1.0, (z + 3.0) / 6.0))


def dhard_sigmoid(z: Tensor) -> Tensor:
    """1/6 for |z| < 3, else 0"""
    return where(z.abs() >= 3.0, 0.0, _through(z, 1.0 / 6.0))


def hard_tanh(z: Tensor) -> Tensor:
    """clip(z, −1, 1)"""
    return z.clamp(-1.0, 1.0)


def dhard_tanh(z: Tensor) -> Tensor:
    """1 for |z| < 1, else 0"""
    return where(z.abs() >= 1.0, 0.0, _through(z, 1.0))


def darctan(z: Tensor) -> Tensor:
    """1/(1 + z²), as the square of a quotient where 1 is lost in z²"""
    r = 1.0 / z
    return where(z.abs() > 1e9, r * r, 1.0 / (1.0 + z * z))


def derf(z: Tensor) -> Tensor:
    """2/√π e^{−z²}"""
    return 1.1283791670955126 * torch.exp(-z * z)


def dcos(z: Tensor) -> Tensor:
    """−sin z"""
    return -torch.sin(z)


def gaussian(z: Tensor) -> Tensor:
    """e^{−z²}"""
    return torch.exp(-z * z)


def dgaussian(z: Tensor) -> Tensor:
    """−2z·e^{−z²}"""
    return where(z.abs() > 30.0, 0.0, -2.0 * z * torch.exp(-z * z))


def dflat(z: Tensor) -> Tensor:
    """0"""
    return _through(z, 0.0)


def sign(z: Tensor) -> Tensor:
    """1, 0 or −1; also |z|'"""
    return _through(z, torch.sign(z))


def square(z: Tensor) -> Tensor:
    """z²"""
    return z * z


def dsquare(z: Tensor) -> Tensor:
    """2z"""
    return 2.0 * z


def cube(z: Tensor) -> Tensor:
    """z³"""
    return z * z * z


def dcube(z: Tensor) -> Tensor:
    """3z²"""
    return 3.0 * z * z


def dlog(z: Tensor) -> Tensor:
    """1/z; inf at 0, NaN below"""
    return where(z == 0.0, math.inf, where(z < 0.0, math.nan, 1.0 / z))


def dsqrt(z: Tensor) -> Tensor:
    """½/√z; inf at 0"""
    return where(z == 0.0, math.inf, 0.5 / torch.sqrt(z))


def dreciprocal(z: Tensor) -> Tensor:
    """−1/z²"""
    r = torch.reciprocal(z)
    return -r * r


def _named(name: str) -> Function:
    """Look up a function of this module, or of torch where its name begins with `torch.`."""
    function: Function = getattr(torch, name[6:]) if name.startswith("torch.") else globals()[name]
    return function


FUNCTIONS: dict[str, tuple[Function, Function]] = {
    name: (_named(f), _named(df)) for name, (f, df) in ACTIVATIONS.items()
}
