"""Aggregations against exact rational arithmetic and the definition."""

from __future__ import annotations

from fractions import Fraction
from math import isnan, nan, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgrad.maths.aggregations import Aggregation, entries
from flowgrad.testing import oracle

NAMES = tuple(entries)
LARGEST = Fraction(1.7976931348623157e308)
inf = float("inf")
terms = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9)
ties = st.lists(st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]), min_size=1, max_size=9)


def both(name, t, run):
    """m and ∂m/∂t; d starts as rubbish, so that an entry left unwritten shows."""
    t = np.array(t, np.float64)
    d = np.full(t.size, 1e99)
    assert run(entries[name].df)(t, d) is None
    return float(run(entries[name].f)(t)), d


def close(got: float, exact: Fraction, units: int) -> bool:
    """Within so many half roundings of the exact value; inf where that is beyond float64."""
    if abs(got) == inf:
        return abs(exact) > LARGEST * (1 - Fraction(units, 2**53)) and (got > 0) == (exact > 0)
    return abs(Fraction(got) - exact) <= abs(exact) * Fraction(units, 2**53) + Fraction(1, 2**1074)


@given(t=terms | ties)
def test_product_and_its_gradient_are_exact_to_rounding(t, run):
    m, d = both("product", t, run)
    q = [Fraction(x) for x in t]
    assert close(m, prod(q), len(t))
    for k in range(len(t)):
        assert close(d[k], prod(q[:k] + q[k + 1 :]), len(t) + 1)


@given(t=terms | ties)
def test_winners_are_the_first_that_attain_the_value(t, run):
    keys = {"max": lambda k: -t[k], "min": lambda k: t[k], "max_abs": lambda k: -abs(t[k])}
    for name, key in keys.items():
        winner = min(range(len(t)), key=key)
        m, d = both(name, t, run)
        assert m == t[winner]
        assert d.tolist() == [float(k == winner) for k in range(len(t))]


