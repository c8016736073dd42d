"""Training: `fit` moves a program's θ against its gradient, batch by batch, and writes a `History`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from flowgrad import batch
from flowgrad.arguments import instance, real, whole
from flowgrad.bars import bar
from flowgrad.callback import Callback, callbacks_for, hearing
from flowgrad.errors import ConfigError, NonFiniteError, brief
from flowgrad.history import History, Row
from flowgrad.metrics import Metric, metrics_for
from flowgrad.nonfinite import culprit
from flowgrad.optimizer import Optimizer, Step
from flowgrad.program import Program
from flowgrad.registry import find, is_own
from flowgrad.schedules import Schedule, schedule_for

Array = npt.NDArray[Any]
Penalty = float | Sequence[tuple[Any, float]]

__all__ = ["History", "fit"]


def fit(
    program: Program,
    X: Any,
    T: Any,
    *,
    optimizer: str | Optimizer = "adam",
    learning_rate: float | None = None,
    epochs: int = 50,
    batch_size: int = 64,
    seed: int = 0,
    shuffle: bool = True,
    sample_weight: Any = None,
    validation: float | tuple[Any, Any] | None = None,
    patience: int | None = None,
    metrics: Iterable[str | Metric] = (),
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    schedule: str | Schedule | None = None,
    progress: bool = False,
    on_epoch: Callable[[Row], object] | None = None,
    callbacks: Iterable[str | Callback] = (),
) -> History:
    """Train: move `program.theta` by mini-batches, from where it stands.

    The same arguments and seed give the same θ, bit for bit, on one executor; the order of the data depends on
    the seed alone. Ctrl-C ends training early and keeps what was reached: `fit` then returns its History, with
    reason "interrupted", and raises nothing.

    Args:
        program: compiled with a loss; its θ moves, and stands after every epoch where training stands.
        X: (N, I) array, or a mapping or data frame by input name.
        T: (N, O), or class indices (N,) under cross_entropy.
        optimizer: a name (`flowgrad list optimizers`) or an Optimizer with settings of its own
            (`fg.optimizers.SGD(momentum=0.9)`).
        learning_rate: above 0; None takes the optimizer's.
        epochs, batch_size: whole numbers from 1; the last batch of an epoch may be smaller.
        seed: of the shuffling and of the split.
        shuffle: a new order of the samples every epoch; without it, theirs.
        sample_weight: (N,), at least 0; each batch's loss is its weighted mean (or sum). Samples of weight 0
            are left out.
        validation: a share of the samples, above 0 and below 1, drawn by the seed and kept from training; or
            data of its own, (X, T).
        patience: stop after so many epochs without a lower val_loss; training that had patience ends with the
            θ of its best epoch.
        metrics: names (`flowgrad list metrics`) or `fg.metrics.Metric` records.
        l1, l2: factors of the penalty l1·Σ|θ_k| + l2·Σθ_k² (no ½), which is added to the reduced loss of each
            batch. A number is for all weights, not for biases; (slots, factor) pairs are for the slots of θ
            that they name.
        schedule: a name (`flowgrad list schedules`) or a function epoch → factor on the learning rate, as those of
            `fg.schedules`; epochs count from 1.
        progress: show a bar (needs rich).
        on_epoch: called with each epoch's row.
        callbacks: names, "tensorboard" or "mlflow", or Callback objects (`flowgrad.callback`), which hear of the
            settings, of every epoch and of the end.

    Raises:
        ConfigError: an argument of the wrong type or range; the message names it.
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
    rule: Optimizer = find("optimizers", optimizer) if isinstance(optimizer, str) else optimizer
    if not isinstance(rule, Optimizer):
        raise ConfigError(f"optimizer={brief(optimizer)}: give a name or an Optimizer")
    _check(program, shuffle, progress, on_epoch)
    epochs, rng = whole("epochs", epochs, 1), np.random.default_rng(whole("seed", seed, 0))
    rate = rule.learning_rate if learning_rate is None else real("learning_rate", learning_rate, 0, open_low=True)
    factor, measures = schedule_for(schedule, epochs), metrics_for(metrics)
    data, held = _split(_data(program, X, T, sample_weight), _validation(program, validation), rng)
    if patience is not None and held is None:
        raise ConfigError(f"patience={patience}: needs validation, a share of the samples or (X, T)")
    limit = None if patience is None else whole("patience", patience, 1)
    penalty = _Penalty(program, l1, l2)
    descent = _Descent(program, data, rule, whole("batch_size", batch_size, 1), rng if shuffle else None, penalty)

    def run(epoch: int) -> Row:
        moved = rate * factor(epoch)
        row = descent.epoch(epoch, moved)
        program.theta = descent.theta
        return row | _measured(program, descent, measures, held, epoch) | {"rate": moved}

    history, listeners = History(), callbacks_for(callbacks)
    given = {"optimizer": type(rule).__name__, "learning_rate": rate, "epochs": epochs, "batch_size": batch_size}
    given |= {"seed": seed, "shuffle": shuffle, "patience": patience, "schedule": schedule}
    given |= {name: value for name, value in (("l1", l1), ("l2", l2)) if isinstance(value, (int, float))}
    with _shown(progress, epochs) as show, hearing(listeners, given | _sizes(program, data, held), history) as log:

        def tell(row: Row) -> None:
            show(row)
            log(row)
            if on_epoch is not None:
                on_epoch(dict(row))

        return _train(program, descent, run, epochs, limit, tell, history)


