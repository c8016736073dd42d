"""Classes: text, two on one output or two, many, labels; weights of samples and classes; what is handed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, ShapeError, UnknownNameError
from flowgrad.folds import held_out
from flowgrad.sklearn import GraphClassifier

Make = Callable[..., GraphClassifier]
Refused = Callable[..., Any]


@pytest.mark.parametrize("words", [["b", "a"], [True, False], [7, -2], [2.0, -1.0], ["z", "m", "a"]])
def test_classes_of_any_kind_are_predicted_and_saved_as_they_are(
    classifier: Make, kinds: Any, words: list[Any], tmp_path: Path
) -> None:
    X, y = kinds[0][: 20 * len(words)], np.repeat(words, 20)
    clf = classifier().fit(X, y)
    assert clf.classes_.tolist() == sorted(words)
    assert clf.score(X, y) > 0.9
    assert clf.predict(X).dtype == y.dtype
    clf.model_.save(tmp_path / "kinds.fgm")
    again = fg.load_model(tmp_path / "kinds.fgm")
    assert again.predict(X).tolist() == clf.predict(X).tolist()
    np.testing.assert_allclose(again.predict_proba(X), clf.predict_proba(X), rtol=1e-9)


def test_two_classes_stand_on_one_output_or_on_two(classifier: Make, kinds: Any) -> None:
    X, y = kinds[0][:40], kinds[1][:40]
    for outputs, loss in ((1, "binary_cross_entropy"), (2, "cross_entropy")):
        net = fg.topologies.layered([3, 3, outputs], seed=1)
        clf = classifier(None if outputs == 1 else net).fit(X, y)
        assert (len(clf.model_.network.outputs), clf.model_.loss) == (outputs, loss)
        assert clf.score(X, y) > 0.9


def test_a_single_output_is_that_of_the_class_that_it_is_called_as(classifier: Make, kinds: Any) -> None:
    X, y = kinds[0][:40], kinds[1][:40]  # birch is far along the first column
    for name, sign in (("ash", -1), ("birch", 1), ("tree", 1)):
        edges = [("a", "h"), ("b", "h"), ("c", "h"), ("h", name)]
        for given in ({}, {"class_weight": {"birch": 3.0}}, {"class_weight": "balanced"}):
            clf = classifier(edges, epochs=60, patience=None, **given).fit(X, y)
            assert clf.score(X, y) > 0.9
            assert clf.predict_proba(X)[:20].argmax(axis=1).mean() < 0.2
            assert clf.model_.predict(X).tolist() == clf.predict(X).tolist()
            found = clf.node_importance(X)
            assert np.sign(found.gradient[0, found.nodes.index("a")]) == sign
    less, more = (classifier(edges, class_weight={"birch": w}, epochs=5).fit(X, y).predict_proba(X) for w in (0.1, 10))
    assert (more[:, 1] > less[:, 1]).all()


def test_the_loss_may_ask_for_an_output_a_class(classifier: Make, kinds: Any) -> None:
    clf = classifier(None, loss="cross_entropy").fit(kinds[0][:40], kinds[1][:40])
    assert len(clf.model_.network.outputs) == 2


def test_probabilities_are_what_the_link_makes_of_the_outputs(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    clf = classifier().fit(X, y)
    logits = fg.compile(clf.model_.network, "python").predict((X - clf.model_.scaling.mean) / clf.model_.scaling.scale)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(clf.predict_proba(X), softmax, rtol=1e-12)
    two = classifier().fit(X[:40], y[:40])
    p = two.predict_proba(X)
    scaled = two.model_.scaling(X)
    logit = fg.compile(two.model_.network, "python").predict(scaled)[:, 0]
    np.testing.assert_allclose(p, np.stack([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))], axis=1), rtol=1e-12)


def test_outputs_that_are_called_as_classes_are_theirs_in_any_order(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    graph = nx.DiGraph([("a", "h"), ("b", "h"), ("c", "h"), *[("h", v) for v in ("cedar", "ash", "birch")]])
    graph.add_edges_from([("a", "birch"), ("b", "cedar")])
    clf = classifier(graph, epochs=60, standardize=True).fit(X, y)
    assert clf.model_.network.outputs == ("ash", "birch", "cedar")
    assert clf.score(X, y) > 0.9
    found = clf.node_importance(X)  # birch is far along the first column, which it alone reads directly
    assert found.gradient[found.outputs.index("birch"), found.nodes.index("a")] > 0


def test_labels_that_a_sample_may_have_at_once(classifier: Make, kinds: Any) -> None:
    X, _ = kinds
    Y = pd.DataFrame({"wide": X[:, 0] > 6.5, "tall": X[:, 1] > 150.0, "odd": X[:, 2] > 5.0}).astype(int)
    clf = classifier(epochs=60).fit(X, Y)
    p = clf.predict_proba(X)
    assert p.shape == (60, 3)
    assert not np.allclose(p.sum(axis=1), 1.0)
    assert clf.predict(X).tolist() == (p > 0.5).astype(int).tolist()
    assert (clf.predict(X) == Y.to_numpy()).mean() > 0.9
    assert clf.model_.targets == ("wide", "tall", "odd")
    assert clf.model_.network.outputs == ("wide", "tall", "odd")
    assert clf.classes_.tolist() == [0, 1, 2]


# ---- weights ----------------------------------------------------------------------------------------------------


def test_a_weight_is_the_sample_given_so_many_times(classifier: Make, kinds: Any) -> None:
    X, y = kinds[0][::2], kinds[1][::2]
    times = np.random.default_rng(2).integers(0, 3, len(X))
    clf = classifier(validation=None, batch_size=200)
    weighted = clf.fit(X, y, sample_weight=times).predict_proba(X)
    repeated = clf.fit(X.repeat(times, axis=0), y.repeat(times)).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-7, atol=1e-9)


def test_a_sample_of_weight_0_is_left_out_whatever_its_class(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    there = y != "cedar"
    left_out = classifier().fit(X, y, sample_weight=there.astype(float))
    without = classifier().fit(X[there], y[there])
    assert left_out.classes_.tolist() == ["ash", "birch"]
    assert left_out.predict_proba(X).tolist() == without.predict_proba(X).tolist()


def test_class_weights_multiply_those_of_samples(classifier: Make, kinds: Any) -> None:
    X, y = kinds[0][:50] / [1.0, 100.0, 0.01], kinds[1][:50]  # ten of cedar; weights of samples would move the scaling
    by_class = {"ash": 50 / 60, "birch": 50 / 60, "cedar": 50 / 30}
    options = {"standardize": False, "validation": None}
    one = classifier(class_weight="balanced", **options).fit(X, y).predict_proba(X)
    other = classifier(class_weight=by_class, **options).fit(X, y).predict_proba(X)
    by_sample = classifier(**options).fit(X, y, sample_weight=[by_class[each] for each in y]).predict_proba(X)
    np.testing.assert_allclose(other, one, rtol=1e-9)
    np.testing.assert_allclose(by_sample, one, rtol=1e-9)
    assert not np.allclose(classifier(**options).fit(X, y).predict_proba(X), one)


def test_class_weights_leave_held_out_samples_alone(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    clf = classifier(class_weight={"ash": 10.0}, epochs=1).fit(X, y)
    k = np.searchsorted(clf.classes_, y)
    held = held_out(60, 0.2, np.random.default_rng(0), k)
    p = clf.predict_proba(X)[np.arange(60), k]
    np.testing.assert_allclose(clf.history_["val_loss"][0], -np.log(p[held]).mean(), rtol=1e-9)


def test_samples_are_held_out_by_class_and_never_all_of_one(classifier: Make, kinds: Any) -> None:
    """The scaling is that of the samples that train, so it tells which these are."""
    X, y = kinds
    for seed in range(5):
        clf = classifier(validation=0.25, seed=seed, epochs=1).fit(X, y)
        held = held_out(60, 0.25, np.random.default_rng(seed), y)
        assert [int(held[y == name].sum()) for name in clf.classes_] == [5, 5, 5]
        np.testing.assert_allclose(clf.model_.scaling.mean, X[~held].mean(axis=0), rtol=1e-12)
    rare = np.where(np.arange(60) == 7, "rare", y)
    for seed in range(8):
        clf = classifier(validation=0.5, seed=seed, epochs=1).fit(np.where(rare == "rare", 1e6, 0.0)[:, None] + X, rare)
        assert clf.model_.scaling.mean.min() > 1e4, "the one sample of its class trains"


def test_label_smoothing_keeps_probabilities_from_the_ends(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    sure, less = (classifier(label_smoothing=e, epochs=80, validation=None).fit(X, y) for e in (0.0, 0.3))
    assert sure.predict_proba(X).max() > 0.99 > 0.9 > less.predict_proba(X).max()


# ---- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"class_weight": {"assh": 2.0}}, UnknownNameError, ("'assh'", "'ash'")),
        ({"class_weight": "balance"}, ConfigError, ("'balance'", "'balanced'")),
        ({"loss": "squared_error"}, ConfigError, ("squared_error", "cross_entropy")),
        ({"loss": "cros_entropy"}, UnknownNameError, ("'cross_entropy'",)),
        (
            {"graph": lambda i, o: fg.topologies.layered([i, o + 1])},
            ShapeError,
            ("outputs of the graph: 4", "asks for 3"),
        ),
        (
            {"graph": lambda i, o: fg.topologies.layered([i + 1, o])},
            ShapeError,
            ("inputs of the graph: 4", "columns of X: 3"),
        ),
        ({"validation": 1.5}, ConfigError, ("validation=1.5",)),
        ({"label_smoothing": 1.0}, ConfigError, ("label_smoothing=1.0",)),
        ({"standardize": "yes"}, ConfigError, ("standardize='yes'",)),
        ({"seed": None}, ConfigError, ("seed=None",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_wrong_parameter_is_named(
    classifier: Make, kinds: Any, refused: Refused, given: Any, error: Any, words: Any
) -> None:
    with refused(error, *words):
        classifier(**given).fit(*kinds)


def test_classes_that_are_none_are_refused(classifier: Make, kinds: Any, refused: Refused) -> None:
    X, y = kinds
    with refused(DataError, "one class", "ash"):
        classifier().fit(X, ["ash"] * 60)
    with refused(DataError, "one class", "ash"):
        classifier().fit(X, y, sample_weight=(y == "ash").astype(float))
    with refused(DataError, "2 columns", "labels"):
        classifier().fit(X, np.stack([np.arange(60) % 3, np.arange(60) % 4], axis=1))
    with refused(ConfigError, "cross_entropy", "each label"):
        classifier(loss="cross_entropy").fit(X, np.stack([y == "ash", y == "birch"], axis=1).astype(int))
    with refused(DataError, "2 samples", "validation=None"):
        classifier().fit(X[[0, 20]], y[[0, 20]])
    with refused(DataError, "zero"):
        classifier().fit(X, y, sample_weight=np.zeros(60))
    with refused(DataError, "-1.0", "sample 3"):
        classifier().fit(X, y, sample_weight=np.where(np.arange(60) == 3, -1.0, 1.0))


def test_a_fit_that_fails_leaves_nothing_half_fitted(classifier: Make, kinds: Any) -> None:
    from sklearn.exceptions import NotFittedError

    X, y = kinds
    clf = classifier().fit(X, y)
    with pytest.raises(DataError):
        clf.fit(X[:, :2], ["one"] * 60)
    with pytest.raises(NotFittedError):
        clf.predict(X)


@pytest.mark.parametrize("later", [[1, 2], [0, 1, 2], [0], ["0", "1"], [], 5, [[0, 1]], [None, 1]], ids=repr)
def test_classes_of_partial_fit_stay_as_the_first_call_has_them(classifier: Any, later: Any) -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.repeat([0, 1], 10)
    clf = classifier()
    clf.partial_fit(X, y, classes=[1, 0])
    before = clf.model_.network.columns.weights.copy()
    with pytest.raises(ValueError, match=r"classes=.*(since the first call|every class that will come)"):
        clf.partial_fit(X, y, classes=later)
    assert (clf.model_.network.columns.weights == before).all()
    for same in ([0, 1], np.array([1, 0]), (0, 1), None):
        clf.partial_fit(X, y, classes=same)
    assert clf.classes_.tolist() == [0, 1]


def test_classes_of_labels_are_their_numbers(classifier: Any) -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.repeat([[0, 1], [1, 1]], 10, axis=0)
    with pytest.raises(DataError, match="since the first call"):
        classifier().partial_fit(X, y, classes=[0, 1, 2])
    clf = classifier()
    clf.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(DataError, match="since the first call"):
        clf.partial_fit(X, y, classes=[1, 2])


@pytest.mark.parametrize("first", [[], [0], 5, [None, 1], [[0], [1, 2]]], ids=repr)
def test_the_first_classes_are_two_or_more_of_one_kind(classifier: Any, first: Any) -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.repeat([0, 1], 10)
    with pytest.raises(DataError, match=r"^classes"):
        classifier().partial_fit(X, y, classes=first)
