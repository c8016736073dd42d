"""The vector forms of activations against extended precision over the whole range, with their stated bounds."""

from __future__ import annotations

import ast
import ctypes
import math
import operator
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

pytest.importorskip("numba")

from flowgrad.executors._numba import blocks, forms, primitives, rows, runs
from flowgrad.executors._numba.forms import NEAR
from flowgrad.executors._numba.smooth import SMOOTH
from flowgrad.executors._numba.spec import Spec
from flowgrad.maths.activation import Activation, Affine
from flowgrad.maths.expression import parse
from flowgrad.registry import find, names

ENTRIES = {name: find("activations", name) for name in names("activations")}
SIGMA = {np.float32: 2.0, np.float64: 4.0}
STORED = 5.0
FLOATS = {"float32": np.float32, "float64": np.float64}
DTYPES = pytest.mark.parametrize("dtype", FLOATS.values())
EACH = pytest.mark.covering(name=sorted(ENTRIES), dtype=FLOATS)


def both(sigma: Activation, z: Any) -> tuple[Any, Any]:
    """σ(z) and σ'(z) by the compiled kernel, in place."""
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)(runs.activation(sigma, z.dtype))
    a = np.concatenate([z, np.zeros(-len(z) % (128 // z.itemsize), z.dtype)])
    slope = np.full_like(a, np.nan)
    run(0, a.ctypes.data, a.ctypes.data, slope.ctypes.data, len(a), 1)
    return a[: len(z)], slope[: len(z)]


def points(dtype: Any, n: int) -> Any:
    """Numbers of every magnitude, many where the functions bend and where their results are subnormal."""
    rng = np.random.default_rng(0)
    far = 120.0 if dtype == np.float32 else 760.0
    signed = rng.choice([-1.0, 1.0], n // 2) * np.exp2(rng.uniform(-140, 120, n // 2))
    some = [rng.uniform(-far, far, n), rng.uniform(-12, 12, n), rng.uniform(-1, 1, n), signed]
    return np.concatenate(some).astype(dtype)


# ---- formulas in extended precision ----------------------------------------------------------------------------

CONSTANTS = {
    math.sqrt(0.5): lambda: mpmath.sqrt(0.5),
    math.pi: lambda: +mpmath.pi,
    1.0 / math.sqrt(2.0 * math.pi): lambda: 1 / mpmath.sqrt(2 * mpmath.pi),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(mpmath, name) for name in ("exp", "log", "log1p", "expm1", "erfc", "tanh", "sin", "cos", "sqrt")},
    "arctan": mpmath.atan,
    "abs": abs,
    "min": min,
    "max": max,
}
OPERATORS: dict[Any, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def exact(node: Any, z: Any) -> Any:
    """A formula's value at z in mpmath's precision; double constants that stand for irrational ones are those."""
    match node:
        case ast.Constant():
            return CONSTANTS.get(float(node.value), lambda: mpmath.mpf(node.value))()
        case ast.Name():
            return z
        case ast.UnaryOp():
            return -exact(node.operand, z)
        case ast.BinOp():
            return OPERATORS[type(node.op)](exact(node.left, z), exact(node.right, z))
        case ast.Compare():
            return OPERATORS[type(node.ops[0])](exact(node.left, z), exact(node.comparators[0], z))
    if node.func.id == "select":
        return exact(node.args[1 if exact(node.args[0], z) else 2], z)
    return FUNCTIONS[node.func.id](*(exact(argument, z) for argument in node.args))


def error(got: float, want: Any, dtype: Any) -> float:
    """In units of the last place of the wanted number in its dtype."""
    largest = float(np.finfo(dtype).max)
    if abs(want) > largest:
        return 0.0 if not np.isfinite(got) or abs(got) == largest else np.inf
    return float(abs(mpmath.mpf(float(got)) - want) / mpmath.mpf(float(np.spacing(np.abs(dtype(float(want)))))))


def least_error(f: Any, x: Any, y: float, dtype: Any, rounding: float) -> float:
    """Of y as the value at x, at what a rounding makes of x, or from a subnormal number that stands for another."""
    want = exact(f, x)
    if not rounding or not math.isfinite(y):
        return error(y, want, dtype)
    nearby = [want, exact(f, x * (1 + rounding)), exact(f, x * (1 - rounding))]
    slack = 4 * (1 + abs(x)) * 2.0**-1074
    if min(nearby) - slack <= mpmath.mpf(float(y)) <= max(nearby) + slack:
        return 0.0
    return min(error(y, other, dtype) for other in nearby)


def slope_bound(name: str, dtype: Any, a: float) -> float:
    """Ulps of σ': from z, or found from an a that is within its own bound and NEAR to saturation at most."""
    to_saturation = {"tanh": 1.0 - abs(a), "neat-tanh": 1.0 - abs(a), "sigmoid": 1.0 - a}.get(name)
    if name not in forms.FORMS and to_saturation is None:
        return STORED + 1.0
    return STORED if to_saturation is None or to_saturation < NEAR else STORED + 2.0 * SIGMA[dtype] / to_saturation


@EACH
def test_errors_stay_within_their_bounds(name: str, dtype: Any, request: pytest.FixtureRequest) -> None:
    """σ within 2 ulp in float32 and 4 in float64, σ' within 6; or what roundings of z change, of formulas."""
    sigma = ENTRIES[name]
    value, slope = map(parse, sigma.expression)
    many = name in ("tanh", "sigmoid", "exp", "gaussian", "elu")
    z = points(dtype, (800 if many else 80) // (1 if request.config.getoption("--soak") else 4))
    z = np.abs(z) if name in ("log", "sqrt") else z
    z = z[np.abs(z) < 1e6] if name in ("wann-sin", "wann-cos") else z  # beyond, a rounding of πz is all of it
    plain = name in forms.FORMS and name not in SMOOTH
    rounding = 0.0 if plain else 4.0 * np.finfo(dtype if name in (*SMOOTH, "neat-tanh") else np.float64).eps
    value_bound, worst = {"silu": 3.0, "softplus": 3.0}.get(name, SIGMA[dtype]), 0.0
    with mpmath.workdps(50), np.errstate(all="ignore"):
        for x, *got in zip(map(mpmath.mpf, z.tolist()), *both(sigma, z), strict=True):
            bounds = value_bound, slope_bound(name, dtype, float(got[0]))
            for f, y, bound in zip((value, slope), got, bounds, strict=True):
                worst = max(worst, least_error(f, x, y, dtype, rounding) / bound)
    assert worst <= 1.0


EDGES = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-30, -1e-30, 1e-45, -1e-45, 1e5, -1e5, 3e38, -3e38, 0.5, -0.5)
KINKS = (3.0, -3.0, 3.4, -3.4, 6.0, 12.0, -12.0, 60.0, -60.0, 88.0, 40.0, -40.0, 30.0, -30.0, 1e-7, 1e9)


@EACH
def test_forms_are_the_formulas_at_edges_and_kinks(name: str, dtype: Any) -> None:
    z = np.array([*EDGES, *KINKS], dtype)
    z = z[np.abs(z) < 100.0] if name.startswith("wann-") and name.endswith(("sin", "cos")) else z
    a, slope = both(ENTRIES[name], z)
    with np.errstate(all="ignore"):
        want = np.array([ENTRIES[name].f(x) for x in z.astype(np.float64)]).astype(dtype)
        want_slope = np.array([ENTRIES[name].df(x) for x in z.astype(np.float64)]).astype(dtype)
    tolerance, least = 8 * np.finfo(dtype).eps, np.finfo(dtype).smallest_subnormal
    bent = 1e4 if name == "gelu" else 40.0 if name == "neat-tanh" else 1.0  # of how a rounding of z grows
    np.testing.assert_allclose(a, want, rtol=bent * tolerance, atol=least)
    np.testing.assert_allclose(slope, want_slope, rtol=max(bent, 1 / NEAR) * tolerance, atol=least)


@EACH
def test_uncompiled_forms_agree(name: str, dtype: Any) -> None:
    """The functions of rows on NumPy's arrays; their products and sums are rounded twice, so that tails differ."""
    z = np.random.default_rng(1).uniform(-4, 4, 128 // np.dtype(dtype).itemsize).astype(dtype)
    spec = Spec(np.dtype(dtype), len(z), sigma=forms.form_key(ENTRIES[name]))
    with np.errstate(all="ignore"):
        a = forms.value(spec, z)
        slope = np.where(forms.needs_z(spec, a), forms.slope(spec, z), forms.slope_of_a(spec, a))
    want, want_slope = both(ENTRIES[name], z)
    tolerance = 64 * np.finfo(dtype).eps
    np.testing.assert_allclose(a, want, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(slope, want_slope, rtol=tolerance / NEAR, atol=tolerance)


# ---- a user's own ----------------------------------------------------------------------------------------------


def quartic(z: float) -> float:
    """z⁴ within ±2, then 16"""
    return z * z * z * z if -2.0 < z < 2.0 else 16.0


def dquartic(z: float) -> float:
    return 4.0 * z * z * z if -2.0 < z < 2.0 else 0.0


@DTYPES
@pytest.mark.parametrize("by", ["formula", "text", "affine"])
def test_a_users_own_activation(by: str, dtype: Any) -> None:
    own = {
        "formula": Activation("quartic", quartic, dquartic),
        "text": Activation(
            "quartic",
            quartic,
            dquartic,
            expression=("select(abs(z) < 2, z * z * z * z, 16)", "select(abs(z) < 2, 4 * z * z * z, 0)"),
        ),
        "affine": Activation(
            "half",
            lambda z: 0.5 * math.tanh(z) + 0.5,
            lambda z: 0.5 / math.cosh(z) ** 2,
            affine=Affine(ENTRIES["tanh"], scale=0.5, offset=0.5),
        ),
    }[by]
    z = np.random.default_rng(3).uniform(-3, 3, 70).astype(dtype)
    a, slope = both(own, z)
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(a, [own.f(float(x)) for x in z], rtol=tolerance)
    np.testing.assert_allclose(slope, [own.df(float(x)) for x in z], rtol=tolerance)


def test_a_namesake_of_ours_runs_its_own_formula() -> None:
    z = np.linspace(-1.0, 1.0, 16)
    a, slope = both(Activation("tanh", quartic, dquartic), z)
    np.testing.assert_allclose(a, [quartic(x) for x in z], rtol=1e-15)
    np.testing.assert_allclose(slope, [dquartic(x) for x in z], rtol=1e-15)


# ---- functions that formulas are made of -----------------------------------------------------------------------


def compiled(text: str, z: Any) -> Any:
    """A formula over float64 by its form."""
    own = Activation("own", quartic, dquartic, expression=(text, text))
    return both(own, z)[0]


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "expm1", "erfc", "tanh", "sin", "cos", "arctan"])
def test_functions_of_float64(name: str) -> None:
    """Within 2.5 ulp, tanh within 4 and erfc within 6."""
    rng = np.random.default_rng(4)
    z = np.concatenate([points(np.float64, 150), rng.uniform(-30, 30, 200), np.arange(1, 60) * (np.pi / 2)])
    z = np.concatenate([z, [5e4, -5e4, 50001.0, 1e22, 2.0**-1022, 5e-324, 1.7e308, 40.0, -0.9999999]])
    z = {"log": np.abs(z), "log1p": np.maximum(z, -0.9999999)}.get(name, z)
    got, function = compiled(f"{name}(z)", z), FUNCTIONS[name]
    with mpmath.workdps(50), np.errstate(all="ignore"):
        off = [
            error(y, function(mpmath.mpf(x)), np.float64) for x, y in zip(z.tolist(), got, strict=True) if abs(x) < 1e5
        ]
    assert max(off) <= {"erfc": 6.0, "tanh": 4.0}.get(name, 2.5)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, -2.0])
    library = np.vectorize(math.erfc) if name == "erfc" else getattr(np, name)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(compiled(f"{name}(z)", special), library(special), rtol=1e-15)


def test_min_and_max_are_nan_where_one_is() -> None:
    z = np.array([1.0, -1.0, np.nan, np.inf, -np.inf, 0.0, 2.0, -3.0])
    for text, function in (("min(z, 0.5)", np.minimum), ("max(0.5, z)", np.maximum)):
        np.testing.assert_array_equal(compiled(text, z), function(z, 0.5))
    for text, function in (("min(z, 1 / z)", np.minimum), ("max(1 / z, z)", np.maximum)):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(compiled(text, z), function(z, 1.0 / z))


@DTYPES
def test_exponents_and_mantissas(dtype: Any) -> None:
    x = np.abs(np.random.default_rng(5).normal(size=64)).astype(dtype) * np.exp2(np.arange(-32.0, 32.0)).astype(dtype)
    k, m = rows.exponent(x), rows.mantissa(x)
    np.testing.assert_array_equal(np.ldexp(m, k.astype(int)), x)
    assert np.all((m >= math.sqrt(0.5) * (1 - 1e-7)) & (m < math.sqrt(2.0) * (1 + 1e-7)))


def test_a_function_of_numpy_that_rows_do_not_know_is_named() -> None:
    class Like(blocks.Row):
        def __init__(self) -> None:
            self.builder = self.kind = self.value = None

    with pytest.raises(TypeError, match="arcsinh"):
        np.arcsinh(Like())
    assert np.exp in blocks.NUMPY
    assert primitives.log is blocks.NUMPY[np.log]
