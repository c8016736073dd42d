"""Samples that count differently: by their class, by a weight; and targets that are smoothed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, UnknownNameError

ONE_STEP: dict[str, Any] = {"epochs": 1, "batch_size": 100, "shuffle": False, "optimizer": "sgd", "learning_rate": 0.1}


def classes(outputs: int, executor: str = "python") -> tuple[fg.Program, np.ndarray, np.ndarray]:
    """A program of classes on so many outputs, X (12, 3), and the class of each sample: 8 of class 0."""
    loss = "cross_entropy" if outputs > 1 else "binary_cross_entropy"
    program = fg.compile(fg.topologies.layered([3, 4, outputs], seed=1), executor=executor, loss=loss)
    k = np.array([0] * 8 + ([1] * 3 + [2] if outputs == 3 else [1] * 4))
    return program, np.random.default_rng(2).normal(size=(12, 3)), k


def targets(k: np.ndarray, outputs: int) -> np.ndarray:
    return k if outputs > 1 else k[:, None].astype(float)


@pytest.mark.parametrize("outputs", [1, 3])
def test_class_weights_are_sample_weights_of_the_classes(outputs: int, executor: str) -> None:
    (one, X, k), (other, _, _) = classes(outputs, executor), classes(outputs, executor)
    factor, s = {0: 0.5, 1: 3.0}, np.linspace(0.5, 2.0, 12)
    a = fg.fit(one, X, targets(k, outputs), class_weight=factor, sample_weight=s, **ONE_STEP)
    b = fg.fit(other, X, targets(k, outputs), sample_weight=s * np.array([0.5, 3.0, 1.0])[k], **ONE_STEP)
    assert one.theta.tobytes() == other.theta.tobytes()
    assert a["loss"].tolist() == b["loss"].tolist()


@pytest.mark.parametrize("outputs", [1, 3])
def test_balanced_gives_every_class_the_same_mass(outputs: int) -> None:
    (one, X, k), (other, _, _) = classes(outputs), classes(outputs)
    count = np.bincount(k)
    balanced = len(k) / (len(count) * count)  # as scikit-learn reckons
    fg.fit(one, X, targets(k, outputs), class_weight="balanced", **ONE_STEP)
    fg.fit(other, X, targets(k, outputs), sample_weight=balanced[k], **ONE_STEP)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-13)


def test_balanced_counts_weights_and_leaves_empty_classes_out() -> None:
    (one, X, k), (other, _, _) = classes(3), classes(3)
    k, s = np.minimum(k, 1), np.linspace(0.5, 2.0, 12)  # nobody is of class 2
    mass = np.bincount(k, s)
    fg.fit(one, X, k, class_weight="balanced", sample_weight=s, **ONE_STEP)
    fg.fit(other, X, k, sample_weight=s * (s.sum() / (2 * mass))[k], **ONE_STEP)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-13)


def test_a_class_of_weight_0_is_left_out_and_validation_is_as_it_is() -> None:
    (one, X, k), (other, _, _) = classes(3), classes(3)
    there = k != 2
    held = (X, k)
    a = fg.fit(one, X, k, class_weight={2: 0.0}, validation=held, **ONE_STEP)
    b = fg.fit(other, X[there], k[there], validation=held, **ONE_STEP)
    assert one.theta.tobytes() == other.theta.tobytes()
    assert a["val_loss"].tolist() == b["val_loss"].tolist()


@pytest.mark.parametrize("outputs", [1, 3])
def test_smoothed_targets_are_mixed_with_the_uniform_ones(outputs: int, executor: str) -> None:
    (one, X, k), (other, _, _) = classes(outputs, executor), classes(outputs, executor)
    hot = np.eye(3)[k] if outputs == 3 else k[:, None].astype(float)
    mixed = 0.8 * hot + 0.2 / max(2, outputs)
    held = (X, targets(k, outputs))
    a = fg.fit(one, X, targets(k, outputs), label_smoothing=0.2, validation=held, **ONE_STEP)
    b = fg.fit(other, X, mixed, validation=held, **ONE_STEP)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-12)
    assert a["val_loss"][0] == pytest.approx(b["val_loss"][0], rel=1e-12)  # of the targets as they are


def test_smoothing_of_labels_that_go_together_and_of_shares() -> None:
    X, rng = np.random.default_rng(2).normal(size=(12, 3)), np.random.default_rng(3)
    shares = rng.dirichlet([1, 1, 1], 12) * 2.0  # counts: two a sample
    for loss, T, wanted in (
        ("binary_cross_entropy", (rng.random((12, 3)) > 0.5).astype(float), lambda T: 0.9 * T + 0.05),
        ("cross_entropy", shares, lambda T: 0.9 * T + 0.1 * 2.0 / 3.0),
    ):
        one, other = (fg.compile(fg.topologies.layered([3, 3], seed=1), executor="python", loss=loss) for _ in "ab")
        fg.fit(one, X, T, label_smoothing=0.1, **ONE_STEP)
        fg.fit(other, X, wanted(T), **ONE_STEP)
        np.testing.assert_allclose(one.theta, other.theta, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"class_weight": "balance"}, ConfigError, "give 'balanced', a mapping"),
        ({"class_weight": [1, 2, 3]}, ConfigError, "give 'balanced', a mapping"),
        ({"class_weight": {3: 1.0}}, UnknownNameError, "class 3: the classes are 0, 1, 2"),
        ({"class_weight": {"a": 1.0}}, UnknownNameError, "class 'a'"),
        ({"class_weight": {True: 1.0}}, UnknownNameError, "class True"),
        ({"class_weight": {1: -1.0}}, ConfigError, r"class_weight\[1\]=-1.0"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, DataError, "0 for every sample"),
        ({"label_smoothing": 1.0}, ConfigError, "label_smoothing=1.0"),
        ({"label_smoothing": -0.1}, ConfigError, "label_smoothing=-0.1"),
    ],
)
def test_what_is_no_weight_of_classes_is_named(given: dict[str, Any], error: type[Exception], said: str) -> None:
    program, X, k = classes(3)
    with pytest.raises(error, match=said):
        fg.fit(program, X, k, **given)


def test_targets_that_are_no_classes_are_refused() -> None:
    program, X, k = classes(3)
    soft = np.eye(3)[k]
    soft[5] = [0.5, 0.5, 0.0]
    s = np.ones(12)
    s[:2] = 0.0  # samples are numbered as they were given
    with pytest.raises(DataError, match="sample 5 are no one class"):
        fg.fit(program, X, soft, sample_weight=s, class_weight="balanced")
    for loss, said in (("squared_error", "targets of squared_error are none"), ("binary_cross_entropy", "its own")):
        program = fg.compile(fg.topologies.layered([3, 3], seed=1), executor="python", loss=loss)
        with pytest.raises(ConfigError, match=said):
            fg.fit(program, X, np.eye(3)[k], class_weight="balanced")
    with pytest.raises(ConfigError, match=r"label_smoothing=0.1: goes with classes"):
        fg.fit(fg.compile(fg.topologies.layered([3, 3], seed=1), "python", loss="squared_error"), X, np.eye(3)[k],
               label_smoothing=0.1)  # fmt: skip
