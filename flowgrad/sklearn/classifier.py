"""Define GraphClassifier: classification, by classes or labels, by a network that is a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from flowgrad.errors import ConfigError, DataError, UnknownNameError, brief, listing, suggest
from flowgrad.model import Model, predicted, probabilities
from flowgrad.network import Network
from flowgrad.sklearn.estimator import Array, GraphEstimator


class GraphClassifier(ClassifierMixin, GraphEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classify samples by a network that is a graph of neurons.

    Two classes need one output or two, K classes need K outputs, and L labels, several of which may apply to one
    sample, need L outputs. Outputs that have the names of the classes (or labels) are matched by name, others in the
    order of `classes_`. A single output gives the logit of `classes_[1]`, unless it has the name of the other class.

    Args:
        graph: a Network; an `nx.DiGraph`; an edge list (rows or a data frame); the path of a file; a callable
            (number of inputs, number of outputs) → Network; or None for one hidden layer of 32 neurons. In a graph of
            fixed size whose inputs all have text names, these select the columns of a data frame, and other columns
            are ignored; otherwise every column is an input.
        activation: activation of the hidden neurons for which the graph gives none: a name or an Activation.
        initializer: initializer of the weights that the graph does not give: a name (`flowgrad list initializers`), an
            Initializer, or None for the default of each activation. It does not apply to a Network, which has its own.
        standardize: whether each column of X is scaled to mean 0 and standard deviation 1.
        epochs: maximum number of epochs, an integer ≥ 1; `patience` may end training earlier.
        validation: fraction of each class that is held out for early stopping, above 0 and below 1; None trains on all
            samples.
        patience: number of epochs without a lower loss on the held-out samples after which training stops; the weights
            of the best epoch are kept. None runs all epochs; it has no effect if validation is None.
        class_weight: "balanced", or a mapping from class to the factor (≥ 0) of its samples' weights; None weights all
            classes by 1. It applies to training only, and to classes, not to labels.
        label_smoothing: ε, 0 ≤ ε < 1: targets become (1 − ε)·t + ε/K in training (K = 2 for a single output and for
            labels).
        loss: "binary_cross_entropy" or "cross_entropy". Default: the former for a single output and for labels, else
            the latter.
        optimizer, learning_rate, batch_size, schedule, l1, l2, clip, clip_value, constraints, dropout, input_dropout,
            metrics, progress: as for `flowgrad.fit`; learning_rate=None uses the optimizer's default.
        warm_start: whether `fit` continues from the weights, classes and scaling of the previous `fit`.
        executor, dtype: as for `flowgrad.compile`; used for training and predictions.
        seed: seed, an integer ≥ 0, of the weights that the graph does not give, the held-out samples, and the batches.

    Attributes:
        classes_: array (K,) of the classes, sorted; for L labels the integers 0 … L − 1.
        model_: the trained `Model`: network, columns, scaling and classes. `model_.save("x.fgm")` saves it.
        history_: the `History` of training, one row per epoch.
        n_features_in_, feature_names_in_: number and names of the columns that the network reads; the names exist only
            if X was a data frame whose column names are text.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]] * 5, ["low", "low", "high", "high"] * 5
    >>> clf = GraphClassifier(executor="python", epochs=40).fit(X, y)
    >>> clf.predict([[0.5], [2.5]]).tolist(), clf.score(X, y), clf.model_.predict([[0.5]]).tolist()
    (['low', 'high'], 1.0, ['low'])
    """

    classes_: npt.NDArray[Any]

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
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        loss: Any = None,
        optimizer: Any = "adam",
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
        metrics: Any = (),
        warm_start: bool = False,
        executor: str = "auto",
        dtype: str = "float64",
        progress: bool = False,
        seed: int = 0,
    ) -> None:
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        super().__init__(
            graph, activation=activation, initializer=initializer, standardize=standardize, epochs=epochs,
            validation=validation, patience=patience, loss=loss, optimizer=optimizer, learning_rate=learning_rate,
            batch_size=batch_size,
            schedule=schedule, l1=l1, l2=l2, clip=clip, clip_value=clip_value, constraints=constraints,
            dropout=dropout, input_dropout=input_dropout, metrics=metrics, warm_start=warm_start, executor=executor,
            dtype=dtype, progress=progress, seed=seed,
        )  # fmt: skip

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X and their classes y.

        Args:
            X: numbers of shape (N, I), an array or a data frame.
            y: (N,) classes of any kind, or (N, L) labels, each 0 or 1.
            sample_weight: (N,) weights, finite and ≥ 0; samples of weight 0 are removed. Default: 1 for all samples.

        Returns:
            The estimator itself.

        Raises:
            DataError, ShapeError: y has fewer than two classes; the numbers of inputs or outputs of the graph differ
                from those of the data; a column of X is not numeric; there are too few samples to hold some out.
            UnknownNameError: a data frame lacks a column that the graph names; class_weight names an unknown class.
            ConfigError, NonFiniteError: as `flowgrad.fit`. ValueError: scikit-learn's checks of X or y fail, as for
                NaN.
            KeyboardInterrupt: training was interrupted; the estimator keeps the weights reached so far.
        """
        self._learn(X, y, sample_weight, partial=False)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch, continuing with the optimizer's state of the previous call.

        The first call determines the classes and the scaling; no samples are held out.

        Args:
            X, y, sample_weight: as for `fit`.
            classes: (K,) every class that occurs in any call. The first call requires it, except for labels; later
                calls may repeat it.

        Returns:
            The estimator itself.

        Raises:
            DataError: `classes` is missing in the first call or differs from that of the first call, or y has a class
                that the first call did not list.
            ConfigError: class_weight is "balanced", which the samples of one call do not determine. Otherwise as `fit`.
        """
        if classes is not None and self.__sklearn_is_fitted__():
            _check_same(classes, self.classes_)
        self._learn(X, y, sample_weight, partial=True, classes=classes)
        return self

    def predict(self, X: Any) -> Array:
        """Predict the class of each sample, shape (N,), or its labels, integers 0 or 1 of shape (N, L), from X (N, I).

        A label is 1 if its probability is above 0.5.

        Raises:
            NotFittedError: `fit` was not called before. ValueError: X has other columns than in `fit`, or contains NaN.
        """
        found = self.predict_proba(X)
        return (found > 0.5).astype(int) if self._multilabel else self.classes_[found.argmax(axis=1)]

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Compute the probability of each class, (N, K) float64 in the order of `classes_`, or of each label, (N, L).

        Raises:
            NotFittedError, ValueError: as `predict`.
        """
        y = self._outputs(X)
        if self._multilabel:
            return predicted(self.model_, y)
        return probabilities(self.model_.record, y)[:, self._places(self.model_)]

    # ---- training -------------------------------------------------------------------------------------------

    def _strata(self, y: Array) -> Array:
        """Number the classes, or the combinations of labels; all combinations that only one sample has get number 0."""
        if not _is_multilabel(y):
            return np.unique(y, return_inverse=True)[1]
        _, which, count = np.unique(y, axis=0, return_inverse=True, return_counts=True)
        which = which.reshape(-1)
        return np.where(count[which] > 1, which + 1, 0)

    def _begun(self, net: Network | None, X: Array, y: Array, s: Array | None, **known: Any) -> Model:
        self._multilabel = _is_multilabel(y)
        if self._multilabel:
            return self._begun_with_labels(net, X, y, s, known["targets"], known.get("classes"))
        if "classes" in known and known["classes"] is None:
            raise DataError("the first call of partial_fit needs classes=[…], all that will come")
        found = _told(known["classes"]) if "classes" in known else np.unique(y)
        if len(found) < 2:
            whose, said = "classes" if "classes" in known else "y", listing(found.tolist())
            raise DataError(
                f"{whose} has {f'one class, {said}' if said else 'no class'}: a classifier needs two or more"
            )
        one = self.loss != "cross_entropy" if net is None else len(net.outputs) == 1
        single = len(found) == 2 and one
        outputs = tuple(map(str, found.tolist()))
        made = self._network(net, X, outputs[1:] if single else outputs, "one a class, of two classes one")
        classes = found.tolist()
        if single and made.outputs == (outputs[0],):
            classes.reverse()  # the output is called as the first class is, so its logit is that one's
        self.classes_ = found
        loss = self.loss or ("binary_cross_entropy" if single else "cross_entropy")
        (label,) = known["targets"] or ("class",)
        return Model(
            made,
            self._inputs(X, made),
            label=label,
            classes=tuple(classes),
            scaling=self._scaling(X, s),
            loss=loss,
        )

    def _begun_with_labels(
        self, net: Network | None, X: Array, y: Array, s: Array | None, names: tuple[str, ...] | None, classes: Any
    ) -> Model:
        self.classes_ = np.arange(y.shape[1])
        if classes is not None:
            _check_same(classes, self.classes_)
        outputs = names or tuple(map(str, self.classes_.tolist()))
        made = self._network(net, X, outputs, "one a label")
        loss = self.loss or "binary_cross_entropy"
        model = Model(made, self._inputs(X, made), names or (), scaling=self._scaling(X, s), loss=loss)
        if not model.record.logits or model.record.coupled:
            raise ConfigError(f"loss {model.record.name!r} gives no probability of each label: take None")
        return model

    def _encoded(self, model: Model, y: Array) -> Array:
        if _is_multilabel(y) != self._multilabel or (self._multilabel and y.shape[1] != len(self.classes_)):
            what = f"{len(self.classes_)} labels a sample" if self._multilabel else "one class a sample"
            raise DataError(f"y has another shape, {y.shape}, than in the first fit, which had {what}")
        if self._multilabel:
            return y.astype(np.float64)
        strange = np.setdiff1d(y, self.classes_)
        if len(strange):
            known = listing(self.classes_.tolist())
            raise DataError(
                f"y has class {brief(strange.tolist()[0])}, which the first fit has not seen: it had {known}"
            )
        k = self._places(model)[np.searchsorted(self.classes_, y)]
        return k if model.record.coupled else k[:, None].astype(np.float64)

    def _places(self, model: Model) -> npt.NDArray[np.intp]:
        """Find the index (K,) of each of `classes_` in the model's classes."""
        return np.array([model.classes.index(each) for each in self.classes_.tolist()])

    def _of_classes(self, model: Model, partial: bool) -> dict[str, Any]:
        given = self.class_weight
        if partial and isinstance(given, str):
            raise ConfigError(
                f"class_weight={brief(given)}: one call of partial_fit does not see all samples; give class → factor"
            )
        if isinstance(given, Mapping) and not self._multilabel:
            for each in given:
                if each not in model.classes:
                    raise UnknownNameError(f"class_weight has class {brief(each)}{suggest(each, model.classes)}")
            given = {model.classes.index(each): factor for each, factor in given.items()}
        return {"class_weight": given, "label_smoothing": self.label_smoothing}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _check_same(classes: Any, before: Array) -> None:
    """Raise DataError where classes differ from those of an earlier call, or from the labels of y."""
    if _told(classes).tolist() != before.tolist():
        raise DataError(f"classes={brief(classes)}: they are {brief(before.tolist())} since the first call")


def _told(classes: Any) -> Array:
    """Sort the classes that were given to `partial_fit`, and return them without duplicates, (K,).

    Raises:
        DataError: the argument is not a sequence of classes of one kind.
    """
    try:
        if np.ndim(classes) == 1:
            return np.unique(classes)
    except (TypeError, ValueError):  # None beside numbers; lists of several lengths
        pass
    raise DataError(f"classes={brief(classes)}: give every class that will come, (K,), all numbers or all text")


def _is_multilabel(y: Array) -> bool:
    """Return whether y holds labels.

    Raises:
        DataError: y has several columns that are not labels. ValueError: y holds continuous numbers.
    """
    check_classification_targets(y)
    if y.ndim == 1:
        return False
    if type_of_target(y) != "multilabel-indicator":
        raise DataError(f"y has {y.shape[1]} columns: give one of classes, or labels, each 0 or 1")
    return True
