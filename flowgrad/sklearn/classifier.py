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
    """Classify samples by a network that is a graph.

    Two classes take one output or two, K classes K outputs, L labels that a sample may have at once L outputs. Outputs
    that have the names of the classes (or labels) are matched by name, others in the order of `classes_`; a single
    output stands for `classes_[1]`, unless it has the name of the other class.

    Args:
        graph: a Network; an `nx.DiGraph`; an edge list, as rows or a frame; the path of a file; a callable (inputs,
            outputs) → Network, both being numbers; None is one hidden layer of 32 neurons. Where its inputs are text
            they name the columns of a data frame to read, and other columns are ignored; else every column is
            an input.
        activation: of hidden neurons, where the graph gives none.
        initializer: a name (`flowgrad list initializers`) or an Initializer for the weights that the graph does not
            give; None is that of each activation. A Network draws its weights by its own.
        standardize: scale each column to mean 0 and standard deviation 1.
        epochs: the maximum number of epochs; patience may end training earlier.
        validation: the share of each class that is held out for early stopping; None trains on all samples.
        patience: epochs without a lower held-out loss after which training stops and takes the best epoch's weights;
            None runs every epoch.
        class_weight: "balanced", or class → factor on the weights of its samples, in training alone.
        label_smoothing: ε: targets become (1 − ε)·t + ε/K, in training alone.
        loss: "binary_cross_entropy" or "cross_entropy"; None takes the one that fits.
        optimizer, learning_rate, batch_size, schedule, l1, l2, clip, clip_value, constraints, dropout, input_dropout,
            metrics, progress: as `flowgrad.fit`; learning_rate=None is the optimizer's own.
        warm_start: `fit` starts from the weights, classes and scaling of the last `fit`.
        executor, dtype: as `flowgrad.compile`, of training and predictions.
        seed: draws weights that the graph does not give, held-out samples, and batches.

    Attributes:
        classes_: (K,) the classes, sorted; 0 … L − 1 of labels.
        model_: the `Model`: network, columns, scaling and classes; `model_.save("x.fgm")` hands it on.
        history_: the `History`, a row an epoch.
        n_features_in_, feature_names_in_: number and names of the columns that the network reads.

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
            X: (N, I) numbers, an array or a data frame.
            y: (N,) classes of any kind, or (N, L) labels, 0 or 1.
            sample_weight: (N,), 0 or more; a sample of weight 0 is left out.

        Raises:
            DataError, ShapeError: y has one class; the graph has other numbers of inputs or outputs; too few samples.
            UnknownNameError: a frame lacks a column that the graph names; class_weight names an unknown class.
            ConfigError, NonFiniteError: as `flowgrad.fit`. ValueError: what scikit-learn refuses, such as NaN.
        """
        self._learn(X, y, sample_weight, partial=False)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch, with the optimizer's state of the last call.

        The first call fixes classes and scaling; no samples are held out.

        Args:
            X, y, sample_weight: as for `fit`.
            classes: (K,) every class of all calls; the first call needs it, except for labels, and later ones may
                repeat it.

        Raises:
            DataError: classes are missing or other than before, or y has one that the first call did not name.
            ConfigError: class_weight is "balanced", which one call's samples do not determine. Else as `fit`.
        """
        if classes is not None and self.__sklearn_is_fitted__():
            _check_same(classes, self.classes_)
        self._learn(X, y, sample_weight, partial=True, classes=classes)
        return self

    def predict(self, X: Any) -> Array:
        """Give the class of each sample (N,), or its labels (N, L), 0 or 1, from X (N, I).

        Raises:
            NotFittedError: before `fit`. ValueError: other columns than those of `fit`, or NaN among them.
        """
        found = self.predict_proba(X)
        return (found > 0.5).astype(int) if self._multilabel else self.classes_[found.argmax(axis=1)]

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Give the probability of each class (N, K) in the order of `classes_`, or of each label (N, L).

        Raises:
            NotFittedError, ValueError: as `predict`.
        """
        y = self._outputs(X)
        if self._multilabel:
            return predicted(self.model_, y)
        return probabilities(self.model_.record, y)[:, self._places(self.model_)]

    # ---- training -------------------------------------------------------------------------------------------

    def _strata(self, y: Array) -> Array:
        """Number the classes, or the combinations of labels, where all combinations of a single sample share 0."""
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
    """Sort the classes (K,) that were given to `partial_fit`.

    Raises:
        DataError: they are no sequence of classes of one kind.
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
        DataError: y has several columns of classes. ValueError: y holds numbers that are no classes.
    """
    check_classification_targets(y)
    if y.ndim == 1:
        return False
    if type_of_target(y) != "multilabel-indicator":
        raise DataError(f"y has {y.shape[1]} columns: give one of classes, or labels, each 0 or 1")
    return True