def _sizes(program: Program, data: _Data, held: _Data | None) -> dict[str, Any]:
    """What a log says of the network and the samples."""
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


def _train(
    program: Program,
    descent: _Descent,
    run: Callable[[int], Row],
    epochs: int,
    patience: int | None,
    tell: Callable[[Row], object],
    history: History,
) -> History:
    """Epoch by epoch, until all are run, patience is out or somebody interrupts."""
    best, start = None, time.perf_counter()
    try:
        for epoch in range(1, epochs + 1):
            history.rows.append({"epoch": epoch, **run(epoch), "seconds": time.perf_counter() - start})
            if patience is not None and history.best_epoch == epoch:
                best = descent.theta.copy()
            tell(history.rows[-1])
            if patience is not None and epoch - (history.best_epoch or 0) >= patience:
                history.reason = "early stopping"
                break
    except KeyboardInterrupt:
        history.reason = "interrupted"
        program.theta = descent.good
    else:
        program.theta = descent.theta if best is None else best
    return history


# ---- data -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Data:
    """N samples: x (N, I), t (N, O) in the program's dtype; s (N,) float64 or None; `rows` (N,) their numbers."""

    x: Array
    t: Array
    s: Array | None
    rows: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Array) -> _Data:
        return _Data(self.x[rows], self.t[rows], None if self.s is None else self.s[rows], self.rows[rows])


def _data(program: Program, X: Any, T: Any, sample_weight: Any = None) -> _Data:
    """Checked as `value_and_grad` checks; samples of weight 0 are left out."""
    loss, dtype = program._need_loss(), program.dtype
    x = batch.table(X, program.inputs, "X", "input", dtype)
    s = batch.weights_of_samples(sample_weight, len(x))
    kept = None if s is None else s.kept
    t = batch.targets(T, program.outputs, len(x), loss, dtype, kept)
    rows = np.arange(len(x)) if kept is None else kept
    weights = None if s is None else s.s if program.reduction == "mean" else s.whole  # of a mean ratios are enough
    return _Data(x if kept is None else x[kept], t, weights, rows)


def _validation(program: Program, validation: Any) -> float | _Data | None:
    if validation is None:
        return None
    if isinstance(validation, (tuple, list)) and len(validation) == 2:
        return _data(program, *validation)
    if isinstance(validation, (tuple, list)):
        raise ConfigError(f"validation has {len(validation)} entries: give (X, T), or a share of the samples")
    return real("validation", validation, 0, 1, open_low=True)


