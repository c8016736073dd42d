"""Metrics against other people's implementations and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, UnknownNameError
from flowgrad.maths.losses import Loss
from flowgrad.metrics import Metric, entries, metrics_for


def value(name: str, y: object, t: object, loss: str = "squared_error") -> float:
    return entries[name].f(np.array(y, float), np.array(t, float), loss)


def test_accuracy_reads_outputs_as_the_loss_does() -> None:
    y, t = [[0.2, -1.0], [3.0, 4.0], [0.4, 0.1]], [[1, 0], [0, 1], [0, 1]]
    assert value("accuracy", y, t, "cross_entropy") == pytest.approx(2 / 3)
    assert value("accuracy", y, t, "binary_cross_entropy") == pytest.approx(4 / 6)
    assert value("accuracy", [[0.4], [0.6]], [[0], [0]]) == 0.5
    assert value("accuracy", [[0.4], [0.6]], [[0], [0]], "binary_cross_entropy") == 0.0


def test_against_scikit_learn_and_scipy() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=(80, 1)).round(1), rng.normal(size=(80, 1))
    labels = (t > 0).astype(float)
    assert len(np.unique(y)) < 80  # ties
    assert value("auc", y, labels) == pytest.approx(sklearn.roc_auc_score(labels[:, 0], y[:, 0]), rel=1e-12)
    assert value("pearson", y, t) == pytest.approx(stats.pearsonr(y[:, 0], t[:, 0])[0], rel=1e-12)
    assert value("r2", y, t) == pytest.approx(sklearn.r2_score(t, y), rel=1e-12)
    assert value("rmse", y, t) == pytest.approx(math.sqrt(sklearn.mean_squared_error(t, y)), rel=1e-12)
    assert value("mae", y, t) == pytest.approx(sklearn.mean_absolute_error(t, y), rel=1e-12)


def test_what_does_not_vary() -> None:
    assert math.isnan(value("pearson", [[1], [1]], [[0], [1]]))
    assert math.isnan(value("auc", [[1], [2]], [[1], [1]]))
    assert value("auc", [[1, 5], [2, 5]], [[1, 1], [1, 0]]) == 0.5  # only the second output has both kinds


def test_names_and_records() -> None:
    mine = Metric("bias", lambda y, t, loss: float((y - t).mean()))
    assert metrics_for(["mae", mine]) == (entries["mae"], mine)
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        metrics_for(["acuracy"])
    with pytest.raises(ConfigError, match="give a list"):
        metrics_for("accuracy")
    with pytest.raises(ConfigError, match="holds 3"):
        metrics_for([3])  # type: ignore[list-item]  # wrong on purpose


def test_metrics_speak_of_what_the_loss_predicts() -> None:
    """They are scikit-learn's on the link of the outputs."""
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(4)
    y = rng.normal(size=(60, 3)) * 4 + rng.normal(size=(60, 1)) * 20
    classes = rng.integers(0, 3, 60)
    p = np.exp(y - y.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[classes]
    assert value("auc", y, one_hot, "cross_entropy") == pytest.approx(sklearn.roc_auc_score(one_hot, p), rel=1e-12)
    each = np.sqrt(np.mean((p - one_hot) ** 2, axis=0))
    assert value("rmse", y, one_hot, "cross_entropy") == pytest.approx(each.mean(), rel=1e-12)
    y, t = rng.normal(size=(60, 1)), rng.integers(0, 2, (60, 1)).astype(float)
    q = 1 / (1 + np.exp(-y))
    assert value("r2", y, t, "binary_cross_entropy") == pytest.approx(sklearn.r2_score(t, q), rel=1e-12)
    assert value("mae", y, t, "binary_cross_entropy") == pytest.approx(np.abs(q - t).mean(), rel=1e-12)
    assert value("accuracy", y, t, "binary_cross_entropy") == np.mean((q > 0.5) == (t > 0.5))
    counts = rng.poisson(np.exp(y)).astype(float)
    assert value("r2", y, counts, "poisson") == pytest.approx(sklearn.r2_score(counts, np.exp(y)), rel=1e-12)
    assert value("pearson", np.log(counts + 1), counts + 1, "poisson") == pytest.approx(1.0, rel=1e-12)


def test_a_loss_of_your_own_has_a_link_too() -> None:
    mine = Loss("mine", np.subtract, np.subtract, link=lambda y: 2.0 * y)
    assert entries["mae"].f(np.array([[1.0]]), np.array([[2.0]]), mine) == 0.0
    program = fg.compile(fg.Network.from_arrays([0], [1], weight=[1.0], activation="identity"), "python", loss=mine)
    history = fg.fit(program, [[1.0]], [[2.0]], epochs=1, learning_rate=1e-12, optimizer="sgd", metrics=["mae"])
    assert history["mae"][0] == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("name", entries)
def test_nan_makes_a_metric_nan(name: str) -> None:
    y, t = [[math.nan, 0.1], [1, 0.4], [2, 0.2]], [[1, 0], [0, 1], [1, 0]]
    assert math.isnan(value(name, y, t))
    assert math.isnan(value(name, t, y))
    assert math.isnan(value(name, y, t, "cross_entropy"))


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-150, 1e150, 1e200, 1e300])
def test_numbers_of_any_size(size: float) -> None:
    y, t = np.array([[1.0], [2.0], [4.0], [5.0]]), np.array([[1.0], [2.0], [3.5], [5.5]])
    for name in ("pearson", "r2"):
        assert value(name, y * size, t * size) == pytest.approx(value(name, y, t), rel=1e-12)
        assert math.isfinite(value(name, y * size, t * size))
    for name in ("rmse", "mae"):
        assert value(name, y * size, t * size) / size == pytest.approx(value(name, y, t), rel=1e-12)


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 1e-200, 1e16 + 2, -7.7])
def test_a_constant_has_no_correlation(constant: float) -> None:
    t = np.random.default_rng(1).normal(size=(7, 1))
    assert math.isnan(value("pearson", np.full((7, 1), constant), t))
    assert math.isnan(value("pearson", t, np.full((7, 1), constant)))
