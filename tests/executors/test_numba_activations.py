"""The vector forms of activations against extended precision over the whole range, with their stated bounds."""

from __future__ import annotations

import ctypes
from typing import Any

import mpmath
import numpy as np
import pytest

pytest.importorskip("numba")

import flowgrad as fg
from flowgrad import registry
from flowgrad.executors._numba import activations, exponentials, machine
from flowgrad.executors._numba.code import code
from flowgrad.executors._numba.exponentials import NEAR
from flowgrad.executors._numba.translate import translate
from flowgrad.executors._numba.vectors import lanes
from flowgrad.maths import rectifiers
from flowgrad.maths.activation import Activation
from flowgrad.registry import find, names

entries = {name: find("activations", name) for name in names("activations")}

SIGMA = {np.float32: 2.0, np.float64: 4.0}
STORED = 5.0


def slope_bound(name: str, dtype: Any, a: float) -> float:
    """Ulps of σ': stored, or found from an a that is within its own bound and NEAR to saturation at most."""
    to_saturation = {"tanh": 1.0 - abs(a), "sigmoid": 1.0 - a, "elu": 1.0 + a if a < 0.0 else 1.0}.get(name)
    return STORED if to_saturation is None or to_saturation < NEAR else STORED + 2.0 * SIGMA[dtype] / to_saturation


def both(name: str, z: Any, lanes: int) -> tuple[Any, Any]:
    """σ(z) and σ'(z) by the compiled kernels: forward, then backward from ∂L/∂a = 1."""
    a, slope, one = np.empty_like(z), np.full_like(z, np.nan), np.ones_like(z)
    made, sigma = code(z.dtype, lanes), entries[name]
    assert len(z) % lanes == 0
    kernel = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
    kernel(made.activation(sigma, True))(z.ctypes.data, a.ctypes.data, slope.ctypes.data, len(z))
    dz = a.copy()
    kernel(made.slope(sigma))(dz.ctypes.data, slope.ctypes.data, one.ctypes.data, len(z))
    return a, dz


def points(dtype: Any) -> Any:
    """Numbers of every magnitude, many where the functions bend and where their results are subnormal."""
    rng = np.random.default_rng(0)
    far = 120.0 if dtype == np.float32 else 760.0
    signed = rng.choice([-1.0, 1.0], 1024) * np.exp2(rng.uniform(-140, 120, 1024))
    some = [rng.uniform(-far, far, 2048), rng.uniform(-12, 12, 2048), rng.uniform(-1, 1, 2048), signed]
    return np.concatenate(some).astype(dtype)


def exact(name: str, z: float) -> tuple[Any, Any]:
    """σ and σ' to 60 digits."""
    x = mpmath.mpf(z)
    e = mpmath.exp(-abs(x)) if abs(x) < 2000 else mpmath.mpf(0)
    match name:
        case "tanh":
            return mpmath.tanh(x), 4 * e**2 / (1 + e**2) ** 2
        case "sigmoid":
            return (1 if x >= 0 else e) / (1 + e), e / (1 + e) ** 2
        case "exp":
            return (mpmath.exp(x),) * 2
        case "gaussian":
            value = mpmath.exp(-x * x) if abs(x) < 100 else mpmath.mpf(0)
            return value, -2 * x * value
        case _:
            return (x, mpmath.mpf(1)) if x > 0 else (mpmath.expm1(x), mpmath.exp(x))