def _split(data: _Data, validation: float | _Data | None, rng: np.random.Generator) -> tuple[_Data, _Data | None]:
    """What trains and what validates; a share is rounded to samples, and neither side may be empty."""
    if validation is None or isinstance(validation, _Data):
        return data, validation
    n = round(validation * len(data))
    if not 0 < n < len(data):
        raise ConfigError(f"validation={validation}: of {len(data)} samples that leaves one side without any")
    order = rng.permutation(len(data))
    return data.take(np.sort(order[n:])), data.take(np.sort(order[:n]))


# ---- descent ----------------------------------------------------------------------------------------------------


class _Penalty:
    """l1·Σ|θ_k| + l2·Σθ_k² with a factor a slot; `factors` are (P,) or None."""

    def __init__(self, program: Program, l1: Penalty, l2: Penalty) -> None:
        self.l1, self.l2 = _factors(program, "l1", l1), _factors(program, "l2", l2)
        self.twice = None if self.l2 is None else 2 * self.l2

    def add_gradient(self, theta: Array, out: Array, scratch: Array) -> None:
        """l1·sign θ + 2·l2·θ, added to `out`; at 0 the l1 term pulls nowhere."""
        if self.l1 is not None:
            np.sign(theta, out=scratch)
            np.multiply(scratch, self.l1, out=scratch)
            np.add(out, scratch, out=out)
        if self.twice is not None:
            np.multiply(theta, self.twice, out=scratch)
            np.add(out, scratch, out=out)

    def row(self, theta: Array) -> Row:
        """The column `penalty`, where there is one."""
        if self.l1 is None and self.l2 is None:
            return {}
        th = theta.astype(np.float64)
        total = 0.0 if self.l1 is None else float((self.l1 * np.abs(th)).sum())
        return {"penalty": total + (0.0 if self.l2 is None else float((self.l2 * th * th).sum()))}


def _factors(program: Program, name: str, given: Penalty) -> Array | None:
    """(P,) a factor a slot; None where all are 0."""
    slots = program.plan.weight_slot
    pairs = list(given) if isinstance(given, Iterable) else [(slots[slots >= 0], given)]
    factors = np.zeros(program.plan.n_parameters, program.dtype)
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ConfigError(f"{name} holds {brief(pair)}: give a number, or (slots, factor) pairs")
        where, factor = np.asarray(pair[0]), real(name, pair[1], 0)
        if where.dtype.kind not in "iu" or (len(where) and not 0 <= where.min() <= where.max() < len(factors)):
            raise ConfigError(f"{name}: slots must be whole numbers, 0 … {len(factors) - 1}, as theta_index gives")
        factors[where] = factor
    return factors if factors.any() else None


