"""Training that goes on: partial_fit is one training in pieces, warm_start another from where the last ended."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError
from flowgrad.sklearn import GraphClassifier, GraphRegressor

Refused = Callable[..., Any]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "adagrad", fg.optimizers.SGD(momentum=0.9)])
@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_calls_of_partial_fit_are_one_training(regressor: Any, numbers: Any, optimizer: Any, schedule: Any) -> None:
    """All samples in one batch, so that their order is no matter; also through a pickle between two calls."""
    X, y = numbers
    given = {"optimizer": optimizer, "schedule": schedule, "learning_rate": 0.02, "l2": 0.01, "epochs": 8}
    whole = regressor(validation=None, **given).fit(X, y)
    part = regressor(**given)
    for _ in range(8):
        part = pickle.loads(pickle.dumps(part.partial_fit(X, y)))
    np.testing.assert_allclose(part.predict(X), whole.predict(X), rtol=1e-9)
    np.testing.assert_allclose(part.history_["loss"], whole.history_["loss"], rtol=1e-7)
    assert part.history_["epoch"].tolist() == list(range(1, 9))


def test_the_first_call_fixes_classes_and_scaling(classifier: Any, kinds: Any, refused: Refused) -> None:
    X, y = kinds
    clf = classifier()
    with refused(DataError, "classes"):
        clf.partial_fit(X, y)
    clf.partial_fit(X[:20], y[:20], classes=["cedar", "birch", "ash"])  # of one class alone
    scaling = clf.model_.scaling
    for _ in range(40):
        clf.partial_fit(X, y)
    assert clf.model_.scaling is scaling
    assert clf.score(X, y) > 0.9
    with refused(DataError, "'elm'", "ash, birch, cedar"):
        clf.partial_fit(X, np.where(y == "ash", "elm", y))
    with refused(DataError, "one class a sample"):
        clf.partial_fit(X, np.stack([y == "ash", y == "birch"], axis=1).astype(int))
    with refused(ConfigError, "'balanced'", "partial_fit"):
        clf.set_params(class_weight="balanced").partial_fit(X, y)
    clf.set_params(class_weight={"ash": 2.0}).partial_fit(X, y)


def test_labels_need_no_classes(classifier: Any, kinds: Any) -> None:
    X, y = kinds
    Y = np.stack([y == "ash", y != "birch"], axis=1).astype(int)
    assert classifier().partial_fit(X, Y).predict_proba(X).shape == (60, 2)


def test_every_call_draws_anew(regressor: Any, numbers: Any) -> None:
    """The same dropout in every call would train a part of the network only; the same calls are the same training."""
    X, y = numbers
    draws = {"dropout": 0.5, "batch_size": 7}
    one, two = regressor(**draws), regressor(**draws)
    for _ in range(3):
        one.partial_fit(X, y)
        two.partial_fit(X, y)
    assert one.predict(X).tolist() == two.predict(X).tolist()
    seeds = []
    sgd = regressor(optimizer="sgd", learning_rate=1e-12, dropout=0.5)  # θ stands still: losses tell the draws apart
    for _ in range(3):
        seeds.append(sgd.partial_fit(X, y).history_["loss"][-1])
    assert len(set(np.round(seeds, 6))) == 3


def test_signs_stay_those_of_the_first_call(regressor: Any, numbers: Any) -> None:
    """A weight that a bound has brought to 0 has no sign of its own any more."""
    X, y = numbers
    reg = regressor(constraints={"weights": "sign"}, learning_rate=0.5, optimizer="sgd", batch_size=5)
    start = np.sign(fg.topologies.layered([3, 3, 1]).columns.weights)
    for _ in range(20):
        reg.partial_fit(X, y)
    weights = reg.model_.network.columns.weights
    assert (weights == 0).any()
    assert (np.sign(weights) * start >= 0).all()


def test_fit_begins_anew_and_partial_fit_goes_on_behind_it(regressor: Any, numbers: Any) -> None:
    X, y = numbers
    reg = regressor()
    first = reg.partial_fit(X, y).fit(X, y).predict(X)
    assert first.tolist() == regressor().fit(X, y).predict(X).tolist()
    more = reg.partial_fit(X, y)
    assert more.predict(X).tolist() != first.tolist()
    assert len(more.history_) == 1


def test_another_optimizer_begins_anew(regressor: Any, numbers: Any) -> None:
    X, y = numbers
    reg = regressor(optimizer="adam").partial_fit(X, y)
    assert np.isfinite(reg.set_params(optimizer="sgd").partial_fit(X, y).predict(X)).all()

    class Bare:
        name, summary, learning_rate = "bare", "keeps nothing", 0.1

        def start(self, theta: Any, decays: Any) -> Any:
            return lambda theta, gradient, rate: None

    with pytest.raises(ConfigError, match="bare has no `state`"):
        regressor(optimizer=Bare()).partial_fit(X, y)


@pytest.mark.parametrize("make", [GraphClassifier, GraphRegressor])
def test_warm_start_goes_on_from_the_last_fit(make: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    y = (X[:, 0] > 0).astype(int)
    given = {"executor": "python", "validation": None, "optimizer": "sgd", "learning_rate": 0.1, "graph": None}
    twice = make(epochs=3, warm_start=True, **given).fit(X, y).fit(X, y)
    whole = make(epochs=6, **given).fit(X, y)  # sgd has no state, and one batch has all samples
    np.testing.assert_allclose(twice.model_.predict(X[:5]), whole.model_.predict(X[:5]), rtol=1e-9)
    moved = twice.fit(X + 100.0, y)
    np.testing.assert_allclose(moved.model_.scaling.mean, X.mean(axis=0), rtol=1e-9)
    cold = make(epochs=3, **given).fit(X, y).fit(X, y)
    np.testing.assert_allclose(cold.model_.predict(X), make(epochs=3, **given).fit(X, y).model_.predict(X), rtol=1e-12)


def test_warm_start_holds_to_the_classes_of_the_first_fit(classifier: Any, kinds: Any, refused: Refused) -> None:
    X, y = kinds
    clf = classifier(warm_start=True).fit(X, y)
    assert clf.fit(X[:40], y[:40]).classes_.tolist() == ["ash", "birch", "cedar"]
    with refused(DataError, "'elm'"):
        clf.fit(X, np.where(y == "ash", "elm", y))