@given(t=terms | ties)
def test_median_is_the_mean_of_the_middle_of_a_stable_sort(t, run):
    order = sorted(range(len(t)), key=lambda k: t[k])
    i, j = order[(len(t) - 1) // 2], order[len(t) // 2]
    m, d = both("median", t, run)
    assert close(m, (Fraction(t[i]) + Fraction(t[j])) / 2, 1)
    assert d.tolist() == [(k == i) / 2 + (k == j) / 2 for k in range(len(t))]


@given(t=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_sum_and_mean(t, run):
    exact, size = sum(map(Fraction, t)), sum(map(abs, map(Fraction, t)))
    bound = size * len(t) * Fraction(1, 2**52) + Fraction(1, 2**1074)
    for name, divisor in (("sum", 1), ("mean", len(t))):
        m, d = both(name, t, run)
        assert abs(Fraction(m) - exact / divisor) <= bound
        assert d.tolist() == [1 / divisor] * len(t)


@pytest.mark.parametrize("name", NAMES)
def test_no_terms_give_zero(name, run):
    m, d = both(name, [], run)
    assert m == 0.0
    assert d.size == 0


@pytest.mark.parametrize("name", ["sum", "mean", "product", "max", "min", "median", "max_abs"])
def test_one_term_is_itself(name, run):
    m, d = both(name, [-3.5], run)
    assert (m, d.tolist()) == (-3.5, [1.0])


# name, terms, m, ∂m/∂t
CASES = [
    ("product", [0, 2, 3], 0.0, [6, 0, 0]),
    ("product", [2, 0, 3], 0.0, [0, 6, 0]),
    ("product", [0, 2, 0], 0.0, [0, 0, 0]),
    ("product", [0.0, 1.0, 1e200, 1e200], 0.0, [inf, 0, 0, 0]),
    ("product", [2.0**600, 2.0**600, 2.0**-600, 0.0], 0.0, [0, 0, 0, 2.0**600]),
    (
        "product",
        [2.0**-600, 2.0**-600, 5.0, 2.0**600, 2.0**600],
        5.0,
        [5 * 2.0**600] * 2 + [1] + [5 * 2.0**-600] * 2,
    ),
    ("product", [0, inf], nan, [inf, 0]),
    ("product", [2, inf, -3], -inf, [-inf, -6, inf]),
    ("product", [2, nan, 3], nan, [nan, 6, nan]),
    ("max", [3, 1, 3], 3.0, [1, 0, 0]),
    ("min", [1, -2, -2], -2.0, [0, 1, 0]),
    ("max_abs", [1, -3, 3], -3.0, [0, 1, 0]),
    ("max_abs", [1, 3, -3], 3.0, [0, 1, 0]),
    ("max", [-inf, -inf], -inf, [1, 0]),
    ("max", [1, inf], inf, [0, 1]),
    ("min", [1, -inf], -inf, [0, 1]),
    ("max_abs", [inf, -inf], inf, [1, 0]),
    ("median", [5, 1, 3], 3.0, [0, 0, 1]),
    ("median", [4, 1, 3, 2], 2.5, [0, 0, 0.5, 0.5]),
    ("median", [1, 1, 1], 1.0, [0, 1, 0]),
    ("median", [1.7e308, 1.7e308], 1.7e308, [0.5, 0.5]),
    ("median", [5e-324, 5e-324], 5e-324, [0.5, 0.5]),
    ("median", [inf, 1, -inf], 1.0, [0, 1, 0]),
    ("median", [inf, -inf], nan, [0.5, 0.5]),
    ("sum", [1, nan], nan, [1, 1]),
    ("mean", [1, nan], nan, [0.5, 0.5]),
]


@pytest.mark.parametrize(("name", "t", "value", "gradient"), CASES)
def test_cases(name, t, value, gradient, run):
    m, d = both(name, t, run)
    np.testing.assert_array_equal(m, value)
    np.testing.assert_array_equal(d, gradient)


@pytest.mark.parametrize("name", ["max", "min", "max_abs", "median"])
@pytest.mark.parametrize("t", [[1, nan, 5, 2], [nan, 1, inf], [9, -9, nan], [nan], [nan, 2, nan]])
def test_nan_makes_the_value_nan_and_the_gradient_nan_where_the_term_is(name, t, run):
    m, d = both(name, t, run)
    assert isnan(m)
    np.testing.assert_array_equal(d, [nan if isnan(x) else 0.0 for x in t])


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_differences(name, run):
    t = np.array([0.7, -1.9, 1.3, 0.4, 1.6, -0.2])
    _, d = both(name, t, run)
    for k in range(t.size):
        step = np.where(np.arange(t.size) == k, 1e-6, 0.0)
        difference = (both(name, t + step, run)[0] - both(name, t - step, run)[0]) / 2e-6
        assert d[k] == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_the_oracles(name, run):
    rng, aggregate = np.random.default_rng(4), oracle.AGGREGATE[name]
    for size in (1, 2, 3, 4, 7, 50):
        t = rng.standard_normal(size).tolist()
        m, d = both(name, t, run)
        assert m == pytest.approx(complex(aggregate(t)).real, rel=1e-13)
        for k in range(size):
            slope = oracle.slope(lambda ih, t=t, k=k: aggregate([*t[:k], t[k] + ih, *t[k + 1 :]]))
            assert d[k] == pytest.approx(slope, rel=1e-12), k


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["sum", "mean", "product", "max", "min", "median", "max_abs"])
def test_ten_thousand_terms(name, run):
    t = np.random.default_rng(3).uniform(0.5, 2.0, 5_000)
    t = np.concatenate([t, 1 / t])  # the product is 1, to rounding
    m, d = both(name, t, run)
    middle = np.sort(t)[4999:5001]
    expected = {"sum": t.sum(), "mean": t.mean(), "product": 1.0, "min": t.min(), "median": middle.mean()}
    assert m == pytest.approx(expected.get(name, t.max()), rel=1e-11)
    slope = {"sum": np.ones(t.size), "mean": np.full(t.size, 1e-4), "product": 1 / t}
    winners = {"min": t == t.min(), "median": np.isin(t, middle) / 2}
    np.testing.assert_allclose(d, slope.get(name, winners.get(name, t == t.max())), rtol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_left_alone(name, run):
    t = np.array([3.0, nan, 0.0, -1.0])
    before = t.copy()
    both(name, t, run)
    run(entries[name].f)(t)
    np.testing.assert_array_equal(t, before)


def test_names_stand_under_their_own_name():
    assert all(a.name == name for name, a in entries.items())
    assert repr(entries["max"]) == "Aggregation('max', f=maximum, df=dmaximum)"
    assert entries["sum"] == Aggregation("sum", entries["sum"].f, entries["sum"].df)
