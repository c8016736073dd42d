"""Vector forms of activations: σ (3) and σ' (7) over rows of lanes, float32 and float64, of all built-in activations.

Some are written by hand here and in `smooth`, with one exponential each (`powers`); the others are generated from the
formulas of their records (`formula_forms`). Kernels call the functions at the end of this module, whose first argument
is the kernel's Spec; its `sigma` selects the form.

Forward stores σ' beside σ. Memory bandwidth limits a step on a large graph, so for activations that sweeps fuse
(`FUSABLE`) backward computes σ' from a instead, which it loads anyway. Where tanh or sigmoid of a lane is closer than
NEAR to saturation, σ' is computed from z, which forward keeps; elsewhere an error of a grows at most by the factor
1/NEAR: σ' is then within 32 times the bound of σ.

Maximal errors, tested over the whole range: σ 2 ulp in float32, 4 in float64 (silu, softplus 3); σ' from z 5 ulp;
generated forms: σ' 6 ulp, and what 4 roundings of z change. NaN propagates: no choice by comparison replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from flowgrad.executors._numba.blocks import symbolic
from flowgrad.executors._numba.compiled import inline
from flowgrad.executors._numba.formula_forms import function_of
from flowgrad.executors._numba.powers import (
    constants,
    exp,
    expm1_below,
    floored,
    lifted_gaussian,
    raised,
    short,
    tanh,
)
from flowgrad.executors._numba.simd import absolute, any_lane, choose, fma, load, plain, with_sign
from flowgrad.executors._numba.smooth import SMOOTH
from flowgrad.executors._numba.spec import SpecType, Truth, Vector
from flowgrad.maths.activation import Activation, Affine
from flowgrad.maths.rectifiers import SELU_ALPHA, SELU_SCALE
from flowgrad.registry import find, is_own

NEAR = 0.03125
"""Least distance of |a| from 1 at which σ' of tanh and sigmoid is computed from a: errors grow at most 32-fold."""


@dataclass(frozen=True)
class Form:
    """Vector form of an activation: a = value(z); σ' is slope(z) in lanes that needs_z(a) marks, else slope_of_a(a).

    The choice is made for each lane, so σ' of a lane does not depend on the other lanes.
    """

    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    slope_of_a: Callable[[Any], Any] = lambda a: a
    needs_z: Callable[[Any], Any] = lambda a: True


# ---- tanh: e = e^(−2|z|), |a| = (1 − e)/(1 + e); σ' = 4e/(1 + e)² ---------------------------------------------


def _tanh_slope_of_a(a: Any) -> Any:
    """Return σ' = (1 − |a|)(1 + |a|)."""
    x = absolute(a)
    return (1.0 - x) * (x + 1.0)


def _tanh_needs_z(a: Any) -> Any:
    return absolute(a) > 1.0 - NEAR


def _tanh_slope(z: Any) -> Any:
    drop = constants(z).drop
    lifted = raised(floored(absolute(z) * -2.0))
    inverse = 1.0 / fma(lifted, drop, 1.0)
    return (lifted * inverse) * inverse * (4.0 * drop)


# ---- sigmoid: e = e^(−|z|), a = 1/(1 + e), or y = e/(1 + e) below 0; σ' = y(1 − y) ----------------------------


def sigmoid(z: Any) -> Any:
    """Return σ(z); in float32 the quotient is corrected for the rounding error of 1 + e."""
    drop = constants(z).drop
    lifted = raised(floored(absolute(z) * -1.0))
    more = fma(lifted, drop, 1.0)
    inverse = 1.0 / more
    if z.dtype == np.float32:
        low = fma(lifted, drop, 1.0 - more)
        inverse = fma(fma(low, -inverse, fma(more, -inverse, 1.0)), inverse, inverse)
    return choose(z < 0.0, (lifted * inverse) * drop, inverse)


def _sigmoid_slope_of_a(a: Any) -> Any:
    return a * (1.0 - a)


def _sigmoid_needs_z(a: Any) -> Any:
    return a > 1.0 - NEAR


def _sigmoid_slope(z: Any) -> Any:
    drop = constants(z).drop
    lifted = raised(floored(absolute(z) * -1.0))
    y = lifted / fma(lifted, drop, 1.0)
    return fma(y * -drop, y, y) * drop


# ---- gaussian: e^(−z²), exponent corrected for the rounding of z²; σ' = −2z·a ---------------------------------


def _gaussian(z: Any) -> Any:
    return lifted_gaussian(short(z)) * constants(z).drop


def _gaussian_slope(z: Any) -> Any:
    x = short(z)
    return (with_sign(x, -z) * lifted_gaussian(x)) * (2.0 * constants(z).drop)


# ---- elu and selu: λz, or λα(e^z − 1) below 0; σ' = λ, or λα·e^z ----------------------------------------------


def _exponential_linear(scale: float, below: float) -> Form:
    """Return the form of elu or selu, of scale = λ and below = λα."""

    def value(z: Any) -> Any:
        return choose(z > 0.0, z * scale, expm1_below(choose(z > 0.0, 0.0, z)) * below)

    def slope(z: Any) -> Any:
        return choose(z > 0.0, scale, raised(floored(choose(z > 0.0, 0.0, z))) * (constants(z).drop * below))

    return Form(value, slope)


