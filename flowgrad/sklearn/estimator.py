"""Define the base of both estimators: parameters, columns by name, and training from samples to a `Model`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from flowgrad.arguments import flag, real, whole
from flowgrad.batch import weights_of_samples
from flowgrad.errors import DataError
from flowgrad.fitting.slots import bounds
from flowgrad.folds import held_out
from flowgrad.history import History
from flowgrad.inspection.importance import Importance, node_importance
from flowgrad.metrics import Metric
from flowgrad.model import Model, column_names
from flowgrad.network import Network
from flowgrad.optimizer import Optimizer
from flowgrad.program import Program, compile
from flowgrad.registry import find
from flowgrad.scaling import Scaling
from flowgrad.schedules import schedule_for
from flowgrad.sklearn.frames import chosen, eager, names_of, numeric
from flowgrad.sklearn.graphs import fit_to, given, in_order, sized, sized_by_data
from flowgrad.sklearn.steps import Continued, Pairs, fixed
from flowgrad.training import fit

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
PASSED = (
    *("learning_rate", "batch_size", "metrics", "l1", "l2", "clip", "clip_value", "dropout", "input_dropout"),
    "progress",
)
"""Parameters that go to `fit` as they are."""


class GraphEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Implement what both estimators share: parameters, columns by name, training and predictions."""

    model_: Model
    history_: History
    n_features_in_: int
    _before: Continued | None
    _bounds: Pairs | None
    _calls: int
    _picks: bool
    _compiled: Program | None

    def __init__(
        self,
        graph: Any = None,
        *,
        activation: Any = "tanh",
        initializer: Any = None,
        standardize: bool = True,
        epochs: int = 200,
        validation: float | None = 0.2,
        patience: int | None = 20,
        loss: Any = None,
        optimizer: str | Optimizer = "adam",
        learning_rate: float | None = 0.01,
        batch_size: int = 64,
        schedule: Any = None,
        l1: Any = 0.0,
        l2: Any = 0.0,
        clip: float | None = None,
        clip_value: float | None = None,
        constraints: Any = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        metrics: Iterable[str | Metric] = (),
        warm_start: bool = False,
        executor: str = "auto",
        dtype: str = "float64",
        progress: bool = False,
        seed: int = 0,
    ) -> None:
        self.graph = graph
        self.activation = activation
        self.initializer = initializer
        self.standardize = standardize
        self.epochs = epochs
        self.validation = validation
        self.patience = patience
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.l1 = l1
        self.l2 = l2
        self.clip = clip
        self.clip_value = clip_value
        self.constraints = constraints
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.metrics = metrics
        self.warm_start = warm_start
        self.executor = executor
        self.dtype = dtype
        self.progress = progress
        self.seed = seed

    def node_importance(self, X: Any, **options: Any) -> Importance:
        """Compute the importance of every neuron for the outputs, over raw (unscaled) samples X.

        Gradients are taken with respect to the scaled columns, that is per standard deviation, which makes inputs
        comparable.

        Args:
            X: numbers of shape (N, I), an array or a data frame, as for `predict`.
            options: keyword arguments of `flowgrad.inspection.node_importance`: outputs, classes, integrated, …

        Raises:
            NotFittedError: `fit` was not called before. ValueError: as `predict`. Otherwise as
                `flowgrad.inspection.node_importance`.
        """
        X = self._measured(X)
        return node_importance(self._program(), self.model_.scaled(X), **options)

    # ---- what the two estimators define ----------------------------------------------------------------------

    def _strata(self, y: Array) -> Array | None:
        """Return the stratum of each sample, integers (N,) from 0; None if samples are held out without strata."""
        raise NotImplementedError

    def _begun(self, net: Network | None, X: Array, y: Array, s: Array | None, **known: Any) -> Model:
        """Make the model that training starts from, given the training samples X, y and their weights s.

        Args:
            net: the network; None if its size depends on the data.
            known: `targets`, the names of y's columns, or None; and `classes` if `partial_fit` was called.
        """
        raise NotImplementedError

    def _encoded(self, model: Model, y: Array) -> Array:
        """Encode y for the loss: targets (N, O), or class indices (N,)."""
        raise NotImplementedError

    def _of_classes(self, model: Model, partial: bool) -> dict[str, Any]:
        """Return the arguments of `fit` that concern classes."""
        return {}

    # ---- training -------------------------------------------------------------------------------------------

    def _learn(self, X: Any, y: Any, sample_weight: Any, partial: bool, **known: Any) -> None:
        """Train on X (N, I) and y (N,) or (N, O): a new model, or, if `partial` or warm_start, the present one."""
        going_on = partial or flag("warm_start", self.warm_start)
        model = self.model_ if going_on and self.__sklearn_is_fitted__() else None
        net = None
        if model is None and self.__sklearn_is_fitted__():
            del self.model_  # if this fit fails, the estimator is not fitted
        if model is None and not sized_by_data(self.graph):
            net = given(self.graph, self.activation, whole("seed", self.seed, 0), self.initializer)
        eager("y", y)
        known["targets"] = names_of(y, "y")
        X, y = self._checked(X, y, model is None, net)
        X, y, s = _counting(X, y, sample_weight)
        share = None if partial else self.validation
        held = _held(len(X), share, whole("seed", self.seed, 0), self._strata(y))
        train = ~held if held.any() else slice(None)
        if model is None:
            model = self._begun(net, X[train], y[train], None if s is None else s[train], **known)
        T = self._encoded(model, y)
        program = compile(model.network, self.executor, self.dtype, loss=model.loss)
        options = {name: getattr(self, name) for name in PASSED} | self._of_classes(model, partial)
        scaled = [each for each in (model.scaled(X), T, s) if each is not None]
        kept, rest = (tuple(each[rows] for each in scaled) for rows in (train, held))
        options |= {"sample_weight": kept[2]} if s is not None else {}
        if partial:
            self.history_ = self._one_epoch(program, kept[0], kept[1], options)
        else:
            self.history_ = self._all_epochs(program, kept[0], kept[1], rest if held.any() else None, options)
        self.model_, self._compiled = replace(model, network=program.network()), program
        if self.history_.reason == "interrupted":
            raise KeyboardInterrupt

    def _all_epochs(self, program: Program, X: Array, T: Array, rest: Any, options: dict[str, Any]) -> History:
        """Train for `epochs`, or until the loss on held-out samples `rest`, (X, T) or (X, T, s), stops falling."""
        self._forget_calls()
        patience = None if rest is None else self.patience
        options |= {"optimizer": self.optimizer, "schedule": self.schedule, "constraints": self.constraints}
        return fit(program, X, T, validation=rest, patience=patience, epochs=self.epochs, seed=self.seed, **options)

    def _one_epoch(self, program: Program, X: Array, T: Array, options: dict[str, Any]) -> History:
        """Train for one more epoch: optimizer, schedule and constraints continue; batches and dropout are redrawn."""
        if not self.__sklearn_is_fitted__():
            self._forget_calls()
        if not self._calls:
            self._bounds = fixed(bounds(program, self.constraints))
        factor, number = schedule_for(self.schedule, whole("epochs", self.epochs, 1)), self._calls + 1
        seed = int(np.random.SeedSequence([whole("seed", self.seed, 0), self._calls]).generate_state(1)[0])
        optimizer = Continued(self.optimizer, self._before)
        options |= {"optimizer": optimizer, "constraints": self._bounds}
        options |= {"schedule": lambda _: factor(min(number, self.epochs))}
        history = fit(program, X, T, epochs=1, seed=seed, **options)
        before = self.history_.rows if self._calls else []
        history.rows[:] = [*before, *(row | {"epoch": number} for row in history.rows)]
        self._before, self._calls = optimizer, number
        return history

    def _forget_calls(self) -> None:
        """Reset the state of `partial_fit`, so that the next call is the first of a series."""
        self._before = None
        self._bounds = None
        self._calls = 0

    def _network(self, net: Network | None, X: Array, outputs: tuple[str, ...], meaning: str) -> Network:
        """Make the network of `graph` for these data, its inputs and outputs named or ordered as the columns are."""
        if net is None:
            seed = whole("seed", self.seed, 0)
            net = sized(self.graph, self._inputs(X, None), outputs, self.activation, seed, self.initializer)
        fit_to(net, X.shape[1], len(outputs), meaning)
        return in_order(net, self._inputs(X, net), outputs)

    def _scaling(self, X: Array, s: Array | None) -> Scaling | None:
        return Scaling.of(X, s) if flag("standardize", self.standardize) else None

    # ---- columns --------------------------------------------------------------------------------------------

    def _checked(self, X: Any, y: Any, fresh: bool, net: Network | None) -> tuple[Array, Array]:
        """Validate X and y and convert them to arrays, X (N, I) float64 and y (N,) or (N, O)."""
        if fresh:
            self._picks = net is not None and all(isinstance(node, str) for node in net.inputs)
            X = chosen(X, column_names(net.inputs)) if net is not None and self._picks else X
        else:
            X = self._columns(X)
        X, y = validate_data(
            self, numeric(X), y, reset=fresh, dtype=np.float64, multi_output=True, y_numeric=is_regressor(self)
        )
        y = y.toarray() if hasattr(y, "toarray") else y
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _columns(self, X: Any) -> Any:
        """Reorder a frame's columns as in `fit`; extra columns are dropped if the graph names its inputs.

        A missing column, or otherwise an extra one, is left for scikit-learn to report as ValueError.
        """
        names, there = getattr(self, "feature_names_in_", None), names_of(X)
        if names is None or there is None:
            return X
        known = set(there)
        found = [name for name in names if name in known]
        return chosen(X, found) if self._picks or len(found) == len(there) else X

    def _measured(self, X: Any) -> Array:
        """Validate X and convert it to (N, I) float64, not scaled."""
        check_is_fitted(self)
        X = numeric(self._columns(X))
        return np.asarray(validate_data(self, X, reset=False, dtype=np.float64))

    def _inputs(self, X: Array, net: Network | None) -> tuple[str, ...]:
        """Name the columns of X: as in the frame, else as the network's inputs if all are text, else x0, x1, …"""
        if hasattr(self, "feature_names_in_"):
            return tuple(self.feature_names_in_.tolist())
        named = net is not None and all(isinstance(node, str) for node in net.inputs)
        return column_names(net.inputs) if net is not None and named else tuple(f"x{k}" for k in range(X.shape[1]))

    # ---- predicting -----------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """Compute the network's own outputs (N, O), on the scale of its targets, by the executor of training."""
        X = self._measured(X)
        return np.asarray(self._program().predict(self.model_.scaled(X)), np.float64)

    def _program(self) -> Program:
        if self._compiled is None:  # a copy, or an unpickled estimator
            self._compiled = compile(self.model_.network, self.executor, self.dtype, loss=self.model_.loss)
        return self._compiled

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return state | {"_compiled": None}

    def _html_repr(self) -> str:
        """Return scikit-learn's own HTML, followed by a picture of the network if there is one."""
        drawn = self.model_.network if self.__sklearn_is_fitted__() else self.graph
        picture = find("displays", "network")(drawn) if isinstance(drawn, Network) else ""
        return f"{super()._html_repr()}{picture}"