class _Descent:
    """θ on its way down, with every buffer of a step.

    theta (P,) moves; good (P,) is the last θ whose loss and gradient were finite.
    """

    def __init__(
        self,
        program: Program,
        data: _Data,
        rule: Optimizer,
        batch_size: int,
        rng: np.random.Generator | None,
        penalty: _Penalty,
    ) -> None:
        self.program, self.data, self.rng, self.penalty = program, data, rng, penalty
        self.size, self.steps = min(batch_size, len(data)), 0
        self.theta, self.good = program.theta.copy(), program.theta.copy()
        self.gradient, self.scratch = np.empty_like(self.theta), np.empty_like(self.theta)
        is_weight = np.zeros(len(self.theta), np.bool_)
        is_weight[program.plan.weight_slot[program.plan.weight_slot >= 0]] = True
        self.step: Step = rule.start(self.theta, is_weight)
        self.order = np.arange(len(data))
        n = self.size
        self.x, self.t = np.empty((n, *data.x.shape[1:]), data.x.dtype), np.empty((n, *data.t.shape[1:]), data.t.dtype)
        self.s = None if data.s is None else np.empty(n, data.s.dtype)

    def epoch(self, epoch: int, rate: float) -> Row:
        """Every sample once, in batches."""
        if self.rng is not None:
            self.rng.shuffle(self.order)
        N, total, scale = len(self.data), 0.0, 0.0
        with np.errstate(all="ignore"):
            for number, first in enumerate(range(0, N, self.size), 1):
                rows = self.order[first : first + self.size]
                x, t, s = self._gather(rows)
                value, g = self.program.value_and_grad(self.theta, x, t, self.gradient, s)
                self.penalty.add_gradient(self.theta, g, self.scratch)
                self.steps += 1
                if not (np.isfinite(value) and (np.isfinite(g @ g) or np.isfinite(g).all())):
                    place = f"step {self.steps}, batch {number} of {-(-N // self.size)}"
                    self.stop(f"epoch {epoch}, {place}", x, t, s, self.data.rows[rows])
                np.copyto(self.good, self.theta)
                self.step(self.theta, g, rate)
                share = len(rows) if s is None else float(s.sum())
                total, scale = total + value * (share if self.program.reduction == "mean" else 1.0), scale + share
            if not np.isfinite(self.theta).all():
                self.stop(f"epoch {epoch}, after step {self.steps}, batch {number}", x, t, s, self.data.rows[rows])
        return {"loss": total / (scale if self.program.reduction == "mean" else 1.0)} | self.penalty.row(self.theta)

    def _gather(self, rows: Array) -> tuple[Array, Array, Array | None]:
        """The samples of a batch, copied into buffers ("clip" lets NumPy write there directly)."""
        n, data = len(rows), self.data
        x, t = data.x.take(rows, 0, self.x[:n], "clip"), data.t.take(rows, 0, self.t[:n], "clip")
        return x, t, None if data.s is None or self.s is None else data.s.take(rows, 0, self.s[:n], "clip")

    def stop(self, when: str, x: Array, t: Array, s: Array | None, rows: Array) -> NoReturn:
        """Put the last good θ back and say what went wrong, and where."""
        found = culprit(self.program, self.theta, x, t, s, rows)
        self.program.theta = self.good
        raise NonFiniteError(f"{when}: {found}; program.theta is the last θ with a finite loss and gradient")


# ---- after an epoch ---------------------------------------------------------------------------------------------


def _measured(program: Program, descent: _Descent, measures: tuple[Metric, ...], held: _Data | None, epoch: int) -> Row:
    """Metrics over the training data, loss and metrics over the validation data, with the θ of now."""
    row: Row = {}
    loss = program._need_loss()
    name = loss.name if is_own("losses", loss) else loss
    if measures:
        y = program.predict(descent.data.x).astype(np.float64)
        with np.errstate(all="ignore"):  # what overflows here shows in the loss of the next step
            row |= {m.name: m.f(y, descent.data.t, name) for m in measures}
    if held is not None:
        y = program.predict(held.x).astype(np.float64)
        row["val_loss"] = _loss_of(program, y, held)
        if not np.isfinite(row["val_loss"]):
            descent.stop(f"epoch {epoch}, after step {descent.steps}, validation", held.x, held.t, held.s, held.rows)
        row |= {f"val_{m.name}": m.f(y, held.t, name) for m in measures}
    return row


def _loss_of(program: Program, y: Array, data: _Data) -> float:
    """The reduced loss (4) of outputs y (B, O) float64."""
    loss, t = program._need_loss(), data.t.astype(np.float64)
    total = float(loss.evaluate(y, t, data.s)[0].sum())
    return total if program.reduction == "sum" else total / (len(data) if data.s is None else float(data.s.sum()))


@contextmanager
def _shown(wanted: bool, epochs: int) -> Iterator[Callable[[Row], None]]:
    """A bar that takes rows."""
    with bar("epoch", epochs, wanted=wanted) as advance:
        yield lambda row: advance(
            "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("epoch", "rate", "seconds"))
        )


def _check(program: object, shuffle: object, progress: object, on_epoch: object) -> None:
    instance("fit", program, Program, ConfigError)
    for name, value in (("shuffle", shuffle), ("progress", progress)):
        if not isinstance(value, (bool, np.bool_)):
            raise ConfigError(f"{name}={brief(value)}: must be True or False")
    if on_epoch is not None and not callable(on_epoch):
        raise ConfigError(f"on_epoch={brief(on_epoch)}: must be a function of a row, or None")
