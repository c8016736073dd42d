"""Define GraphRegressor: regression by a network that is a graph."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from flowgrad.maths.activations import identity
from flowgrad.maths.losses import identity as as_it_is
from flowgrad.model import Model, predicted
from flowgrad.network import Network
from flowgrad.scaling import Scaling
from flowgrad.sklearn.estimator import Array, GraphEstimator


class GraphRegressor(RegressorMixin, GraphEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Predict numbers, one target or several, by a network that is a graph.

    Parameters and attributes are those of `GraphClassifier`, without those that concern classes; `loss` is
    "squared_error" where it is None. Targets are standardised with the inputs where the outputs are linear and predict
    the targets themselves: not under a loss of rates, such as "poisson". Several targets that have names are matched
    with outputs by name, where the outputs have these names, else in order.

    >>> X = [[0.0], [1.0], [2.0], [3.0]] * 5
    >>> reg = GraphRegressor(executor="python").fit(X, [1.0, 3.0, 5.0, 7.0] * 5)
    >>> [bool(abs(y - t) < 0.2) for y, t in zip(reg.predict([[1.0], [2.5]]), (3.0, 6.0))]
    [True, True]
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X (N, I), an array or a data frame, and numbers y (N,) or (N, O).

        Args:
            sample_weight: (N,), 0 or more; a sample of weight 0 is left out.

        Raises:
            DataError, ShapeError: the graph has other numbers of inputs or outputs; too few samples; a target outside
            the loss's domain.
            UnknownNameError: a frame lacks a column that the graph names.
            ConfigError, NonFiniteError: as `flowgrad.fit`. ValueError: what scikit-learn refuses, such as NaN.
        """
        self._learn(X, y, sample_weight, partial=False)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch, with the optimizer's state of the last call.

        The first call fixes the scaling; no samples are held out. Arguments and errors are those of `fit`.
        """
        self._learn(X, y, sample_weight, partial=True)
        return self

    def predict(self, X: Any) -> Array:
        """Give the targets (N,), or (N, O) of several, on the data's own scale, from X (N, I).

        Raises:
            NotFittedError: before `fit`. ValueError: other columns than those of `fit`, or NaN among them.
        """
        y = self._outputs(X)
        found = predicted(self.model_, y)
        return found[:, 0] if found.shape[1] == 1 else found

    # ---- training -------------------------------------------------------------------------------------------

    def _strata(self, y: Array) -> None:
        return None

    def _begun(self, net: Network | None, X: Array, y: Array, s: Array | None, **known: Any) -> Model:
        T = y.reshape(len(y), -1)
        names = known["targets"]
        numbered = ("y",) if T.shape[1] == 1 else tuple(f"y{k}" for k in range(T.shape[1]))
        made = self._network(net, X, numbered if names is None else names, "one a target")
        scaling = self._scaling(X, s)
        model = Model(made, self._inputs(X, made), names or (), scaling=scaling, loss=self.loss or "squared_error")
        c = made.columns
        linear = {c.activations[k].f for k in c.activation[c.outputs].tolist() if k >= 0} == {identity}
        if scaling is None or model.record.link is not as_it_is or not linear:
            return model
        return Model(
            made, model.inputs, model.targets, scaling=scaling, target_scaling=Scaling.of(T, s), loss=model.loss
        )

    def _encoded(self, model: Model, y: Array) -> Array:
        T = np.asarray(y, np.float64).reshape(len(y), -1)
        return T if model.target_scaling is None else model.target_scaling(T)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
