"""Vector forms of activations, σ and σ': for rows, those of every function of ours in float32 and float64.

Eight forms stand here, on one exponential (`powers`); those of the other functions are made from their formulas
(`formula_forms`). A form is asked through the functions below, with the spec that a kernel is compiled for: its
`sigma` says which form it is.

Backward has a at hand, and memory is what a step waits for: so σ' is found from a. Where a lane of a row is nearer to
saturation than NEAR, tanh, sigmoid and elu keep z as well, and σ' is found from that; elsewhere an error of a grows by
1/NEAR at most: σ' is then within 32 times the bound of σ. What is kept is written for every row and stays where it is
wanted, so that forward has nothing to guess: it would learn whether it was right only when a is there.

Errors, tested over the whole range: of σ at most 2 ulp in float32 and 4 in float64, of σ' at most 5 ulp in both where
it is found from what forward has kept. NaN stays NaN: no comparison that NaN fails replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from flowgrad.executors._numba.powers import constants, exp, expm1_below, floored, polynomial, power, raised, remainder
from flowgrad.executors._numba.rows import absolute, choose, fma, power_of_two, with_sign, written
from flowgrad.executors._numba.simd import SpecType, Truth, Vector, block
from flowgrad.maths.activation import Activation
from flowgrad.maths.rectifiers import LEAKY_SLOPE
from flowgrad.registry import is_own

NEAR = 0.03125
"""How near to saturation a may be, and σ' still be found from it."""


def _never(a: Any) -> Any:
    return False


def _always(a: Any) -> Any:
    return True


def _itself(z: Any) -> Any:
    return z


def _as_kept(row: Any, a: Any) -> Any:
    return row


@dataclass(frozen=True)
class Form:
    """An activation over rows: a = value(z), and what gives σ'(z) back.

    found(a) is σ' of every lane whose a tells it; untold(a) says which lanes' does not. Those have σ' by exact(row, a)
    from the row that forward has kept: kept(z). So no lane's σ' depends on the lanes beside it.
    """

    value: Callable[[Any], Any]
    found: Callable[[Any], Any]
    untold: Callable[[Any], Any] = _never
    kept: Callable[[Any], Any] = _itself
    exact: Callable[[Any, Any], Any] = _as_kept

    @property
    def keeps(self) -> bool:
        """Whether a ever leaves it untold."""
        return self.untold is not _never


# ---- tanh: e = e^(−2|z|), |a| = (1 − e)/(1 + e); σ' = 4e/(1 + e)² = 2e/(1 + e) · (1 + |a|) --------------------


def tanh(z: Any) -> Any:
    """1 − e by p; in float32 what rounding took from 1 + e is given back to the quotient, for which 2 ulp ask."""
    c = constants(z)
    x = floored(absolute(z) * -2.0)
    n = power(x)
    scale = power_of_two(n, c.lift) * c.drop
    less = fma(scale, remainder(x, n), scale - 1.0)  # e − 1
    more = less + 2.0
    if z.dtype == np.float64:
        return with_sign(less / more, z)
    low = less - (more - 2.0)
    inverse = 1.0 / more
    quotient = less * inverse
    rest = fma(low, -quotient, fma(more, -quotient, less))
    return with_sign(fma(rest, inverse, quotient), z)


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


def _short(z: Any) -> Any:
    x, largest = absolute(z), constants(z).root
    return choose(x > largest, largest, x)


def _lifted_gaussian(x: Any) -> Any:
    """e^(−x²) · 2^lift"""
    c = constants(x)
    square = x * x
    error = fma(x, x, -square)
    n = power(-square)
    r = fma(n - c.onto, -c.ln2_low, fma(n - c.onto, -c.ln2_high, -square)) - error
    p = fma(r * r, polynomial(c.q, r), r)
    return (p + 1.0) * power_of_two(n, c.lift)


def _gaussian(z: Any) -> Any:
    return _lifted_gaussian(_short(z)) * constants(z).drop


def _gaussian_kept(z: Any) -> Any:
    x = _short(z)
    return (with_sign(x, -z) * _lifted_gaussian(x)) * (2.0 * constants(z).drop)


