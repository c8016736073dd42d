"""Results of cross-validation: folds and their models, metrics with intervals, and outputs for held-out samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, brief
from flowgrad.executor import Array
from flowgrad.figures import answers, figures, on_the_data
from flowgrad.frames import frame
from flowgrad.inspection.intervals import student
from flowgrad.inspection.jobs import Job
from flowgrad.metrics import Interval, Metric
from flowgrad.model import Model
from flowgrad.program import compile
from flowgrad.scaling import Scaling


@dataclass(frozen=True)
class Fold:
    """Result of the training of one fold.

    repeat          number of the repetition, from 1
    number          number of the held-out fold, from 1
    rows            (n,) int, row numbers of the held-out samples, ascending
    y               (n, O) float64, outputs of the network for these samples: logits, log rates, or targets, on the
                    scale of the raw targets
    theta           (P,) trained parameters
    scaling         (2, I) float64, mean and scale of the inputs over the training samples; (0, I) if not standardised
    target_scaling  (2, O) float64, the same of the targets; (0, O) if not standardised
    epochs          number of epochs run
    loss            training loss of the last epoch
    """

    repeat: int
    number: int
    rows: Array
    y: Array
    theta: Array
    scaling: Array
    target_scaling: Array
    epochs: int
    loss: float

    @property
    def job(self) -> Job:
        """Key of this fold among all jobs, ("fold", repeat, number); its file is named after it."""
        return "fold", self.repeat, self.number

    def arrays(self) -> dict[str, Array]:
        """Return the arrays that are written to the file of this fold, by name."""
        names = ("rows", "y", "theta", "scaling", "target_scaling", "epochs", "loss")
        return {name: np.asarray(getattr(self, name)) for name in names}

    @classmethod
    def restored(cls, job: Job, arrays: Mapping[str, Array]) -> Fold:
        """Create the Fold of a job from the arrays that `Fold.arrays` returned."""
        kept = {name: arrays[name] for name in ("rows", "y", "theta", "scaling", "target_scaling")}
        return cls(job[1], job[2], **kept, epochs=int(arrays["epochs"]), loss=float(arrays["loss"]))


@dataclass(frozen=True, repr=False)
class CrossValidation:
    """Result of `cross_validate` on B samples, in R repeats of K folds.

    model    the given Model, untrained
    T        (B, O) float64 raw targets, or (B,) class indices
    done     R·K Folds, ordered by repeat, then by fold
    metrics  Metric records by which the model is evaluated
    groups   (B,) group labels, or None
    """

    model: Model
    T: Array
    done: tuple[Fold, ...]
    metrics: tuple[Metric, ...]
    groups: Array | None = None

    def model_of(self, repeat: int, number: int) -> Model:
        """Return the trained model, with its scaling, for which fold `number` of `repeat` was held out.

        Args:
            repeat, number: numbers of the repeat and of the fold, from 1.

        Raises:
            ConfigError: there is no such repeat or fold.
        """
        fold = next((each for each in self.done if (each.repeat, each.number) == (repeat, number)), None)
        if fold is None:
            last = self.done[-1]
            raise ConfigError(
                f"no fold {brief(number)} of repeat {brief(repeat)}: 1 … {last.number} of 1 … {last.repeat}"
            )
        network = compile(self.model.network, executor="python").network(fold.theta)
        inputs, targets = (Scaling(*given) if len(given) else None for given in (fold.scaling, fold.target_scaling))
        return replace(self.model, network=network, scaling=inputs, target_scaling=targets)

    @cached_property
    def outputs(self) -> Array:
        """Outputs (R, B, O) float64, in each repeat those of the model for which the sample was held out."""
        found = np.empty((self.done[-1].repeat, len(self.T), self.done[0].y.shape[1]))
        for fold in self.done:
            found[fold.repeat - 1, fold.rows] = fold.y
        return found

    @cached_property
    def _by_fold(self) -> list[dict[str, Any]]:
        rows = []
        for fold in self.done:
            y, t = on_the_data(self.model, fold.y, self.T[fold.rows])
            n = len(fold.rows)
            row: dict[str, Any] = {"repeat": fold.repeat, "fold": fold.number, "train": len(self.T) - n, "test": n}
            row |= {"epochs": fold.epochs, "loss": fold.loss}
            loss = self.model.loss or self.model.record
            rows.append(row | {m.name: float(m.f(y, t, loss)) for m in self.metrics})
        return rows

    def by_fold(self) -> list[dict[str, Any]]:
        """Return a dict for each fold, with the metrics by name and these entries.

        repeat, fold  numbers from 1
        train, test   numbers of samples in the other folds and in this one
        epochs, loss  number of epochs, and training loss of the last one
        """
        return [dict(row) for row in self._by_fold]

    def figures(self) -> list[dict[str, Any]]:
        """Return a dict for each metric, with its name as `metric` and these entries.

        mean, sd                 mean and standard deviation over the folds where the metric is finite; NaN if there
                                 are fewer than two
        folds                    number of these folds
        low, high                95 % confidence interval of the mean, for models trained on other samples, by Student's
                                 t. As folds share samples, the factor 1/folds of the variance is increased by
                                 n_test/n_train (Nadeau & Bengio 2003)
        pooled                   metric of the outputs of all repeats together
        pooled_low, pooled_high  its 95 % confidence interval, over other samples or groups (`metrics.interval`)
        """
        together = self._pooled
        return [
            {"metric": m.name, **self._mean(m), "pooled": found.value, "pooled_low": found.low,
             "pooled_high": found.high}
            for m, found in zip(self.metrics, together, strict=True)
        ]  # fmt: skip

    @cached_property
    def _pooled(self) -> tuple[Interval, ...]:
        repeats, B, O = self.outputs.shape
        groups = np.arange(B) if self.groups is None else self.groups
        again = np.concatenate([self.T] * repeats)
        found = figures(self.model, self.outputs.reshape(-1, O), again, self.metrics, np.tile(groups, repeats))
        return tuple(found[m.name] for m in self.metrics)

    def _mean(self, metric: Metric) -> dict[str, float]:
        values = np.array([row[metric.name] for row in self._by_fold])
        known = np.isfinite(values)
        n, nan = int(known.sum()), math.nan
        if n < 2:
            return {"mean": nan, "sd": nan, "low": nan, "high": nan, "folds": n}
        mean, sd = float(values[known].mean()), float(values[known].std(ddof=1))
        test = np.mean([row["test"] / row["train"] for row in self._by_fold])
        reach = student(n - 1) * sd * math.sqrt(1 / n + float(test))
        low, high = np.clip([mean - reach, mean + reach], *metric.bounds).tolist()
        return {"mean": mean, "sd": sd, "low": low, "high": high, "folds": n}

    def predictions(self) -> dict[str, Any]:
        """Return columns by name, with one row per repeat and sample.

        Columns are sample, repeat and fold, counted from 1; the true class as `true`, or raw targets as `true NAME`;
        and the predictions of the model for which the sample was held out.
        """
        repeats, B, O = self.outputs.shape
        fold = np.empty((repeats, B), np.intp)
        for each in self.done:
            fold[each.repeat - 1, each.rows] = each.number
        columns: dict[str, Any] = {
            "sample": np.tile(np.arange(1, B + 1), repeats),
            "repeat": np.repeat(np.arange(1, repeats + 1), B),
            "fold": fold.ravel(),
        }
        if self.T.ndim == 1:
            columns["true"] = [self.model.classes[k] for k in self.T.tolist()] * repeats
        else:
            true = zip(self.model.targets, self.T.T, strict=True)
            columns |= {f"true {name}": np.tile(column, repeats) for name, column in true}
        return columns | answers(self.model, self.outputs.reshape(-1, O))

    def to_frame(self) -> Any:
        """Return `by_fold` as a data frame of pandas or polars, with one row per fold.

        Raises:
            MissingDependencyError: neither pandas nor polars is installed.
        """
        return frame({name: [row[name] for row in self._by_fold] for name in self._by_fold[0]})

    def __repr__(self) -> str:
        last = self.done[-1]
        lines = [f"cross-validation: {last.number} folds, {last.repeat} repeats, {len(self.T):,} samples"]
        lines += [f"{f['metric']} {f['mean']:.4g} [{f['low']:.4g}, {f['high']:.4g}]" for f in self.figures()]
        return "\n".join(lines)
