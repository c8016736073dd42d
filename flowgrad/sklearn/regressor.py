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
    """Predict one or several numeric targets by a network that is a graph of neurons.

    Parameters and attributes are those of `GraphClassifier`, except class_weight, label_smoothing and classes_. The
    held-out samples are drawn from all samples alike, and `loss` defaults to "squared_error". If `standardize` is True,
    all outputs are linear and the loss compares them with the targets directly (not, as "poisson", through a link), the
    targets are standardised as well. Several targets that have names are matched with outputs by name if the outputs
    have these names, else in order.

    >>> X = [[0.0], [1.0], [2.0], [3.0]] * 5
    >>> reg = GraphRegressor(executor="python").fit(X, [1.0, 3.0, 5.0, 7.0] * 5)
    >>> [bool(abs(y - t) < 0.2) for y, t in zip(reg.predict([[1.0], [2.5]]), (3.0, 6.0))]
    [True, True]
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X and numeric targets y.

        Args:
            X: numbers of shape (N, I), an array or a data frame.
            y: numbers of shape (N,), or (N, O) for several targets.
            sample_weight: (N,) weights, finite and ≥ 0; samples of weight 0 are removed. Default: 1 for all samples.

        Returns:
            The estimator itself.

        Raises:
            DataError, ShapeError: the numbers of inputs or outputs of the graph differ from those of the data; a column
                of X is not numeric; there are too few samples to hold some out; a target is outside the loss's domain.
            UnknownNameError: a data frame lacks a column that the graph names.
            ConfigError, NonFiniteError: as `flowgrad.fit`. ValueError: scikit-learn's checks of X or y fail, as for
                NaN.
            KeyboardInterrupt: training was interrupted; the estimator keeps the weights reached so far.
        """
        self._learn(X, y, sample_weight, partial=False)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch, continuing with the optimizer's state of the previous call.

        The first call determines the scaling; no samples are held out. Arguments, return value and errors are those of
        `fit`.
        """
        self._learn(X, y, sample_weight, partial=True)
        return self

    def predict(self, X: Any) -> Array:
        """Predict the targets, (N,), or (N, O) for several, in the units of y, from X (N, I).

        Raises:
            NotFittedError: `fit` was not called before. ValueError: X has other columns than in `fit`, or contains NaN.
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
