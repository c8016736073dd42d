"""Activations against mpmath at up to 400 digits, with textbook formulas that share nothing with the library's."""

from __future__ import annotations

import pickle
from functools import cache

import mpmath as mp
import numpy as np
import pytest

from flowgrad.errors import ConfigError
from flowgrad.maths import activations, foreign, rectifiers
from flowgrad.maths.activation import Activation, Affine
from flowgrad.maths.expression import evaluate
from flowgrad.registry import find, names
from flowgrad.testing import oracle

FORMULAS = {**vars(activations), **vars(rectifiers)}
entries = {name: find("activations", name) for name in names("activations") if name not in foreign.entries}
NAMES = tuple(entries)
EPS = mp.mpf(2) ** -52
TINY = mp.mpf(2) ** -1074
ALPHA = mp.mpf("1.6732632423543772848170429916717")
LAMBDA = mp.mpf("1.0507009873554804934193349852946")
inf, nan = float("inf"), float("nan")


def logistic(z):
    return 1 / (1 + mp.exp(-z))


def normal(z):
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def phi(z):
    return mp.erfc(-max(min(z, 10**6), -(10**6)) / mp.sqrt(2)) / 2  # mpmath's erfc fails beyond 1e150


def mish_slope(z):
    softplus = mp.log(1 + mp.exp(z))
    return mp.tanh(softplus) + z * mp.sech(softplus) ** 2 * logistic(z)


# name: (σ, σ') by the textbook
REFERENCE = {
    "identity": (lambda z: z, lambda z: 1),
    "sigmoid": (logistic, lambda z: logistic(z) * (1 - logistic(z))),
    "tanh": (mp.tanh, lambda z: 1 - mp.tanh(z) ** 2),
    "relu": (lambda z: max(z, 0), lambda z: int(z > 0)),
    "leaky_relu": (
        lambda z: z if z > 0 else mp.mpf(0.01) * z,
        lambda z: 1 if z > 0 else mp.mpf(0.01),
    ),
    "elu": (lambda z: z if z > 0 else mp.expm1(z), lambda z: 1 if z > 0 else mp.exp(z)),
    "selu": (
        lambda z: LAMBDA * (z if z > 0 else ALPHA * mp.expm1(z)),
        lambda z: LAMBDA * (1 if z > 0 else ALPHA * mp.exp(z)),
    ),
    "celu": (lambda z: max(0, z) + min(0, mp.expm1(z)), lambda z: 1 if z > 0 else mp.exp(z)),
    "softplus": (lambda z: mp.log(1 + mp.exp(z)), logistic),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    "gelu": (lambda z: z * phi(z), lambda z: phi(z) + z * normal(z)),
    "silu": (lambda z: z * logistic(z), lambda z: logistic(z) * (1 + z * (1 - logistic(z)))),
    "mish": (lambda z: z * mp.tanh(mp.log(1 + mp.exp(z))), mish_slope),
    "hard_sigmoid": (
        lambda z: min(max(z / 6 + mp.mpf(1) / 2, 0), 1),
        lambda z: mp.mpf(1) / 6 if -3 < z < 3 else 0,
    ),
    "hard_tanh": (lambda z: min(max(z, -1), 1), lambda z: int(-1 < z < 1)),
    "arctan": (mp.atan, lambda z: 1 / (1 + z * z)),
    "erf": (mp.erf, lambda z: 2 / mp.sqrt(mp.pi) * mp.exp(-z * z)),
    "sin": (mp.sin, mp.cos),
    "cos": (mp.cos, lambda z: -mp.sin(z)),
    "gaussian": (lambda z: mp.exp(-z * z), lambda z: -2 * z * mp.exp(-z * z)),
    "step": (lambda z: int(z > 0), lambda z: 0),
    "sign": (mp.sign, lambda z: 0),
    "abs": (abs, mp.sign),
    "square": (lambda z: z * z, lambda z: 2 * z),
    "cube": (lambda z: z**3, lambda z: 3 * z * z),
    "exp": (mp.exp, mp.exp),
    "log": (mp.log, lambda z: 1 / z),
    "sqrt": (mp.sqrt, lambda z: 1 / (2 * mp.sqrt(z))),
    "reciprocal": (lambda z: 1 / z, lambda z: -1 / (z * z)),
}
HALF_LINE = {"log": ">", "sqrt": ">", "reciprocal": "≠"}