# ---- piecewise linear -----------------------------------------------------------------------------------------


def _relu(z: Any) -> Any:
    return choose(z <= 0.0, 0.0, z)


def _relu_slope_of_a(a: Any) -> Any:
    """Return σ' = 1 where a > 0, else a, which is 0 or NaN."""
    return choose(a > 0.0, 1.0, a)


def _one(z: Any) -> Any:
    return choose(z == z, 1.0, z)


FORMS = {
    "tanh": Form(tanh, _tanh_slope, _tanh_slope_of_a, _tanh_needs_z),
    "sigmoid": Form(sigmoid, _sigmoid_slope, _sigmoid_slope_of_a, _sigmoid_needs_z),
    "exp": Form(exp, exp),
    "gaussian": Form(_gaussian, _gaussian_slope),
    "elu": _exponential_linear(1.0, 1.0),
    "selu": _exponential_linear(SELU_SCALE, SELU_SCALE * SELU_ALPHA),
    "relu": Form(_relu, _relu_slope_of_a, _relu_slope_of_a, lambda a: False),
    **{name: Form(*pair) for name, pair in SMOOTH.items()},
    "identity": Form(lambda z: z, _one),
}
"""Name of a built-in activation → its hand-written form."""
FUSABLE = ("tanh", "sigmoid", "relu")
"""Those with `slope_of_a`. One in a network may be fused into both sweeps, which are compiled anew for each of them."""
STEADY = ("tanh", "elu", "identity", "relu")
"""Those with |z·σ'(z)/σ(z)| ≤ 1 for all z: a relative error of z causes no larger relative error of a."""


def form_key(sigma: Activation) -> Any:
    """Return the `sigma` of a Spec that selects the form: a built-in's name, or two formulas; None without a form."""
    if is_own("activations", sigma):
        return sigma.name if sigma.name in FORMS or sigma.expression or _follows(sigma.affine) else None
    return sigma.expression


def form_of(spec: Any) -> Form:
    """Return the form selected by `sigma` of a Spec or of its type."""
    return form_by_key(dict(spec.functions)["sigma"])


@cache
def form_by_key(key: Any) -> Form:
    """Return the form of a key that `form_key` gave."""
    if not isinstance(key, str):
        return Form(*map(function_of, key))
    if key in FORMS:
        return FORMS[key]
    sigma = find("activations", key)
    if sigma.affine is not None and _follows(sigma.affine):
        return _from(FORMS[sigma.affine.of.name], sigma.affine.factor, sigma.affine.scale)
    assert sigma.expression is not None
    return Form(*map(function_of, sigma.expression))


def _follows(affine: Affine | None) -> bool:
    """Return whether `_from` can make the form from that of `affine.of`: no shift or offset, and scale ±1 (exact)."""
    if affine is None or not is_own("activations", affine.of):
        return False
    return affine.of.name in STEADY and affine.shift == affine.offset == 0.0 and abs(affine.scale) == 1.0


def _from(form: Form, factor: float, scale: float) -> Form:
    """Return the form of scale · σ(factor · z), given σ's form and scale 1 or −1; factor · z is rounded once."""
    return Form(
        lambda z: form.value(z * factor) * scale,
        lambda z: form.slope(z * factor) * (factor * scale),
        lambda a: form.slope_of_a(a * scale) * (factor * scale),
        lambda a: form.needs_z(a * scale),
    )


# ---- functions of a Spec and rows, called by kernels ----------------------------------------------------------


def _row(spec: Any, *rows: Any) -> Any:
    return spec.row if isinstance(spec, SpecType) and all(isinstance(r, Vector) for r in rows) else None


def _lanes(spec: Any, a: Any) -> Any:
    return Truth(spec.n) if isinstance(spec, SpecType) and isinstance(a, Vector) else None


@symbolic(_row)
def value(spec: Any, z: Any) -> Any:
    """Return σ(z)."""
    return form_of(spec).value(z)


@symbolic(_row)
def slope(spec: Any, z: Any) -> Any:
    """Return σ'(z); of lanes that `needs_z` does not mark, the accuracy is not stated."""
    return form_of(spec).slope(z)


@symbolic(_row)
def slope_of_a(spec: Any, a: Any) -> Any:
    """Return σ' computed from a; valid in lanes that `needs_z` does not mark."""
    return form_of(spec).slope_of_a(a)


@symbolic(_lanes)
def needs_z(spec: Any, a: Any) -> Any:
    """Return the lanes in which σ' cannot be computed from a with the stated accuracy."""
    return form_of(spec).needs_z(a)


@inline
def slope_at(form: Any, a: Any, z: int) -> Any:
    """Return σ' from a row of a and the row of z at address z, which is read only if `needs_z` marks a lane."""
    some = slope_of_a(form, a)
    if any_lane(needs_z(form, a)):
        some = choose(needs_z(form, a), slope(form, load(plain(form), z)), some)
    return some
