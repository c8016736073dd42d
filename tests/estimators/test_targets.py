"""Numbers: one target or several, by name, on the data's own scale; losses whose outputs are rates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, ShapeError
from flowgrad.sklearn import GraphRegressor

Make = Callable[..., GraphRegressor]
Refused = Callable[..., Any]


def test_targets_far_from_0_are_scaled_and_predicted_on_their_own_scale(regressor: Make, numbers: Any) -> None:
    X, y = numbers
    reg = regressor(epochs=60).fit(X, y)
    assert reg.score(X, y) > 0.9
    assert reg.predict(X).shape == (60,)
    assert reg.model_.target_scaling.mean[0] == pytest.approx(1000.0, rel=0.05)
    assert reg.model_.predict(X)[:, 0].tolist() == pytest.approx(reg.predict(X).tolist(), rel=1e-9)
    raw = regressor(epochs=5, standardize=False).fit(X, y)
    assert raw.model_.scaling is raw.model_.target_scaling is None


def test_several_targets_keep_their_names_and_order(regressor: Make, numbers: Any, tmp_path: Path) -> None:
    X, y = numbers
    Y = pd.DataFrame({"mass": y, "length": -3.0 * X[:, 2]})
    reg = regressor(epochs=80).fit(X, Y)
    assert reg.predict(X).shape == (60, 2)
    assert reg.score(X, Y) > 0.9
    assert reg.model_.targets == ("mass", "length")
    reg.model_.save(tmp_path / "two.fgm")
    np.testing.assert_allclose(fg.load_model(tmp_path / "two.fgm").predict(X), reg.predict(X), rtol=1e-9)
    graph = nx.DiGraph([("a", "mass"), ("b", "mass"), ("c", "length"), ("a", "length")])
    named = regressor(fg.Network.from_networkx(graph, outputs=["length", "mass"]), epochs=80).fit(X, Y)
    assert named.model_.network.outputs == ("mass", "length")
    assert named.score(X, Y) > 0.9


def test_rates_are_predicted_by_the_link(regressor: Make) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 2))
    y = rng.poisson(np.exp(1.0 + X[:, 0])).astype(float)
    reg = regressor(loss="poisson", epochs=60).fit(X, y)
    assert reg.model_.target_scaling is None
    assert (reg.predict(X) > 0).all()
    assert reg.score(X, y) > 0.5


def test_targets_stay_as_they_are_where_outputs_are_bounded(regressor: Make, numbers: Any) -> None:
    """Scaled targets lie on both sides of 0, which a sigmoid never does."""
    X, y = numbers
    y = (y > 1000.0) * 0.8 + 0.1
    net = fg.topologies.layered([3, 3, 1], output_activation="sigmoid")
    reg = regressor(net, epochs=60).fit(X, y)
    assert reg.model_.target_scaling is None
    assert reg.score(X, y) > 0.6


def test_a_weight_is_the_sample_given_so_many_times(regressor: Make, numbers: Any) -> None:
    X, y = numbers
    times = np.random.default_rng(2).integers(0, 3, 60)
    reg = regressor(validation=None, batch_size=200)
    weighted = reg.fit(X, y, sample_weight=times).predict(X)
    repeated = reg.fit(X.repeat(times, axis=0), y.repeat(times)).predict(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-9)


def test_parameters_of_training_reach_it(regressor: Make, numbers: Any) -> None:
    X, y = numbers
    plain = regressor(validation=None).fit(X, y)
    theta = {}
    for given in (
        {"dropout": 0.5},
        {"input_dropout": 0.5},
        {"clip": 0.01},
        {"clip_value": 0.01},
        {"l1": 0.1},
        {"l2": {"input weights": 0.1}},
        {"constraints": {"weights": (-0.1, 0.1)}},
        {"schedule": "cosine"},
        {"optimizer": "sgd"},
        {"batch_size": 7},
        {"learning_rate": None},
        {"seed": 4},
    ):
        reg = regressor(validation=None, **given).fit(X, y)
        theta[str(given)] = reg.model_.network.columns.weights.tobytes()
    assert len({plain.model_.network.columns.weights.tobytes(), *theta.values()}) == len(theta) + 1
    bounded = regressor(constraints={"weights": (-0.1, 0.1)}).fit(X, y)
    assert np.abs(bounded.model_.network.columns.weights).max() <= 0.1
    assert regressor(metrics=["rmse"]).fit(X, y).history_["val_rmse"].shape == (15,)


def test_patience_ends_training_and_keeps_the_best_epoch(regressor: Make, numbers: Any) -> None:
    X, y = numbers
    y = np.random.default_rng(5).permutation(y)  # nothing can be learnt
    reg = regressor(epochs=200, patience=3).fit(X, y)
    assert reg.history_.reason == "early stopping"
    assert len(reg.history_) == reg.history_.best_epoch + 3
    whole = regressor(epochs=reg.history_.best_epoch, patience=None).fit(X, y)
    assert whole.predict(X).tolist() == reg.predict(X).tolist()


def test_an_interrupted_fit_keeps_what_it_has_and_says_so(regressor: Make, numbers: Any) -> None:
    """Were it swallowed, a search would go on with the next candidate."""
    calls = []

    def stopping(y: Any, t: Any) -> Any:
        calls.append(1)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return 0.5 * (y - t) * (y - t)

    reg = regressor(loss=fg.Loss("stopping", stopping, lambda y, t: y - t))
    with pytest.raises(KeyboardInterrupt):
        reg.fit(*numbers)
    assert reg.history_.reason == "interrupted"
    assert reg.predict(numbers[0]).shape == (60,)


def test_what_does_not_fit_is_refused(regressor: Make, numbers: Any, refused: Refused) -> None:
    X, y = numbers
    with refused(ShapeError, "outputs of the graph: 2", "asks for 1"):
        regressor(lambda i, o: fg.topologies.layered([i, 2])).fit(X, y)
    with refused(DataError, "poisson", "0 or more"):
        regressor(loss="poisson").fit(X, -y)
    with refused(ConfigError, "gave 3"):
        regressor(lambda i, o: 3).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        regressor().fit(np.where(X > 1, np.nan, X), y)