# name: σ(−inf), σ(inf), σ'(−inf), σ'(inf); NaN where there is no limit
LIMITS = {
    "identity": (-inf, inf, 1, 1),
    "sigmoid": (0, 1, 0, 0),
    "tanh": (-1, 1, 0, 0),
    "relu": (0, inf, 0, 1),
    "leaky_relu": (-inf, inf, 0.01, 1),
    "elu": (-1, inf, 0, 1),
    "selu": (float(-LAMBDA * ALPHA), inf, 0, float(LAMBDA)),
    "celu": (-1, inf, 0, 1),
    "softplus": (0, inf, 0, 1),
    "softsign": (-1, 1, 0, 0),
    "gelu": (0, inf, 0, 1),
    "silu": (0, inf, 0, 1),
    "mish": (0, inf, 0, 1),
    "hard_sigmoid": (0, 1, 0, 0),
    "hard_tanh": (-1, 1, 0, 0),
    "arctan": (-np.pi / 2, np.pi / 2, 0, 0),
    "erf": (-1, 1, 0, 0),
    "sin": (nan, nan, nan, nan),
    "cos": (nan, nan, nan, nan),
    "gaussian": (0, 0, 0, 0),
    "step": (0, 1, 0, 0),
    "sign": (-1, 1, 0, 0),
    "abs": (inf, inf, -1, 1),
    "square": (inf, inf, -inf, inf),
    "cube": (-inf, inf, inf, inf),
    "exp": (0, inf, 0, inf),
    "log": (nan, inf, nan, 0),
    "sqrt": (nan, inf, nan, 0),
    "reciprocal": (0, 0, 0, 0),
}


def grid() -> list[float]:
    """Zero, subnormal, kinks and their neighbours, roots of derivatives, tails, huge; and sixteen at random."""
    magnitudes = [
        5e-324,
        2.5e-310,
        1e-300,
        1e-160,
        1e-20,
        1e-8,
        1e-3,
        0.1,
        0.3,
        0.5,
        0.7517915,
        1.1924,
        1.2784,
    ]
    magnitudes += [np.nextafter(k, d) for k in (1.0, 3.0) for d in (0.0, 9.0)] + [
        1.0,
        3.0,
        2.0,
        5.0,
        9.5,
        17.0,
    ]
    magnitudes += [20.0, 26.5, 30.5, 36.7, 38.4, 39.9, 40.1, 100.0, 300.0, 372.0, 700.0, 709.5, 710.0, 740.0]
    magnitudes += [
        745.5,
        799.9,
        800.1,
        1e3,
        1e5,
        0.9e9,
        1.1e9,
        1e16,
        1e103,
        1e154,
        1e155,
        1e160,
        1e300,
        1.7e308,
    ]
    rng = np.random.default_rng(7)
    magnitudes += list(np.exp(rng.uniform(-8, 7, 16)))
    return [0.0, *(s * float(m) for m in magnitudes for s in (1.0, -1.0))]


def inside(name: str, z: float) -> bool:
    return {">": z > 0, "≠": z != 0}.get(HALF_LINE.get(name, ""), True)


def digits(z: float) -> int:
    """Decimal digits that a reference needs at z: 1 − tanh²(z) cancels 0.87·|z| of them.

    From |z| = 1000 on, what cancels is below 10⁻⁴⁰⁰, 0 in float64, whatever the precision.
    """
    return min(400, 60 + int(abs(z))) if abs(z) < 1000 else 60


@cache
def exact_at(reference, z: float) -> tuple[mp.mpf, mp.mpf]:
    """The value, and its change as z moves by one rounding: the same for every way to run the formula."""
    with mp.workdps(digits(z)):
        x = mp.mpf(z)
        exact = mp.mpf(reference(x))
        return exact, max(abs(reference(x * (1 + s * EPS / 2)) - exact) for s in (-1, 1))


