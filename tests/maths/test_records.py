"""What stands on the records of aggregations and losses beside their formulas, and that it is true of these."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from flowgrad.errors import ConfigError
from flowgrad.maths import aggregations, losses
from flowgrad.maths.aggregations import Aggregation, coefficients
from flowgrad.testing import oracle

MULTIPLES = tuple(name for name, a in aggregations.entries.items() if a.coefficient is not None)
OTHERS = tuple(name for name in aggregations.entries if name not in MULTIPLES)


@pytest.mark.parametrize("name", MULTIPLES)
def test_the_coefficient_is_the_gradient_whatever_the_terms_are(name):
    one = aggregations.entries[name]
    for t in ([2.0], [0.7, -1.9, 1.3, 0.4, 1.6, -0.2], [3.0, 3.0, -1.0]):
        c, d = one.coefficient(len(t)), np.full(len(t), 1e99)
        one.df(np.array(t), d)
        np.testing.assert_array_equal(d, np.full(len(t), c))
        assert one.f(np.array(t)) == pytest.approx(c * sum(t), rel=1e-15)


@pytest.mark.parametrize("name", OTHERS)
def test_what_has_no_coefficient_is_no_multiple_of_the_sum(name):
    one = aggregations.entries[name]
    t = np.random.default_rng(6).uniform(1.0, 2.0, (5, 3))
    shares = [one.f(row) / row.sum() for row in t]
    assert np.ptp(shares) > 1e-6


def test_coefficients_of_nodes():
    given = (aggregations.entries["max"], aggregations.entries["sum"], Aggregation("half", abs, abs, lambda K: 0.5))
    code, fan_in = np.array([-1, 0, 0, 1, 2, 2], np.int16), np.array([0, 3, 0, 3, 2, 0])
    np.testing.assert_array_equal(coefficients(given, code, fan_in), [1.0, nan, 1.0, 1.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "name is a non-empty text"),
        ({"df": 3}, "df of aggregation 'mine' is a function of terms, not 3"),
        ({"coefficient": 0.5}, "coefficient=0.5 of aggregation 'mine'"),
        ({"coefficient": lambda K: nan}, "gives nan for 2 terms"),
        ({"coefficient": lambda K: "1"}, "gives '1' for 2 terms"),
    ],
)
def test_what_an_aggregation_is_made_of(given, said):
    with pytest.raises(ConfigError, match=said):
        Aggregation(**({"name": "mine", "f": abs, "df": abs} | given))


@pytest.mark.parametrize("name", losses.entries)
def test_the_base_cases_of_one_output_alone_add_up_to_those_of_all(name):
    loss, rng = losses.entries[name], np.random.default_rng(13)
    y, t = rng.standard_normal((6, 4)), oracle.targets(name, rng, (6, 4))
    parts = [loss.alone(y, t, n) for n in range(4)]
    np.testing.assert_allclose(sum(dy for dy, _ in parts), loss.evaluate(y, t)[1], rtol=1e-13, atol=1e-15)
    for n, (dy, read) in enumerate(parts):
        assert read[n]
        assert (dy[:, ~read] == 0).all()
