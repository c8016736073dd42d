"""Samples for estimators, and estimators that are quick: ten neurons on the Python executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.sklearn import GraphClassifier, GraphRegressor

QUICK: dict[str, Any] = {"executor": "python", "epochs": 15, "learning_rate": 0.05}
Data = tuple[np.ndarray, np.ndarray]


def small(inputs: int, outputs: int) -> fg.Network:
    return fg.topologies.layered([inputs, 3, outputs])


@pytest.fixture
def classifier() -> Callable[..., GraphClassifier]:
    """classifier(graph, …): a GraphClassifier that trains in milliseconds."""
    return lambda graph=small, **given: GraphClassifier(graph, **QUICK | given)


@pytest.fixture
def regressor() -> Callable[..., GraphRegressor]:
    """The same of GraphRegressor."""
    return lambda graph=small, **given: GraphRegressor(graph, **QUICK | given)


@pytest.fixture
def kinds() -> Data:
    """X (60, 3) on three scales, and classes as text, 20 of each."""
    rng = np.random.default_rng(0)
    y = np.repeat(["ash", "birch", "cedar"], 20)
    centres = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 3.0, 0.0]]).repeat(20, axis=0)
    return (centres + rng.normal(0.0, 0.5, (60, 3))) * [1.0, 100.0, 0.01] + 5.0, y


@pytest.fixture
def numbers() -> Data:
    """X (60, 3), and y (60,), a linear function of X far from 0."""
    X = np.random.default_rng(1).normal(size=(60, 3))
    return X, 1000.0 + X @ [50.0, -20.0, 5.0]
