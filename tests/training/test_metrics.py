"""Metrics against other people's implementations and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flowgrad.errors import ConfigError, UnknownNameError
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
