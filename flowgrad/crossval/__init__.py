"""Cross-validation: a model trained anew on all folds but one, and judged on that one, in turn and repeatedly."""

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
    """Arguments that all folds share: samples X (B, I), T (B, O) or (B,), and how to train on some of them."""

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
        """Train on the other folds and predict this one, whose samples neither training nor scaling reads."""
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
        """Return the indices to train on, of `rest`, and data for early stopping: those given, or a share of `rest`."""
        if not isinstance(self.validation, float):
            return rest, self.validation
        strata, groups = (None if each is None else each[rest] for each in (self.strata, self.groups))
        out = held_out(len(rest), self.validation, np.random.default_rng(seed), strata, groups)
        held = [each[rest[out]] for each in (self.X, self.T, self.weights) if each is not None]
        return rest[~out], tuple(held)

    def said(self) -> dict[str, Any]:
        """Return what must be equal in two cross-validations for their folds to be kept in one folder."""
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
    """Train a model on all folds but one and judge it on that one, for each fold, and repeat that with other folds.

    Every training begins with new weights and sees nothing of its fold: scaling, early stopping and weights come from
    the other folds alone.

    Args:
        model: its network (trainable weights are drawn anew, frozen ones stay), columns, classes and loss.
        X: samples as they were measured, as for `model.predict`.
        T: class indices (B,) of a model with classes, else targets (B, O) on the data's scale, or by name.
        folds: 2 or more; repeats: 1 or more, each with other folds.
        groups: (B,) of any kind: samples of one group stand in one fold, as those of one patient.
        sample_weight: (B,), as for `fit`, above 0: of losses in training and validation; metrics count samples once.
        stratify: whether every fold has the same share of each class; None: where there are classes (or times of
            survival, by whether they are censored).
        standardize, standardize_targets: whether inputs and targets are scaled to mean 0 and variance 1.
        validation: a share of the training folds, above 0 and below 1, stratified as the folds are and kept for early
            stopping; or data of its own, (X, T) or (X, T, sample_weight).
        metrics: beside accuracy and auc, rmse and pearson, or concordance.
        fit: keyword arguments for `fit`, such as epochs and patience; not seed, validation and sample_weight.
        seed: of folds, weights and training.
        executor, dtype: as for `compile`.
        folder: keeps each fold when it is done, with its weights; a call that finds some there does the others only,
            and the result has the same bytes. More repeats may be added. None keeps nothing.
        workers: processes, each on one thread; None is one a core, 1 stays in this process. They are spawned: a
            script calls this under `if __name__ == "__main__":`.
        progress: show a bar (needs rich).
        on_fold: called with each Fold as it is done.

    Raises:
        ConfigError: an argument out of range; the folder holds folds of another network, other samples or settings.
        DataError, ShapeError, UnknownNameError: X, T or groups do not fit; too few samples of a class for the folds.
        KeyboardInterrupt: finished folds are in the folder then. Else as `compile` and `fit`.

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
    """Check targets as training does; return class indices (B,), or targets (B, O) float64."""
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
    """Return the name (B,) of each sample's stratum in messages."""
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
