"""Intervals of metrics: DeLong's by its definition over all pairs, and how often intervals cover, by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from flowgrad.errors import ConfigError, FlowgradError, ShapeError, UnknownNameError
from flowgrad.metrics import Metric, entries, interval

LOSS = "squared_error"


def normal(rng: np.random.Generator, n: int, apart: float) -> tuple[Any, Any]:
    """n samples of each of two classes, scores normal, `apart` standard deviations."""
    t = np.repeat([1.0, 0.0], n)
    return (rng.normal(size=2 * n) + apart * t)[:, None], t


def test_delong_is_the_variance_over_all_pairs() -> None:
    """Of the definition, as it stands in the paper, on the logit scale."""
    y, t = normal(np.random.default_rng(0), 25, 1.0)
    y = y.round(1)
    p, n = y[t == 1, 0], y[t == 0, 0]
    wins = (p[:, None] > n) + 0.5 * (p[:, None] == n)
    area, error = wins.mean(), math.sqrt(wins.mean(1).var(ddof=1) / len(p) + wins.mean(0).var(ddof=1) / len(n))
    reach = 1.959963984540054 * error / (area * (1 - area))
    wanted = [1 / (1 + math.exp(-(math.log(area / (1 - area)) + side * reach))) for side in (-1, 1)]
    found = interval("auc", y, t, LOSS)
    np.testing.assert_allclose(found, [area, *wanted], rtol=1e-12)
    weighted = interval("auc", np.repeat(y, 2, 0), np.repeat(t, 2), LOSS, groups=np.repeat(np.arange(50), 2))
    np.testing.assert_allclose(weighted, found, rtol=1e-12)
    again = interval("auc", y, t, LOSS, sample_weight=np.full(50, 2.0))
    np.testing.assert_allclose(again, found, rtol=1e-12)
    wide = interval("auc", y, t, LOSS, level=0.99)
    assert wide.low < found.low < found.value < found.high < wide.high


def test_classes_in_a_row_have_an_interval_all_the_same() -> None:
    found = interval("auc", np.arange(20.0)[:, None], np.arange(20) > 9, LOSS)
    assert found.value == found.high == 1.0
    assert 0.7 < found.low < 0.9
    back = interval("auc", -np.arange(20.0)[:, None], np.arange(20) > 9, LOSS)
    np.testing.assert_allclose([back.low, back.high], [0.0, 1 - found.low], atol=1e-12)


def covered(name: str, n: int, times: int, method: str = "auto", **settings: Any) -> float:
    """The share of the samples whose interval holds the truth."""
    rng, inside = np.random.default_rng(5), 0
    truth = {
        "auc": 0.5 * (1 + math.erf(0.6)),
        "accuracy": 0.5 * (1 + math.erf(0.6 / math.sqrt(2))),
        "mae": 0.7978845608,
    }
    for _ in range(times):
        y, t = normal(rng, n, 1.2)
        if name == "mae":
            y, t = rng.normal(size=(2 * n, 1)), np.zeros(2 * n)
        y = y - 0.1 if name == "accuracy" else y  # decided at ½: at the middle between the classes, 0.6
        found = interval(name, y, t, LOSS, method=method, **settings)
        inside += found.low <= truth[name] <= found.high
    return inside / times


def test_delong_covers() -> None:
    for n in (10, 40):
        assert 0.93 <= covered("auc", n, 1000) <= 0.985


@pytest.mark.parametrize("name", ["accuracy", pytest.param("mae", marks=pytest.mark.soak)])
def test_the_bootstrap_covers(name: str) -> None:
    assert 0.91 <= covered(name, 20, 60, resamples=200) <= 0.99


@pytest.mark.soak
@pytest.mark.parametrize("name", ["auc", "accuracy", "mae"])
@pytest.mark.parametrize("n", [10, 30])
def test_the_bootstrap_covers_more_often_asked(name: str, n: int) -> None:
    assert 0.92 <= covered(name, n, 1000, "bootstrap", resamples=400) <= 0.99


def test_samples_of_one_group_are_drawn_together() -> None:
    rng = np.random.default_rng(2)
    y, t = rng.normal(size=(60, 1)), rng.normal(size=60)
    certain = interval("accuracy", np.array([[0.0], [1.0], [1.0]]), np.array([0, 1, 1]), LOSS)
    assert certain.value == 1.0
    assert math.isnan(certain.high)
    alone = interval("mae", y, t, LOSS)
    many, of = (np.repeat(a, 4, axis=0) for a in (y, t))
    grouped = interval("mae", many, of, LOSS, groups=np.repeat([f"p{k}" for k in range(60)], 4))
    assert grouped.value == pytest.approx(alone.value, rel=1e-12)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.15)
    blind = interval("mae", many, of, LOSS)
    assert blind.high - blind.low < 0.7 * (alone.high - alone.low)


def test_a_seed_gives_the_same_interval() -> None:
    y, t = normal(np.random.default_rng(1), 15, 1.0)
    for name in entries:
        found = [interval(name, y, t, LOSS, seed=3, resamples=50) for _ in range(2)]
        np.testing.assert_array_equal(found[0], found[1])
        assert math.isnan(found[0].low) or found[0].low <= found[0].value <= found[0].high
    assert interval("mae", y, t, LOSS, seed=3) != interval("mae", y, t, LOSS, seed=4)


def test_what_has_no_interval() -> None:
    nan = np.array([[math.nan], [1.0]])
    for name in entries:
        assert all(map(math.isnan, interval(name, nan, np.array([0, 1]), LOSS)))
    assert all(map(math.isnan, interval("auc", np.zeros((3, 1)), np.ones(3), LOSS)))
    alone = interval("mae", np.zeros((1, 1)), np.ones(1), LOSS)
    assert alone.value == 1.0
    assert math.isnan(alone.low)


def test_a_metric_of_your_own() -> None:
    mine = Metric("bias", lambda y, t, loss: float((y[:, 0] - t).mean()))
    y, t = np.arange(8.0)[:, None], np.zeros(8)
    found = interval(mine, y, t, LOSS)
    assert found.value == 3.5
    assert 1.0 < found.low < 3.0 < 4.0 < found.high < 6.0
    with pytest.raises(ConfigError, match="takes no sample_weight"):
        interval(mine, y, t, LOSS, sample_weight=np.ones(8))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"metric": "acuracy"}, UnknownNameError, "did you mean 'accuracy'"),
        ({"metric": 3}, ConfigError, "give a name"),
        ({"method": "delon"}, UnknownNameError, "did you mean 'delong'"),
        ({"method": "delong"}, ConfigError, "it is for auc"),
        ({"level": 1.0}, ConfigError, "level=1.0"),
        ({"resamples": 3}, ConfigError, "resamples=3"),
        ({"groups": [1]}, ShapeError, "groups has shape"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], error: type[FlowgradError], said: str) -> None:
    given = {"metric": "mae"} | arguments
    with pytest.raises(error, match=said):
        interval(given.pop("metric"), np.zeros((4, 1)), np.ones(4), LOSS, **given)


@pytest.mark.parametrize("method", ["delong", "bootstrap"])
def test_one_group_has_no_interval(method: str) -> None:
    """Its samples belong together: nothing is known of how much another group would differ."""
    y, t = np.array([[-1.0], [0.5], [2.0], [0.1]]), np.array([[0.0], [1.0], [1.0], [0.0]])
    found = interval("auc", y, t, "binary_cross_entropy", groups=["a"] * 4, method=method)
    assert found.value == 1.0
    assert np.isnan([found.low, found.high]).all()
