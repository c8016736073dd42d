"""Training: `fit` moves a program's θ against its gradient, batch by batch, and writes a `History`."""

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
    """Train: move `program.theta` by mini-batches, from where it stands.

    The same arguments and seed give the same θ, bit for bit, on one executor, in one go or resumed from a checkpoint;
    the order of the data depends on the seed alone. Ctrl-C ends training early and keeps what was reached: `fit` then
    returns its History, with reason "interrupted", and raises nothing. With `checkpoint` SIGTERM and SIGHUP do so too.

    Args:
        program: compiled with a loss; its θ moves, and stands after every epoch where training stands.
        X: (N, I) array, or a mapping or data frame by input name. A memory-mapped array (`np.load(…, mmap_mode="r")`)
            and a source, an object with `__len__` and `take(rows)`, are read batch by batch, by a thread ahead.
        T: (N, O), or class indices (N,) under cross_entropy; None where X is a source whose `take` gives both.
        optimizer: a name (`flowgrad list optimizers`) or an Optimizer with settings of its own
            (`fg.optimizers.SGD(momentum=0.9)`).
        learning_rate: above 0; None takes the optimizer's.
        epochs, batch_size: whole numbers from 1; the last batch of an epoch may be smaller.
        seed: of the shuffling and of the split.
        shuffle: a new order of the samples every epoch, drawn from all (of a source in blocks, as Parquet's row
            groups are, by blocks, among as many samples as 64 MB hold); False: theirs. A number n: drawn by blocks,
            n samples being in memory together, as suits a disk: a sixteenth of these stand side by side.
        sample_weight: (N,), at least 0; each batch's loss is its weighted mean (or sum). Samples of weight 0
            are left out.
        validation: a share of the samples, above 0 and below 1, drawn by the seed and kept from training; or
            data of its own, (X, T), (X, T, sample_weight) or a source.
        patience: stop after so many epochs without a lower val_loss; training that had patience ends with the
            θ of its best epoch.
        metrics: names (`flowgrad list metrics`) or `fg.metrics.Metric` records.
        l1, l2: factors of the penalty l1·Σ|θ_k| + l2·Σθ_k² (no ½), which is added to the reduced loss of each
            batch. A number is for all weights, not for biases; a mapping is by words, {"level 1": 0.1, "biases": 0.01}
            (weights, biases, input weights, level N: of edges into that level, group NAME: of edges whose attribute
            `group` that is); (slots, factor) pairs are for the slots of θ that they name.
        clip: the largest norm of a step's gradient, which is scaled down to it; clip_value: the largest size of a
            component, which is cut to it.
        constraints: bounds on θ, which is projected onto them after every step: {"weights": "nonnegative"} by the
            words of l1, or (slots, bound) pairs, a bound being "nonnegative", "nonpositive", "sign" (to keep that of
            the start) or (low, high). An edge's attribute `constraint` is one too, and holds whatever is given here.
        dropout, input_dropout: probability that a hidden neuron, an input is left out of a sample's step; the others
            are times 1/(1 − p). Drawn by seed, step, neuron and sample alone (`fg.Dropout`).
        class_weight: "balanced", or class index → factor on the weights of its samples, in training alone.
        label_smoothing: ε; targets of classes become (1 − ε)·t + ε/K, in training alone.
        schedule: a name (`flowgrad list schedules`) or a function epoch → factor on the learning rate, as those of
            `fg.schedules`; epochs count from 1.
        checkpoint: a file that is kept up to date, after every epoch and at most once a second, so that a training
            that was killed can go on; True is `fit.ckpt` in the run folder, where any other may lie too. A disk that
            fills up meanwhile is a CheckpointWarning.
        resume: go on from the checkpoint where there is one, bit for bit as if nothing had happened; a finished
            training returns its History at once. The program stands at the θ with which the training began, or at one
            that it ended with. More epochs than it had may be asked for; `flowgrad.fitting.checkpoint.MAY_CHANGE` are
            the arguments that may be others.
        run_folder: a folder that `flowgrad view` follows, as that of `flowgrad train`. It must not exist, but where
            a checkpoint is gone on from: then it is gone on with.
        progress: show a bar (needs rich).
        on_epoch: called with each epoch's row. It, or a callback, may raise `fg.StopTraining`: training then ends
            after this epoch, with reason "stopped"; and may assign `program.theta`, which training goes on from.
        callbacks: names, "tensorboard" or "mlflow", or Callback objects (`flowgrad.callback`), which hear of the
            settings, of every epoch and of the end.

    Raises:
        ConfigError: an argument of the wrong type or range, or a checkpoint of another network, data or setting;
            the message names it.
        FileError: a checkpoint cannot be written, or is truncated or altered.
        UnknownNameError: no such optimizer, metric, schedule or callback.
        ShapeError, DataError: as `program.value_and_grad`.
        NonFiniteError: inf or NaN; the message names neuron, epoch, step and batch. `program.theta` is then the
            last θ whose loss and gradient were finite.
        MissingDependencyError: a bar is wanted and rich is not installed, or a callback's library is not.

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