def excess(reference, z: float, got: float) -> float:
    """|got − reference| in units of ε·(|reference| + its change as z moves by one rounding); must stay ≤ 4.

    The second part is the conditioning: a value that depends on z so steeply that z's own last digit decides
    more than that cannot be had more accurately from any formula in one precision.
    """
    exact, moved = exact_at(reference, z)
    if abs(exact) > mp.mpf(1.7976931348623157e308) * (1 - 4 * EPS) and abs(got) == inf:
        return 0.0 if (got > 0) == (exact > 0) else inf
    if not np.isfinite(got):
        return inf
    slack = EPS * abs(exact) + (moved if moved < 1e-8 * abs(exact) else 0)  # a jump is no slope
    underflow = TINY * (4 + min(abs(z), 1000)) if abs(exact) < 1e-290 else 0
    error = max(abs(mp.mpf(got) - exact) - underflow, mp.mpf(0))
    return float(error / slack) if slack else (0.0 if error == 0 else inf)


def worst(reference, f, name: str) -> tuple[float, float]:
    with mp.workdps(60):
        points = [z for z in grid() if inside(name, z)]
        return max((excess(reference, z, f(np.float64(z))), z) for z in points)


@pytest.mark.parametrize("name", REFERENCE)
def test_function_and_derivative_are_accurate_everywhere(name, run):
    for reference, f in zip(REFERENCE[name], (entries[name].f, entries[name].df), strict=True):
        units, z = worst(reference, run(f), name)
        assert units <= 4, f"{f.__name__}({z!r}) is {units:.3g} units off"


@pytest.mark.parametrize("name", NAMES)
def test_function_and_derivative_are_the_oracles(name, run):
    """Of every activation that there is; those with a reference are held to it beyond this."""
    f, df, sigma = run(entries[name].f), run(entries[name].df), oracle.SIGMA[name]
    for z in np.arange(-4.0, 4.25, 0.25).tolist():
        if z > 0.0 or name not in oracle.NEEDS_POSITIVE:
            assert f(np.float64(z)) == pytest.approx(complex(sigma(complex(z))).real, rel=1e-13, abs=1e-15), z
            slope = oracle.slope(lambda ih, z=z: sigma(z + ih))
            assert df(np.float64(z)) == pytest.approx(slope, rel=1e-12, abs=1e-14), z


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_derivative_is_the_derivative_of_the_reference(name):
    f, df = REFERENCE[name]
    with mp.workdps(60):
        for z in (-4.5, -2.25, -0.75, -0.3, 0.3, 0.75, 2.25, 4.5):
            if inside(name, z):
                assert abs(mp.diff(f, mp.mpf(z)) - df(mp.mpf(z))) < 1e-20, z


@pytest.mark.parametrize("name", NAMES)
def test_nan_goes_through_function_and_derivative(name, run):
    for f in (entries[name].f, entries[name].df):
        assert np.isnan(run(f)(np.float64(nan))), f.__name__


@pytest.mark.parametrize("name", REFERENCE)
def test_infinity_gives_the_limit(name, run):
    f, df = run(entries[name].f), run(entries[name].df)
    got = [g(np.float64(z)) for g in (f, df) for z in (-inf, inf)]
    np.testing.assert_array_max_ulp(np.array(got), np.array(LIMITS[name], float), maxulp=1)


@pytest.mark.parametrize("name", NAMES)
def test_every_path_returns_a_float(name, run):
    for f in (entries[name].f, entries[name].df):
        for z in (nan, -inf, inf, 0.0, -0.0, 0.5, -0.5, 50.0, -50.0, 900.0, -900.0, 1e10):
            assert isinstance(run(f)(np.float64(z)), float), f"{f.__name__}({z})"


