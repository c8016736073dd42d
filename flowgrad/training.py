"""Training by mini-batches: `fit` moves a program's θ against its gradient and returns a `History`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import flag, instance, real, whole
from flowgrad.bars import bar
from flowgrad.callback import Callback, callbacks_for, hearing
from flowgrad.errors import ConfigError, NonFiniteError, StopTraining, brief
from flowgrad.fitting.checkpoint import Checkpoint, begun_with, fingerprint, places, restore, state_of, told_of, written
from flowgrad.fitting.descent import Descent, Rules
from flowgrad.fitting.feeding import Feed
from flowgrad.fitting.measuring import measured
from flowgrad.fitting.ordering import ordering_of
from flowgrad.fitting.samples import ClassWeight, Data, Samples, smoothed, split, weighted_by_class
from flowgrad.fitting.signals import as_interrupts
from flowgrad.fitting.slots import Bounds, bounds, factors
from flowgrad.fitting.slots import Given as Penalty
from flowgrad.fitting.stored import Stored, data_of, validation_of
from flowgrad.history import History, Row
from flowgrad.maths.dropout import Dropout
from flowgrad.metrics import Metric, metrics_for
from flowgrad.optimizer import Optimizer
from flowgrad.optimizers import optimizer_for
from flowgrad.program import Program
from flowgrad.schedules import Schedule, schedule_for

Array = npt.NDArray[Any]
Given = dict[str, Any]
Constraints = Mapping[str, Any] | Iterable[tuple[Any, Any]]

__all__ = ["History", "fit"]


def fit(
    program: Program,
    X: Any,
    T: Any = None,
    *,
    optimizer: str | Optimizer = "adam",
    learning_rate: float | None = None,
    epochs: int = 100,
    batch_size: int = 64,
    seed: int = 0,
    shuffle: bool | int = True,
    sample_weight: Any = None,
    validation: Any = None,
    patience: int | None = None,
    metrics: Iterable[str | Metric] = (),
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    schedule: str | Schedule | None = None,
    progress: bool = False,
    on_epoch: Callable[[Row], object] | None = None,
    callbacks: Iterable[str | Callback] = (),
    clip: float | None = None,
    clip_value: float | None = None,
    constraints: Constraints | None = None,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    checkpoint: str | os.PathLike[str] | bool | None = None,
    resume: bool = False,
    run_folder: str | os.PathLike[str] | None = None,
) -> History:
    """Train a program: update `program.theta` by mini-batch gradient steps, starting from its current value.

    The same arguments, seed and executor give the same θ, bit for bit, also where training was resumed from a
    checkpoint. Ctrl-C ends training early without an exception: `fit` returns its History with reason "interrupted",
    and `program.theta` is the one that `History.weights_of` names. With `checkpoint`, SIGTERM and SIGHUP do the same in
    the main thread.

    Args:
        program: Program compiled with a loss. Its θ is updated after every epoch.
        X: array of shape (N, I), or mapping or data frame with one column per input name. A memory-mapped array
            (`np.load(…, mmap_mode="r")`) or a source, which is an object with `__len__` and `take(rows)`, stays in
            storage: a thread reads the next samples while a batch is processed.
        T: targets, array of shape (N, O), or (N,) if O = 1; class indices (N,) under cross_entropy; or mapping or data
            frame with one column per output name; or a source. None if X is a source whose `take` returns (x, t).
        optimizer: name (`flowgrad list optimizers`) of an optimizer with its default settings, or an Optimizer with
            other settings, such as `fg.optimizers.SGD(momentum=0.9)`.
        learning_rate: number > 0. Default: `learning_rate` of the optimizer.
        epochs: number of passes over the samples, an integer ≥ 1.
        batch_size: number of samples per step, an integer ≥ 1. The last batch of an epoch may be smaller.
        seed: integer ≥ 0, seed of the generators that draw the validation split, the order of samples and dropout.
        shuffle: True draws a new random order of the samples for every epoch, False keeps their order. An integer n ≥ 2
            shuffles by blocks, which suits disks: blocks are read in random order until at least n samples are in
            memory, and these are shuffled. Blocks are those of the source, such as row groups of Parquet, or n/16
            consecutive samples each. If a source defines blocks, True shuffles by them, in memory of 64 MiB.
        sample_weight: array of shape (N,), finite and ≥ 0. The loss of a batch is the weighted mean (or sum, by
            `program.reduction`) of its samples' losses. Samples of weight 0 are not used.
        validation: fraction of the samples, between 0 and 1, that is drawn at random and not trained on; or
            validation data: (X, T), (X, T, sample_weight) or a source.
        patience: integer ≥ 1, for which `validation` is needed: training stops after this number of epochs without a
            new lowest val_loss. With patience, θ at the end is that of the epoch with the lowest val_loss, unless
            training was interrupted.
        metrics: names (`flowgrad list metrics`) or `fg.metrics.Metric` records. They are computed after every epoch on
            the training and the validation samples, without sample weights.
        l1, l2: factors ≥ 0 of the penalty l1·Σ|θ_k| + l2·Σθ_k² (without a factor ½), which is added to the reduced
            loss of each batch. A number applies to all weights, but not to biases. A mapping such as
            {"level 1": 0.1, "biases": 0.01} selects parameters by the keys "weights", "biases", "input weights" (edges
            that leave an input), "level N" (edges into neurons of level N) and "group NAME" (edges whose attribute
            `group` is NAME). Pairs (slots, factor) select them by index in θ: integers, a slice or a boolean mask.
            Later entries override earlier ones.
        clip: number > 0, the largest Euclidean norm of a step's gradient, penalties included; a gradient of larger
            norm is scaled down to it.
        clip_value: number > 0. After `clip`, each gradient component is clipped to [−clip_value, clip_value].
        constraints: bounds onto which θ is projected at the start and after every step: a mapping such as
            {"weights": "nonnegative"}, with the keys of `l1`, or (slots, bound) pairs. A bound is "nonnegative",
            "nonpositive", "sign" (keep the sign that the parameter has at the start; 0 is not bounded) or (low, high),
            with None for no limit. The edge attribute `constraint` is such a bound, too. All bounds of a parameter
            hold together.
        dropout, input_dropout: probability, at least 0 and below 1, that a hidden neuron (an input) is set to 0 for a
            sample in a step. The others are multiplied by 1/(1 − p). The draw depends only on seed, step, neuron and
            the sample's place in the batch (`fg.Dropout`).
        class_weight: factors on the sample weights, in training only: a mapping class index → factor ≥ 0, 1 for other
            classes; or "balanced", which gives all classes the same total weight.
        label_smoothing: ε, at least 0 and below 1. In training only, targets of K classes become (1 − ε)·t + ε/K.
        schedule: name (`flowgrad list schedules`) or callable epoch → factor ≥ 0 on the learning rate, such as those
            made by `fg.schedules`. Epochs count from 1.
        checkpoint: path of a file from which training can be resumed; True: `fit.ckpt` in `run_folder`. The file is
            written before the first epoch, then after an epoch at most once per second, and at the end.
        resume: whether to continue from `checkpoint`, if that file exists. The result is bit-identical to that of
            training without a break. A finished training returns its History at once. `program.theta` must be the θ
            with which the training began, or the checkpoint's last or best θ. Data and arguments must be the same,
            except those in `flowgrad.fitting.checkpoint.MAY_CHANGE`; `epochs` must not be below the epochs completed.
        run_folder: path of a folder, of the kind that `flowgrad train` writes, in which `flowgrad view` can follow
            training (needs safetensors). It must not exist, or be empty, unless training is resumed: then it is
            continued.
        progress: whether to show a progress bar (needs rich).
        on_epoch: callable, called with the History row (a dict) of every epoch. Like a callback, it may raise
            `fg.StopTraining`, which ends training after this epoch with reason "stopped"; and it may assign
            `program.theta`, from which training then continues.
        callbacks: names (`flowgrad list callbacks`), such as "tensorboard", or Callback objects
            (`flowgrad.callback`), which are called with the settings, after every epoch, and at the end of training.

    Returns:
        History with one row per epoch: loss, penalty, metrics, learning rate and time.

    Raises:
        ConfigError: an argument has the wrong type or range, or the checkpoint is of another network, data or setting;
            the message names it.
        FileError: the checkpoint cannot be written at the start, or is truncated or altered; or `run_folder` exists or
            cannot be written.
        UnknownNameError: there is no such optimizer, metric, schedule, callback, class, column or key of a penalty.
        GraphError: an edge's attribute `constraint` is no bound, or contradicts another one.
        ExecutorError: the executor does not support dropout.
        ShapeError, DataError: as for `program.value_and_grad`.
        NonFiniteError: a loss or gradient is inf or NaN; the message names neuron, epoch, step and batch.
            `program.theta` is then the last θ whose loss and gradient were finite.
        MissingDependencyError: a library is not installed: rich for `progress`, safetensors for `run_folder`, or that
            of a callback.

    Warns:
        CheckpointWarning: the checkpoint cannot be written during training, which continues.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [2, 2], activation="identity")
    >>> program = fg.compile(net, executor="python", loss="squared_error")
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> history = fit(program, X, X @ [[2.0], [-1.0]], optimizer="sgd", learning_rate=0.5, batch_size=3, epochs=400)
    >>> program.theta.round(3).tolist()
    [2.0, -1.0, 0.0]
    """
    rule = optimizer_for(optimizer)
    _check(program, {"progress": progress, "resume": resume}, on_epoch)
    epochs, rng = whole("epochs", epochs, 1), np.random.default_rng(whole("seed", seed, 0))
    rate = rule.learning_rate if learning_rate is None else real("learning_rate", learning_rate, 0, open_low=True)
    factor, measures = schedule_for(schedule, epochs), metrics_for(metrics)
    data, held = _parted(data_of(program, X, T, sample_weight), validation_of(program, validation), rng)
    data = weighted_by_class(program, data, class_weight)
    limit = _limit(patience, held)
    place, file, saved = places(run_folder, checkpoint, resume)
    start, drop = begun_with(saved, program.theta), Dropout(dropout, seed, inputs=input_dropout)
    rules = _rules(program, l1, l2, clip, clip_value, bounds(program, constraints, start), drop)
    learnt, size = smoothed(program, data, label_smoothing), whole("batch_size", batch_size, 1)
    descent = Descent(program, Feed(learnt, size, ordering_of(learnt, rng, shuffle)), rule, rules)
    run = _Run(program, descent, measures, data, held, lambda epoch: rate * factor(epoch), epochs, limit)
    told: Given = {"learning_rate": rate, "batch_size": batch_size, "seed": seed, "shuffle": shuffle}
    told |= {"patience": patience, "clip": clip, "clip_value": clip_value, "label_smoothing": label_smoothing}
    told |= {"dropout": dropout, "input_dropout": input_dropout}
    if file is not None:
        exact = told | {"optimizer": rule, "metrics": [m.name for m in measures]} | told_of(schedule) | rules.digests()
        exact |= {"class_weight": written(class_weight), "validation": written(validation)} | file.more
        run.keep(file, fingerprint(program, start, data, held, exact), start, saved)
    told |= {"optimizer": type(rule).__name__, "epochs": epochs, "schedule": schedule} | _sizes(program, data, held)
    told |= {name: value for name, value in (("l1", l1), ("l2", l2)) if isinstance(value, (int, float))}
    heard = hearing(_listeners(run, callbacks, place, file, resume), told, run.history, descent.arrays)
    run.begin(place, there=False)
    with _shown(progress, epochs, len(run.history)) as show, heard as log:
        run.begin(place, there=True)
        return run.train((show, log, on_epoch), file is not None)


def _parted(
    data: Samples | Stored, validation: float | Samples | Stored | None, rng: np.random.Generator
) -> tuple[Samples | Stored, Samples | Stored | None]:
    """Return training and validation data; a fraction as `validation` is split off at random."""
    return split(data, validation, rng) if isinstance(validation, float) else (data, validation)


def _limit(patience: int | None, held: object) -> int | None:
    """Validate `patience`, the epochs without a lower val_loss after which training stops; it needs validation data."""
    if patience is not None and held is None:
        raise ConfigError(f"patience={patience}: needs validation, a share of the samples or (X, T)")
    return None if patience is None else whole("patience", patience, 1)


def _listeners(
    run: _Run, callbacks: Iterable[str | Callback], folder: Path | None, file: Checkpoint | None, resume: bool
) -> tuple[Callback, ...]:
    """Resolve the callbacks, and append one that writes the run folder, if there is one."""
    found = callbacks_for(callbacks)
    if folder is None:
        return found
    from flowgrad.runs.followed import RunFolder

    before = run.history.rows if run.goes_on else None
    return (*found, RunFolder(folder, run.program, before, resume and file is not None and file.within(folder)))


def _rules(
    program: Program, l1: Penalty, l2: Penalty, clip: Any, clip_value: Any, limits: Bounds | None, dropout: Dropout
) -> Rules:
    """Validate penalties, clipping, bounds and dropout, and collect them as the Rules of a step."""
    clips = [
        None if value is None else real(name, value, 0, open_low=True)
        for name, value in (("clip", clip), ("clip_value", clip_value))
    ]
    drawn = dropout if dropout.p or dropout.inputs else None
    program._drawn(drawn)
    penalties = factors(program, "l1", l1), factors(program, "l2", l2)
    return Rules(*penalties, clips[0], clips[1], limits, drawn)


def _sizes(program: Program, data: Data, held: Data | None) -> dict[str, Any]:
    """Collect the sizes of network and data that callbacks receive with the settings."""
    plan = program.plan
    return {
        "nodes": plan.n_nodes,
        "edges": plan.n_edges,
        "parameters": plan.n_parameters,
        "samples": len(data),
        "validation_samples": 0 if held is None else len(held),
        "loss": program._need_loss().name,
        "executor": program.executor,
        "dtype": program.dtype.name,
    }


class _Run:
    """One training, run epoch by epoch until the last, until patience is exhausted, or until stopped or interrupted."""

    def __init__(
        self,
        program: Program,
        descent: Descent,
        measures: tuple[Metric, ...],
        data: Data,
        held: Data | None,
        rate: Callable[[int], float],
        epochs: int,
        patience: int | None,
    ) -> None:
        self.program, self.descent, self.measures, self.data, self.held = program, descent, measures, data, held
        self.rate, self.epochs, self.patience = rate, epochs, patience
        self.history, self.over, self._steps = History(), False, 0
        self.best: Array | None = None
        self._checkpoint: Checkpoint | None = None
        self._mine: dict[str, Any] = {}
        self._start, self._due, self.goes_on = program.theta, False, False

    def keep(self, checkpoint: Checkpoint, mine: dict[str, Any], start: Array, saved: Mapping[str, Any] | None) -> None:
        """Use a checkpoint; resume from the state `saved` in it, unless that is None."""
        self._checkpoint, self._mine, self._start, self._due = checkpoint, mine, start.copy(), saved is None
        self.goes_on = saved is not None
        if saved is None:
            return
        checkpoint.belongs(saved["training"], mine)
        if len(saved["rows"]) > self.epochs:
            done = len(saved["rows"])
            raise ConfigError(f"epochs={self.epochs}: checkpoint {checkpoint.path} holds {done}, and they stay")
        for row in saved["rows"]:
            if row["rate"] != self.rate(row["epoch"]):
                there, here = row["rate"], self.rate(row["epoch"])
                raise ConfigError(
                    f"checkpoint {checkpoint.path} is of another schedule: rate {there:.6g} in epoch {row['epoch']} "
                    f"there, {here:.6g} here; {checkpoint.instead}"
                )
        self.best = restore(saved, self.descent, self.history)
        ended = saved["over"] and (self.history.reason != "finished" or len(self.history) >= self.epochs)
        self.over, self.history.reason = ended, self.history.reason if ended else "finished"
        self.program.theta = self.descent.theta
        checkpoint.keep(self._state(), written=True)

    def begin(self, folder: Path | None, there: bool) -> None:
        """Write the checkpoint's initial state once: inside the run folder after this exists (`there`), else before.

        So no run folder remains where a checkpoint elsewhere cannot be written.
        """
        file = self._checkpoint
        if file is not None and self._due and (there or folder is None or not file.within(folder)):
            file.first(self._state(), folder)
            self._due = False

    def _state(self) -> dict[str, Any]:
        return state_of(self.descent, self._start, self.history, self.best, self.over, self._mine)

    def train(self, listeners: Iterable[Callable[[Row], object] | None], ended: bool) -> History:
        """Run the remaining epochs; `ended`: whether SIGTERM and SIGHUP are handled as Ctrl-C."""
        history, past = self.history, self.history.rows[-1]["seconds"] if self.history.rows else 0.0
        start = time.perf_counter() - past
        try:
            with as_interrupts(ended):
                while not self.over:
                    self._epoch(start, [call for call in listeners if call is not None])
        except KeyboardInterrupt:
            history.reason = "interrupted"
            self._go_back()
        except NonFiniteError:
            history.weights_of = f"within epoch {len(history) + 1}"
            raise
        else:
            self.program.theta = self.descent.theta if self.best is None else self.best
            history.weights_of = f"epoch {len(history) if self.best is None else history.best_epoch}"
        finally:
            if self._checkpoint is not None:
                self._checkpoint.flush()
        return history

    def _go_back(self) -> None:
        """Reset θ to that of the last complete epoch if known, else to the last one whose gradient was finite."""
        history, kept, whole = self.history, self._checkpoint, self.descent.steps == self._steps
        if kept is not None:
            self.program.theta = kept.back(history)
        else:
            self.program.theta = self.descent.theta if whole else self.descent.good
        within = kept is None and not whole
        history.weights_of = f"within epoch {len(history) + 1}" if within else f"epoch {len(history)}"

    def _epoch(self, start: float, listeners: list[Callable[[Row], object]]) -> None:
        history, descent, program, epoch = self.history, self.descent, self.program, len(self.history) + 1
        row: Row = {"epoch": epoch, **descent.epoch(epoch, self.rate(epoch))}
        program.theta = descent.theta
        row |= measured(descent, self.measures, self.data, self.held, epoch)
        history.rows.append(row | {"rate": self.rate(epoch), "seconds": time.perf_counter() - start})
        self._steps = descent.steps
        if self.patience is not None and history.best_epoch == epoch:
            self.best = descent.theta.copy()
        stopped = _tell(listeners, history.rows[-1])
        if not np.array_equal(program.theta, descent.theta):  # a callback has set θ; descent.theta has no NaN
            descent.take(program.theta)
            program.theta = descent.theta
        if stopped:
            history.reason, self.over = "stopped", True
        elif self.patience is not None and epoch - (history.best_epoch or 0) >= self.patience:
            history.reason, self.over = "early stopping", True
        self.over = self.over or epoch >= self.epochs
        if self._checkpoint is not None:
            self._checkpoint.keep(self._state())
            self._checkpoint.save()


def _tell(listeners: list[Callable[[Row], object]], row: Row) -> bool:
    """Pass an epoch's row to every listener; returns whether one of them raised StopTraining."""
    stopped = False
    for call in listeners:
        try:
            call(dict(row))
        except StopTraining:
            stopped = True
    return stopped


@contextmanager
def _shown(wanted: bool, epochs: int, done: int) -> Iterator[Callable[[Row], None]]:
    """Show a progress bar; yields a function that advances it and shows an epoch's row."""
    with bar("epoch", epochs, done, wanted) as advance:
        yield lambda row: advance(
            "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("epoch", "rate", "seconds"))
        )


def _check(program: object, flags: dict[str, object], on_epoch: object) -> None:
    instance("fit", program, Program, ConfigError)
    for name, value in flags.items():
        flag(name, value)
    if on_epoch is not None and not callable(on_epoch):
        raise ConfigError(f"on_epoch={brief(on_epoch)}: must be a function of a row, or None")
