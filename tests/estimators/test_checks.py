"""scikit-learn's own checks of estimators: all pass, but for those that are listed here, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import flowgrad as fg
from flowgrad.sklearn import GraphClassifier, GraphRegressor

WEIGHTS = "held-out samples are drawn at random: copies of one may be on both sides, and a weighted one is on one"
CLASSES = "class_weight acts on training alone: the held-out loss, which ends training, is not weighted by class"


@dataclass(frozen=True)
class Layers:
    """A callable whose repr is the same in every process, for the names of tests."""

    hidden: tuple[int, ...]

    def __call__(self, inputs: int, outputs: int) -> fg.Network:
        return fg.topologies.layered([inputs, *self.hidden, outputs])


def expected(estimator: Any) -> dict[str, str]:
    """Checks that cannot pass, with the reason; none where every sample is trained on."""
    if estimator.validation is None:
        return {}
    failing = {"check_sample_weight_equivalence_on_dense_data": WEIGHTS}
    return failing | ({"check_class_weight_classifiers": CLASSES} if isinstance(estimator, GraphClassifier) else {})


def estimators(*cases: tuple[type, Layers | None, float | None]) -> list[Any]:
    return [make(graph, epochs=40, validation=validation) for make, graph, validation in cases]


LAYERS = Layers((8, 6))
FIRST = [(GraphClassifier, None, 0.2), (GraphRegressor, LAYERS, None)]  # each value of each option
REST = [case for case in product((GraphClassifier, GraphRegressor), (None, LAYERS), (0.2, None)) if case not in FIRST]


@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks raise warnings on purpose, and look at those that matter
@parametrize_with_checks(estimators(*FIRST), expected_failed_checks=expected)
def test_scikit_learn_accepts_it(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(estimators(*REST), expected_failed_checks=expected)
def test_scikit_learn_accepts_every_combination(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