def _counting(X: Array, y: Array, sample_weight: Any) -> tuple[Array, Array, Array | None]:
    """Drop the samples of weight 0; returns X, y and weights (N,) of the rest.

    Raises:
        ShapeError, DataError: weights are not (N,), not finite, below 0, or all 0.
    """
    if sample_weight is not None and not np.any(np.asarray(sample_weight)):
        raise DataError("sample_weight is zero for every sample")
    weights = weights_of_samples(sample_weight, len(X))
    if weights is None:
        return X, y, None
    kept = slice(None) if weights.kept is None else weights.kept
    return X[kept], y[kept], weights.whole


def _held(n: int, validation: float | None, seed: int, strata: Array | None) -> Bools:
    """Draw the held-out samples, (n,) bool: the same share of each stratum, and never all of one.

    Raises:
        ConfigError: validation is no number above 0 and below 1. DataError: that leaves none on one side.
    """
    if validation is None:
        return np.zeros(n, np.bool_)
    share = real("validation", validation, 0, 1, open_low=True)
    try:
        held = held_out(n, share, np.random.default_rng(seed), strata)
    except DataError as error:
        raise DataError(f"{error}: validation=None trains on all of them") from None
    if strata is not None:
        trained = np.bincount(strata[~held], minlength=int(strata.max()) + 1) > 0
        held &= trained[strata]
        if not held.any():
            raise DataError("too few samples of each class to hold some out: validation=None trains on all of them")
    return held