# (formula, z, exact value)
EDGES = [
    ("sigmoid", 1000.0, 1.0),
    ("sigmoid", -1000.0, 0.0),
    ("dsigmoid", 1000.0, 0.0),
    ("dsigmoid", -1000.0, 0.0),
    ("dsigmoid", 0.0, 0.25),
    ("dhyperbolic_tangent", 0.0, 1.0),
    ("dhyperbolic_tangent", 1000.0, 0.0),
    ("dhyperbolic_tangent", -1000.0, 0.0),
    ("softplus", 1000.0, 1000.0),
    ("softplus", -1000.0, 0.0),
    ("elu", -1e-20, -1e-20),
    ("elu", -1000.0, -1.0),
    ("selu", -1000.0, rectifiers.SELU_SCALE * -rectifiers.SELU_ALPHA),
    ("delu", 0.0, 1.0),
    ("gelu", -1000.0, 0.0),
    ("gelu", 1000.0, 1000.0),
    ("dgelu", 0.0, 0.5),
    ("silu", -1000.0, 0.0),
    ("mish", -1000.0, 0.0),
    ("relu", -0.0, 0.0),
    ("step", -0.0, 0.0),
    ("dleaky_relu", 0.0, 0.01),
    ("dleaky_relu", -5.0, 0.01),
    ("step", 0.0, 0.0),
    ("step", 5e-324, 1.0),
    ("signum", 0.0, 0.0),
    ("dflat", 0.0, 0.0),
    ("hard_sigmoid", -3.0, 0.0),
    ("hard_sigmoid", 3.0, 1.0),
    ("dhard_sigmoid", -3.0, 0.0),
    ("dhard_sigmoid", 3.0, 0.0),
    ("dhard_tanh", 1.0, 0.0),
    ("dhard_tanh", -1.0, 0.0),
    ("logarithm", 0.0, -inf),
    ("dlogarithm", -0.0, inf),
    ("dlogarithm", -1.0, nan),
    ("dsquare_root", -0.0, inf),
    ("square_root", -1.0, nan),
    ("reciprocal", -0.0, -inf),
    ("dreciprocal", -0.0, -inf),
    ("exponential", 1000.0, inf),
]


@pytest.mark.parametrize(("formula", "z", "value"), EDGES)
def test_edges(formula, z, value, run):
    np.testing.assert_array_equal(run(FORMULAS[formula])(np.float64(z)), value)


@pytest.mark.parametrize("z", [40.0, 300.0, 340.0])
def test_derivatives_keep_the_tail_that_one_minus_cancels(z, run):
    assert run(activations.dsigmoid)(z) == run(activations.dsigmoid)(-z) == pytest.approx(np.exp(-z), rel=1e-14)
    assert run(activations.dhyperbolic_tangent)(z) == pytest.approx(4 * np.exp(-2 * z), rel=1e-14)
    assert run(rectifiers.softplus)(-z) == pytest.approx(np.exp(-z), rel=1e-14)


def test_gelu_keeps_its_far_tail(run):
    with mp.workdps(60):
        exact = float(-30 * phi(mp.mpf(-30)))
    assert run(rectifiers.gelu)(-30.0) == pytest.approx(exact, rel=1e-12)
    assert exact < 0


def test_every_reference_is_of_a_function():
    assert set(REFERENCE) == set(LIMITS) <= set(NAMES)
    assert all(a.name == name for name, a in entries.items())


def test_no_function_shares_a_name_with_numpy():
    used = {f.__name__ for a in entries.values() for f in (a.f, a.df)}
    assert used & {"exp", "log", "sin", "cos", "tanh", "sqrt", "sign", "arctan", "expm1", "log1p"} == set()


@pytest.mark.parametrize("given", [(1.0,), 5, "ab", (0, 1, 2), (1, 0), (0, 0), (0, np.inf), (np.nan, 1), (None, 1)])
def test_a_range_is_a_pair_of_finite_numbers(given):
    with pytest.raises(ConfigError, match=r"^range=.* of activation 'mine': must be two finite, rising numbers$"):
        Activation("mine", np.sin, np.cos, range=given)