def error(got: float, want: Any, dtype: Any) -> float:
    """In units of the last place of the wanted number in its dtype."""
    largest = float(np.finfo(dtype).max)
    if abs(want) > largest:
        return 0.0 if not np.isfinite(got) or abs(got) == largest else np.inf
    return float(abs(mpmath.mpf(float(got)) - want) / mpmath.mpf(float(np.spacing(np.abs(dtype(float(want)))))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp", "gaussian", "elu"])
def test_errors_stay_within_their_bounds(name: str, dtype: Any) -> None:
    z = points(dtype)
    a, slope = both(name, z, 128 // z.dtype.itemsize)
    worst, excess = 0.0, 0.0
    with mpmath.workdps(60), np.errstate(all="ignore"):
        for x, got, got_slope in zip(z.tolist(), a, slope, strict=True):
            want = exact(name, x)
            worst = max(worst, error(got, want[0], dtype))
            excess = max(excess, error(got_slope, want[1], dtype) - slope_bound(name, dtype, float(got)))
    assert worst <= SIGMA[dtype]
    assert excess <= 0.0


@pytest.mark.parametrize("tabled", [True, False])
@pytest.mark.parametrize(("dtype", "able", "ulps"), [(np.float32, "can_pick", 1.0), (np.float64, "can_gather", 4.0)])
def test_tanh_by_table_and_without_one(
    dtype: Any, able: str, ulps: float, tabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every octave, on both sides; float32 is within 1 ulp by its table."""
    if tabled and not getattr(exponentials, able)():
        pytest.skip("this processor looks nothing up in one instruction")
    monkeypatch.setattr(exponentials, able, lambda: tabled)
    octave = np.linspace(1, 2, 4096, endpoint=False)
    z = np.outer(np.exp2(np.arange(-12.0, 7.0)), octave).astype(dtype).ravel()
    z = np.concatenate([z, -z])
    a, kept, one = np.empty_like(z), np.full_like(z, np.nan), np.ones_like(z)
    v, sigma = lanes(z.dtype, 128 // z.dtype.itemsize), entries["tanh"]
    made = activations.rows(v, sigma, None, None, True), activations.slopes(v, sigma)
    modules = (translate(f, f"tanh_{z.dtype}_{tabled}_{k}", 4) for k, f in enumerate(made))
    forward, backward = (ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(machine.compile(m)) for m in modules)
    forward(z.ctypes.data, a.ctypes.data, kept.ctypes.data, len(z))
    slope = a.copy()
    backward(slope.ctypes.data, kept.ctypes.data, one.ctypes.data, len(z))
    exact = z.astype(np.longdouble)
    want, e = np.tanh(exact), np.exp(-2.0 * np.abs(exact))
    slack = 0.0 if np.finfo(np.longdouble).nmant > 52 or dtype == np.float32 else 2.0  # of what it is compared with
    bound = max(ulps, SIGMA[dtype]) if not tabled else ulps
    assert (np.abs(a - want) / np.spacing(np.abs(want).astype(dtype))).max() <= bound + slack
    stored, want_slope = np.abs(a) > 1.0 - NEAR, 4.0 * e / (1.0 + e) ** 2
    assert stored.mean() > 0.2
    off = np.abs(slope - want_slope)[stored] / np.spacing(want_slope[stored].astype(dtype))
    assert off.max() <= STORED + slack


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(name for name in entries if activations.has_vector_form(entries[name])))
def test_vector_forms_agree_with_the_formulas_at_the_edges(name: str, dtype: Any) -> None:
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-30, -1e-30, 1e5, -1e5, 3e38, -3e38, 0.5, -0.5, 88.0]
    z = np.array(edges, dtype)
    a, slope = both(name, z, 16 // (z.dtype.itemsize // 4) // 2)
    with np.errstate(all="ignore"):
        want = np.array([entries[name].f(x) for x in z.astype(np.float64)]).astype(dtype)
        want_slope = np.array([entries[name].df(x) for x in z.astype(np.float64)]).astype(dtype)
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(a, want, rtol=tolerance, atol=0)
    np.testing.assert_allclose(slope, want_slope, rtol=tolerance / NEAR, atol=0)


@pytest.mark.parametrize("name", sorted(entries))
def test_every_activation_is_its_formula(name: str) -> None:
    z = np.random.default_rng(2).uniform(-3, 3, 64)
    a, slope = both(name, z, 16)
    with np.errstate(all="ignore"):
        want = np.array([entries[name].f(x) for x in z])
        want_slope = np.array([entries[name].df(x) for x in z])
    np.testing.assert_allclose(a, want, rtol=4e-15, atol=1e-300)
    np.testing.assert_allclose(slope, want_slope, rtol=4e-15, atol=1e-15)


# ---- flowgrad's own that kernels may not be written as -----------------------------------------------------------


def chained(z: float) -> float:
    """z² within ±2, then 4; in more of Python than kernels know."""
    if z != z:
        return z
    t = 4
    t = z**2 if -2 < z < 2 and not z > 2 else 4.0
    return min(t, 4)


def dchained(z: float) -> float:
    return max(-4, min(4.0, 2 * z)) if -2 < z < 2 else 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_kernels_may_not_be_written_as_is_compiled_by_numba(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Activation("chained", chained, dchained)
    monkeypatch.setattr(rectifiers, "entries", {**rectifiers.entries, "chained": own})
    registry._table.cache_clear()
    registry.names.cache_clear()
    try:
        net = fg.Network()
        net.add_input("x")
        net.add_neuron("h", {"x": 1.5}, activation="chained")
        net.add_neuron("y", {"h": 0.5}, activation="tanh")
        X = np.array([0.0, 0.5, -0.5, 1.0, 2.0, -3.0, np.inf, np.nan])[:, None]
        ours, defined = (fg.compile(net, executor=name, dtype=dtype) for name in ("numba", "python"))
        acts, wanted = ours.forward(X), defined.forward(X)
        np.testing.assert_allclose(acts.a.array, wanted.a.array, rtol=1e-6)
        got, want = (p.backward(f, cotangent=np.ones((8, 1))) for p, f in ((ours, acts), (defined, wanted)))
        np.testing.assert_allclose(got.dz.array, want.dz.array, rtol=1e-5, atol=1e-7)
    finally:
        registry._table.cache_clear()
        registry.names.cache_clear()