# ---- elu: z, or e^z − 1 below 0; σ' = 1, or e^z ---------------------------------------------------------------


def _elu(z: Any) -> Any:
    return choose(z > 0.0, z, expm1_below(choose(z > 0.0, 0.0, z)))


def _elu_found(a: Any) -> Any:
    """1, or 1 + a below 0"""
    return choose(a > 0.0, 1.0, a + 1.0)


def _elu_untold(a: Any) -> Any:
    return a < NEAR - 1.0


def _elu_exact(z: Any, a: Any) -> Any:
    return raised(floored(choose(z > 0.0, 0.0, z))) * constants(z).drop


# ---- piecewise linear -----------------------------------------------------------------------------------------


def _relu(z: Any) -> Any:
    return choose(z <= 0.0, 0.0, z)


def _relu_found(a: Any) -> Any:
    """1, or 0 where a is"""
    return choose(a > 0.0, 1.0, a)


def _leaky_relu(z: Any) -> Any:
    return choose(z > 0.0, z, z * LEAKY_SLOPE)


def _leaky_relu_found(a: Any) -> Any:
    """1, or 0.01 from 0 down"""
    return choose(a > 0.0, 1.0, choose(a <= 0.0, LEAKY_SLOPE, a))


def _one(a: Any) -> Any:
    return choose(a == a, 1.0, a)


FORMS = {
    "tanh": Form(tanh, _tanh_found, _tanh_untold, _itself, _tanh_exact),
    "sigmoid": Form(sigmoid, _sigmoid_found, _sigmoid_untold, _itself, _sigmoid_exact),
    "exp": Form(exp, _itself),
    "gaussian": Form(_gaussian, _itself, _always, _gaussian_kept),
    "elu": Form(_elu, _elu_found, _elu_untold, _itself, _elu_exact),
    "relu": Form(_relu, _relu_found),
    "leaky_relu": Form(_leaky_relu, _leaky_relu_found),
    "identity": Form(_itself, _one),
}
"""Forms by name of the activation."""


def form_key(sigma: Activation) -> Any:
    """What a spec has as `sigma` for an activation; None where it has no form."""
    return sigma.name if is_own("activations", sigma) and sigma.name in FORMS else None


def form_of(spec: Any) -> Form:
    """The form that a spec, or its type, names as `sigma`."""
    functions = dict(spec.functions)
    return FORMS[functions["sigma"]]


# ---- of a spec: what kernels call -----------------------------------------------------------------------------


def _row(spec: Any, *rows: Any) -> Any:
    return spec.row if isinstance(spec, SpecType) and all(isinstance(r, Vector) for r in rows) else None


def _lanes(spec: Any, a: Any) -> Any:
    return Truth(spec.n) if isinstance(spec, SpecType) and isinstance(a, Vector) else None


@written(lambda spec: form_of(spec).value, _row)
def value(spec: Any, z: Any) -> Any:
    """σ(z)"""
    return form_of(spec).value(z)


@written(lambda spec: form_of(spec).found, _row)
def found(spec: Any, a: Any) -> Any:
    """σ' of every lane whose a tells it."""
    return form_of(spec).found(a)


@written(lambda spec: form_of(spec).untold, _lanes)
def untold(spec: Any, a: Any) -> Any:
    """The lanes whose a does not tell σ'."""
    return form_of(spec).untold(a)


@written(lambda spec: form_of(spec).kept, _row)
def kept(spec: Any, z: Any) -> Any:
    """The row that forward keeps, where `keeps`."""
    return form_of(spec).kept(z)


@written(lambda spec: form_of(spec).exact, _row)
def exact(spec: Any, row: Any, a: Any) -> Any:
    """σ' of every lane from the row that forward has kept, and a."""
    return form_of(spec).exact(row, a)


def _emit_keeps(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
    return ir.Constant(ir.IntType(1), int(form_of(kinds[0]).keeps))


@block(lambda spec: types.boolean if isinstance(spec, SpecType) else None, _emit_keeps)
def keeps(spec: Any) -> bool:
    """Whether a ever leaves σ' untold."""
    return form_of(spec).keeps
