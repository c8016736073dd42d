"""Cross-validation: for each fold, a model is trained on the other folds and evaluated on this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.arguments import instance, real, whole
from flowgrad.crossval.result import CrossValidation, Fold
from flowgrad.errors import ConfigError, DataError, ShapeError, brief
from flowgrad.executor import Array, Executor
from flowgrad.figures import metrics_of
from flowgrad.folds import folds_of, held_out
from flowgrad.inspection.controls import fresh
from flowgrad.inspection.jobs import Series, digest
from flowgrad.inspection.study import fingerprint
from flowgrad.metrics import Metric
from flowgrad.model import Model
from flowgrad.program import compile
from flowgrad.scaling import Scaling
from flowgrad.training import fit as train

__all__ = ["CrossValidation", "Fold", "cross_validate"]


@dataclass(frozen=True)
class _Trainer:
    """Arguments that all folds share: samples X (B, I), T (B, O) or (B,), and the settings of training."""

    model: Model
    X: Array
    T: Array
    folds: Array  # (R, B) the fold of each sample
    strata: Array | None
    groups: Array | None
    weights: Array | None
    standardize: bool
    standardize_targets: bool
    validation: float | tuple[Array, ...] | None
    compiled: Mapping[str, Any]
    fit: Mapping[str, Any]
    seed: int

    def run(self, kind: str, repeat: int, number: int, threads: int | None = None) -> Fold:
        """Train on the other folds and predict the samples of this one, which training and scaling do not use."""
        test = self.folds[repeat - 1] == number - 1
        seed = self.seed + (repeat - 1) * (int(self.folds.max()) + 1) + number - 1
        rest = np.flatnonzero(~test)
        kept, held = self._split(rest, seed)
        scaling = Scaling.of(self.X[kept]) if self.standardize else None
        targets = Scaling.of(self.T[kept]) if self.standardize_targets else None

        def scaled(X: Array, T: Array, *s: Array) -> tuple[Array, ...]:
            return X if scaling is None else scaling(X), T if targets is None else targets(T), *s

        options = dict(self.fit) | {"seed": seed, "validation": None if held is None else scaled(*held)}
        options |= {} if self.weights is None else {"sample_weight": self.weights[kept]}
        program = compile(fresh(self.model.network, seed), threads=threads, **self.compiled)
        history = train(program, *scaled(self.X[kept], self.T[kept]), **options)
        if history.reason == "interrupted":
            raise KeyboardInterrupt
        y = np.asarray(program.predict(scaled(self.X[test], self.T[test])[0]), np.float64)
        y = y if targets is None else targets.back(y)
        return Fold(
            repeat, number, np.flatnonzero(test), y, program.theta, _numbers(scaling, self.X), _numbers(targets, y),
            len(history.rows), float(history["loss"][-1]),
        )  # fmt: skip

    def _split(self, rest: Array, seed: int) -> tuple[Array, tuple[Array, ...] | None]:
        """Return the indices to train on, from `rest`, and data for early stopping: those given or a part of `rest`."""
        if not isinstance(self.validation, float):
            return rest, self.validation
        strata, groups = (None if each is None else each[rest] for each in (self.strata, self.groups))
        out = held_out(len(rest), self.validation, np.random.default_rng(seed), strata, groups)
        held = [each[rest[out]] for each in (self.X, self.T, self.weights) if each is not None]
        return rest[~out], tuple(held)

    def said(self) -> dict[str, Any]:
        """Return the values, by name, that must be equal in two cross-validations that use the same folder."""
        settings = [dict(self.compiled), dict(self.fit), self.standardize, self.standardize_targets, self.seed]
        given = [self.validation, self.groups, self.strata, *([] if self.weights is None else [self.weights])]
        return {
            "network": fingerprint(self.model.network),
            "samples": digest([self.X, self.T]),
            "settings": digest([settings, given]),
            "folds": int(self.folds.max()) + 1,
        }


def _numbers(scaling: Scaling | None, columns: Array) -> Array:
    return np.empty((0, columns.shape[1])) if scaling is None else np.stack([scaling.mean, scaling.scale])


def cross_validate(
    model: Model,
    X: Any,
    T: Any,
    *,
    folds: int = 5,
    repeats: int = 1,
    groups: Any = None,
    sample_weight: Any = None,
    stratify: bool | None = None,
    standardize: bool = True,
    standardize_targets: bool = False,
    validation: float | tuple[Any, ...] | None = None,
    metrics: Iterable[str | Metric] = (),
    fit: Mapping[str, Any] | None = None,
    seed: int = 0,
    executor: str | Executor = "auto",
    dtype: str = "float64",
    folder: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: bool = False,
    on_fold: Callable[[Fold], object] | None = None,
) -> CrossValidation:
    """Cross-validate a model: for each fold, train on the other folds and evaluate on this one.

    Every training starts from newly drawn weights and does not use the samples of its held-out fold: the scaling of
    columns and early stopping are computed from the other folds, or from the given validation data.

    Args:
        model: Model whose network, columns, classes and loss are used. Trainable weights are drawn anew and trainable
            biases are set to 0; frozen ones stay. A model without a loss is trained with squared_error.
        X: raw samples, as for `model.predict`: array of shape (B, I), or mapping or data frame by column name.
        T: class indices (B,) if the model has classes; else raw targets: array of shape (B, O), or mapping or data
            frame by target name.
        folds: number of folds, an integer ≥ 2.
        repeats: number of repetitions, an integer ≥ 1, each with another random partition into folds.
        groups: array of shape (B,) of labels of any kind. Samples of one group, such as those of one patient, are
            assigned to the same fold.
        sample_weight: array of shape (B,), finite and > 0, of weights in the losses of training and validation. Metrics
            do not use weights.
        stratify: whether all folds get the same proportion of each class, or, under losses of survival times, of
            censored samples. None: True if there are classes or survival times.
        standardize: whether inputs are scaled to mean 0 and variance 1 over the training samples.
        standardize_targets: whether targets are; not for classes.
        validation: data for early stopping: a fraction of the training folds, between 0 and 1, which is not trained on
            and is drawn with the same strata and groups; or data (X, T) or (X, T, sample_weight) for all folds.
        metrics: names or Metric records, in addition to accuracy and auc (with classes), concordance (survival times),
            or rmse and pearson (else).
        fit: mapping of keyword arguments for `fit`, such as epochs and patience, but not seed, validation or
            sample_weight.
        seed: integer ≥ 0, seed of the generators that draw folds, weights and the random numbers of training.
        executor, dtype: as for `compile`.
        folder: path of a folder to which each fold and its weights are written when it is finished. A later call reads
            the folds that are there and trains only the others, with bit-identical results; it may have more repeats.
            None: nothing is written.
        workers: number of processes, an integer ≥ 1, each with one thread; 1 trains in this process. Default: one per
            core. Processes are spawned: a script must make this call under `if __name__ == "__main__":`.
        progress: whether to show a progress bar (needs rich).
        on_fold: callable, called in this process with the Fold of each finished training.

    Returns:
        CrossValidation, with all folds, their metrics and the outputs for held-out samples.

    Raises:
        ConfigError: an argument has the wrong type or range, or the folder has folds of another network, of other
            samples or settings.
        DataError, ShapeError, UnknownNameError: X, T, weights or groups do not fit the model or each other; there are
            fewer groups, or fewer samples of a class, than folds; or there is no such metric.
        FileError: the folder cannot be written, has a damaged file, or has other files.
        KeyboardInterrupt: Ctrl-C; the finished folds are in the folder.
        Other errors: as for `compile` and `fit`.

    >>> from flowgrad import topologies
    >>> net = topologies.layered([2, 3, 1], activation="tanh", seed=0)
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> found = cross_validate(
    ...     Model(net, classes=("low", "high")), X, (X[:, 0] > X[:, 1]).astype(int),
    ...     fit={"epochs": 30, "learning_rate": 0.05}, workers=1, executor="python",
    ... )
    >>> [row["test"] for row in found.by_fold()], found.outputs.shape, found.figures()[1]["mean"] > 0.9
    ([12, 12, 12, 12, 12], (1, 60, 1), True)
    """
    instance("cross_validate", model, Model, ConfigError)
    measures, n = metrics_of(model, metrics), whole("folds", folds, 2)
    X, T = model.samples(X), _targets(model, T)
    if len(T) != len(X):
        raise ShapeError(f"T has {len(T)} rows and X {len(X)}: one a sample")
    given = None if groups is None else np.asarray(groups)
    if given is not None and given.shape != (len(X),):
        raise ShapeError(f"groups has shape {given.shape}: must be ({len(X)},), one a sample")
    strata = _strata(model, T, stratify)
    chosen = whole("seed", seed, 0)
    fold = np.array(
        [
            folds_of(len(X), n, np.random.default_rng([chosen, repeat]), _named(model, strata), given)
            for repeat in range(whole("repeats", repeats, 1))
        ]
    )
    options = dict(fit or {})
    for name, where in (("seed", "seed="), ("validation", "validation="), ("sample_weight", "sample_weight=")):
        if name in options:
            raise ConfigError(f"fit holds {name}: give {where} itself")
    compiled = {"executor": executor, "dtype": dtype, "loss": model.record}
    program = compile(model.network, **compiled)  # type: ignore[arg-type]  # tells what is wrong before any process is started
    taken = {"executor": program.executor if executor == "auto" else executor}
    if standardize_targets and model.classes:
        raise ConfigError("standardize_targets: the model has classes, which have no scale")
    trainer = _Trainer(
        model, X, T, fold, strata, given, _weights(sample_weight, len(X)), bool(standardize), bool(standardize_targets),
        _validation(model, validation), compiled | taken, options, chosen,
    )  # fmt: skip
    jobs = [("fold", repeat, k) for repeat in range(1, len(fold) + 1) for k in range(1, n + 1)]
    series = Series(trainer.run, Fold.restored, trainer.said(), "cross-validation", "fold")
    done = series.finished(jobs, folder, workers, progress, on_fold)
    return CrossValidation(model, T, tuple(done[job] for job in jobs), measures, given)


def _targets(model: Model, T: Any) -> Array:
    """Check targets as `fit` does; return class indices (B,), or targets (B, O) float64."""
    if batch.by_name(T) is not None:
        T = batch.table(T, model.targets, "T", "target", np.dtype(np.float64), surplus=True)
    given: Array = np.asarray(T)
    if model.classes and given.ndim == 1:
        batch.one_hot(given, len(model.classes), np.dtype(np.float64))
        return given
    if model.classes:
        raise ShapeError(f"T has shape {given.shape}: of a model with classes it is (B,), class indices")
    return batch.targets(given, model.network.outputs, len(given), model.record, np.dtype(np.float64))


def _strata(model: Model, T: Array, stratify: bool | None) -> Array | None:
    if stratify not in (None, True, False):
        raise ConfigError(f"stratify={brief(stratify)}: must be True, False or None")
    if stratify is False:
        return None
    if T.ndim == 1:
        return T
    if model.record.censored:
        return np.where((T > 0).any(axis=1), "events", "censored")
    if stratify:
        raise ConfigError("stratify=True: the model has no classes to stratify by")
    return None


def _named(model: Model, strata: Array | None) -> Array | None:
    """Return the name (B,) of each sample's stratum, for messages."""
    if strata is None:
        return None
    names = [f"class {brief(name)}" for name in model.classes]
    return np.array(names)[strata] if names else np.array([f"the stratum {brief(each)}" for each in strata.tolist()])


def _weights(given: Any, rows: int) -> Array | None:
    """Check sample weights; return (B,) float64, all above 0, or None."""
    checked = batch.weights_of_samples(given, rows)
    if checked is not None and checked.kept is not None:
        raise DataError("sample_weight is 0 for some samples: leave them out of X and T, every fold is judged whole")
    return None if checked is None else checked.whole


def _validation(model: Model, given: Any) -> float | tuple[Array, ...] | None:
    if given is None:
        return None
    if isinstance(given, (tuple, list)):
        if len(given) not in (2, 3):
            said = "give (X, T) or (X, T, sample_weight), or a share of the samples"
            raise DataError(f"validation has {len(given)} entries: {said}")
        X, weights = model.samples(given[0]), [np.asarray(s, np.float64) for s in given[2:] if s is not None]
        return X, _targets(model, given[1]), *weights
    return real("validation", given, 0, 1, open_low=True)
