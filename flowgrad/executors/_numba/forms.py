"""Vector forms of activations, σ and σ': for rows, those of every function of ours in float32 and float64.

Some stand here, on one exponential (`powers`), and in `smooth`; those of all others are made from their formulas
(`formula_forms`). A form is asked through the functions below, with the spec that a kernel is compiled for: its
`sigma` says which form it is.

Backward has a at hand, and memory is what a step waits for: so σ' is found from a. Where a lane of a row is nearer to
saturation than NEAR, tanh and sigmoid keep z as well, and σ' is found from that; elsewhere an error of a grows by
1/NEAR at most: σ' is then within 32 times the bound of σ. What is kept is written for every row and stays where it is
wanted, so that forward has nothing to guess: it would learn whether it was right only when a is there.

Errors, tested over the whole range: of σ at most 2 ulp in float32 and 4 in float64, of σ' at most 5 ulp in both where
it is found from what forward has kept. NaN stays NaN: no comparison that NaN fails replaces it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from flowgrad.executors._numba.blocks import block, symbolic
from flowgrad.executors._numba.form import Form, always, itself, never
from flowgrad.executors._numba.formula_forms import from_formulas
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
from flowgrad.executors._numba.simd import absolute, choose, fma, with_sign
from flowgrad.executors._numba.smooth import SMOOTH
from flowgrad.executors._numba.spec import SpecType, Truth, Vector
from flowgrad.maths.activation import Activation, Affine
from flowgrad.maths.rectifiers import SELU_ALPHA, SELU_SCALE
from flowgrad.registry import find, is_own

NEAR = 0.03125
"""How near to saturation a may be, and σ' still be found from it."""


# ---- tanh: e = e^(−2|z|), |a| = (1 − e)/(1 + e); σ' = 4e/(1 + e)² = 2e/(1 + e) · (1 + |a|) --------------------


def _tanh_found(a: Any) -> Any:
    """(1 − |a|)(1 + |a|)"""
    x = absolute(a)
    return (1.0 - x) * (x + 1.0)


def _tanh_untold(a: Any) -> Any:
    return absolute(a) > 1.0 - NEAR


def _tanh_exact(z: Any, a: Any) -> Any:
    drop = constants(z).drop
    lifted = raised(floored(absolute(z) * -2.0))
    y = lifted / fma(lifted, drop, 1.0)
    return fma(y, absolute(a), y) * (2.0 * drop)


# ---- sigmoid: e = e^(−|z|), a = 1/(1 + e), or y = e/(1 + e) below 0; σ' = y(1 − y) ----------------------------


def sigmoid(z: Any) -> Any:
    """In float32 what rounding took from 1 + e is given back to the quotient."""
    drop = constants(z).drop
    lifted = raised(floored(absolute(z) * -1.0))
    more = fma(lifted, drop, 1.0)
    inverse = 1.0 / more
    if z.dtype == np.float32:
        low = fma(lifted, drop, 1.0 - more)
        inverse = fma(fma(low, -inverse, fma(more, -inverse, 1.0)), inverse, inverse)
    return choose(z < 0.0, (lifted * inverse) * drop, inverse)


def _sigmoid_found(a: Any) -> Any:
    return a * (1.0 - a)


def _sigmoid_untold(a: Any) -> Any:
    return a > 1.0 - NEAR


def _sigmoid_exact(z: Any, a: Any) -> Any:
    drop = constants(z).drop
    lifted = raised(floored(absolute(z) * -1.0))
    y = lifted / fma(lifted, drop, 1.0)
    return fma(y * -drop, y, y) * drop


# ---- gaussian: e^(−z²), the error of z² taken into the exponent; −2z·a is kept: a has lost the sign of z ------


def _gaussian(z: Any) -> Any:
    return lifted_gaussian(short(z)) * constants(z).drop


def _gaussian_kept(z: Any) -> Any:
    x = short(z)
    return (with_sign(x, -z) * lifted_gaussian(x)) * (2.0 * constants(z).drop)


# ---- elu and selu: λz, or λα(e^z − 1) below 0; σ' = λ, or λα·e^z ----------------------------------------------


def _exponential_linear(scale: float, below: float) -> Form:
    """λ and λα"""

    def value(z: Any) -> Any:
        return choose(z > 0.0, z * scale, expm1_below(choose(z > 0.0, 0.0, z)) * below)

    def slope(z: Any) -> Any:
        return choose(z > 0.0, scale, raised(floored(choose(z > 0.0, 0.0, z))) * (constants(z).drop * below))

    return Form(value, itself, always, slope)


