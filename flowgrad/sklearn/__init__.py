"""Provide scikit-learn estimators, `GraphClassifier` and `GraphRegressor`, built on `Model` and `fit`.

Raises:
    MissingDependencyError: scikit-learn or narwhals is not installed; the extra `sklearn` installs both.
"""

from __future__ import annotations

from flowgrad.errors import MissingDependencyError

try:
    from flowgrad.sklearn.classifier import GraphClassifier
    from flowgrad.sklearn.regressor import GraphRegressor
except ModuleNotFoundError as error:
    library = {"sklearn": "scikit-learn", "narwhals": "narwhals"}.get(str(error.name))
    if library is None:
        raise
    raise MissingDependencyError(library, "sklearn", "flowgrad.sklearn") from None

__all__ = ["GraphClassifier", "GraphRegressor"]