def test_an_activation_is_a_frozen_record_that_pickles():
    a = entries["tanh"]
    assert repr(a) == "Activation('tanh', f=hyperbolic_tangent, df=dhyperbolic_tangent)"
    assert pickle.loads(pickle.dumps(a)) == a
    assert hash(a) == hash(Activation("tanh", a.f, a.df))
    with pytest.raises(AttributeError):
        a.name = "other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", abs, abs), "an activation's name is a non-empty text, not ''"),
        ((3, abs, abs), "an activation's name is a non-empty text, not 3"),
        (("bump", 1.0, abs), "f of activation 'bump' is a function of z, not 1.0"),
        (("bump", abs, None), "df of activation 'bump' is a function of z, not None"),
    ],
)
def test_a_wrong_activation_is_refused(arguments, message):
    with pytest.raises(ConfigError) as error:
        Activation(*arguments)
    assert str(error.value) == message


# ---- what else is known of a function -----------------------------------------------------------------------

ALL = names("activations")
DENSE = np.concatenate([np.array(grid()), np.linspace(-70, 70, 2001), [nan, inf, -inf, -0.0]])


def values_of(g, z):
    with np.errstate(all="ignore"):
        return np.array([float(g(np.float64(x))) for x in z])


@pytest.mark.parametrize("name", ALL)
def test_expressions_are_the_formulas(name):
    record = find("activations", name)
    if record.expression is None:
        return
    for text, g in zip(record.expression, (record.f, record.df), strict=True):
        got, wanted = evaluate(text, z=DENSE), values_of(g, DENSE)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        np.testing.assert_array_equal(got[np.isinf(wanted)], wanted[np.isinf(wanted)])
        finite = np.isfinite(wanted)
        np.testing.assert_array_max_ulp(got[finite] + 0.0, wanted[finite] + 0.0, maxulp=4)


@pytest.mark.parametrize("name", [name for name in ALL if find("activations", name).affine])
def test_affine_relations_hold_for_function_and_derivative(name):
    """To the rounding of the argument, which grows with how steep log σ is."""
    record = find("activations", name)
    same = record.affine
    z = np.linspace(-20, 20, 2001)
    y = same.factor * z + same.shift
    close = {"rtol": 1e-13, "atol": 1e-13}
    np.testing.assert_allclose(values_of(record.f, z), same.scale * values_of(same.of.f, y) + same.offset, **close)
    np.testing.assert_allclose(values_of(record.df, z), same.scale * same.factor * values_of(same.of.df, y), **close)
    assert np.isnan(same.scale * same.of.f(nan))


@pytest.mark.parametrize("name", [name for name in ALL if find("activations", name).range])
def test_values_stay_within_the_range(name):
    record = find("activations", name)
    found = values_of(record.f, DENSE[np.isfinite(DENSE)])
    low, high = record.range
    assert low <= np.nanmin(found) <= np.nanmax(found) <= high


def test_what_is_known_beside_the_formulas_makes_no_other_function():
    a = entries["relu"]
    assert Activation("relu", a.f, a.df) == a
    assert hash(Activation("relu", a.f, a.df)) == hash(a)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"initializer": ""}, "initializer='' of activation 'bump': must be the name of an initializer"),
        ({"affine": 2.0}, "affine=2.0 of activation 'bump': must be an Affine, or None"),
        ({"expression": "z"}, "expression='z' of activation 'bump': must be two texts, of f and of df"),
        ({"expression": ("z", 1.0)}, "expression of activation 'bump', df: a formula is a text, not 1.0"),
        ({"expression": ("ex(z)", "1")}, "unknown function 'ex': did you mean 'exp'?"),
    ],
)
def test_a_wrong_word_about_a_function_is_refused(known, message):
    with pytest.raises(ConfigError) as error:
        Activation("bump", abs, abs, **known)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "numbers", [{"factor": 0.0}, {"scale": 0.0}, {"shift": inf}, {"offset": nan}, {"factor": "2"}, {"of": "tanh"}]
)
def test_a_wrong_affine_relation_is_refused(numbers):
    with pytest.raises(ConfigError, match="an affine relation"):
        Affine(**{"of": entries["tanh"], **numbers})