# ---- piecewise linear -----------------------------------------------------------------------------------------


def _relu(z: Any) -> Any:
    return choose(z <= 0.0, 0.0, z)


def _relu_found(a: Any) -> Any:
    """1, or 0 where a is"""
    return choose(a > 0.0, 1.0, a)


def _one(a: Any) -> Any:
    return choose(a == a, 1.0, a)


FORMS = {
    "tanh": Form(tanh, _tanh_found, _tanh_untold, itself, _tanh_exact),
    "sigmoid": Form(sigmoid, _sigmoid_found, _sigmoid_untold, itself, _sigmoid_exact),
    "exp": Form(exp, itself),
    "gaussian": Form(_gaussian, itself, always, _gaussian_kept),
    "elu": _exponential_linear(1.0, 1.0),
    "selu": _exponential_linear(SELU_SCALE, SELU_SCALE * SELU_ALPHA),
    "relu": Form(_relu, _relu_found),
    **SMOOTH,
    "identity": Form(itself, _one),
}
"""Forms by name of the activation."""
STEADY = ("tanh", "elu", "identity", "relu")
"""Those of them that a rounding of z changes by no more than a rounding of a does."""


def form_key(sigma: Activation) -> Any:
    """What a spec has as `sigma` for an activation: the name of one of ours, or formulas; None where there are none."""
    if is_own("activations", sigma):
        return sigma.name if sigma.name in FORMS or sigma.expression or _follows(sigma.affine) else None
    return sigma.expression


def form_of(spec: Any) -> Form:
    """The form that a spec, or its type, names as `sigma`."""
    return form_by_key(dict(spec.functions)["sigma"])


@cache
def form_by_key(key: Any) -> Form:
    """The form of a `form_key`."""
    if not isinstance(key, str):
        return from_formulas(*key)
    if key in FORMS:
        return FORMS[key]
    sigma = find("activations", key)
    if sigma.affine is not None and _follows(sigma.affine):
        return _from(FORMS[sigma.affine.of.name], sigma.affine.factor, sigma.affine.scale)
    assert sigma.expression is not None
    return from_formulas(*sigma.expression)


def _follows(affine: Affine | None) -> bool:
    """Whether the form of the other one gives this one's: a has no offset that would hide it, and no rounding."""
    if affine is None or not is_own("activations", affine.of):
        return False
    return affine.of.name in STEADY and affine.shift == affine.offset == 0.0 and abs(affine.scale) == 1.0


def _from(form: Form, factor: float, scale: float) -> Form:
    """The form of scale · σ(factor · z) from that of σ, scale 1 or −1; the product is rounded."""
    return Form(
        lambda z: form.value(z * factor) * scale,
        lambda a: form.found(a * scale) * (factor * scale),
        form.untold if form.untold is never else lambda a: form.untold(a * scale),
        lambda z: form.kept(z * factor),
        lambda row, a: form.exact(row, a * scale) * (factor * scale),
    )


# ---- of a spec: what kernels call -----------------------------------------------------------------------------


def _row(spec: Any, *rows: Any) -> Any:
    return spec.row if isinstance(spec, SpecType) and all(isinstance(r, Vector) for r in rows) else None


def _lanes(spec: Any, a: Any) -> Any:
    return Truth(spec.n) if isinstance(spec, SpecType) and isinstance(a, Vector) else None


@symbolic(_row)
def value(spec: Any, z: Any) -> Any:
    """σ(z)"""
    return form_of(spec).value(z)


@symbolic(_row)
def found(spec: Any, a: Any) -> Any:
    """σ' of every lane whose a tells it."""
    return form_of(spec).found(a)


@symbolic(_lanes)
def untold(spec: Any, a: Any) -> Any:
    """The lanes whose a does not tell σ'."""
    return form_of(spec).untold(a)


@symbolic(_row)
def kept(spec: Any, z: Any) -> Any:
    """The row that forward keeps, where `keeps`."""
    return form_of(spec).kept(z)


@symbolic(_row)
def exact(spec: Any, row: Any, a: Any) -> Any:
    """σ' of every lane from the row that forward has kept, and a."""
    return form_of(spec).exact(row, a)


def _emit_keeps(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
    return ir.Constant(ir.IntType(1), int(form_of(kinds[0]).keeps))


@block(lambda spec: types.boolean if isinstance(spec, SpecType) else None, _emit_keeps)
def keeps(spec: Any) -> bool:
    """Whether a ever leaves σ' untold."""
    return form_of(spec).keeps
