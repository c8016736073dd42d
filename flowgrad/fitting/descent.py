"""Move θ by mini-batches: penalties, clipping, the optimizer's update, bounds, and the report of non-finite numbers.

A step computes the gradient and makes one pass over θ, two where the gradient is clipped by its norm. The kernel makes
these passes where it has them (`Updates`), else NumPy, whose result is the definition. The new θ is written to another
array, so that the last θ with a finite gradient is still there when a later gradient is not finite.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from flowgrad.errors import NonFiniteError
from flowgrad.executor import Trains, Updates
from flowgrad.fitting.feeding import Feed
from flowgrad.fitting.samples import Samples, digest
from flowgrad.fitting.slots import Bounds
from flowgrad.history import Row
from flowgrad.maths.dropout import Dropout
from flowgrad.maths.updates import Update
from flowgrad.nonfinite import culprit
from flowgrad.optimizer import Elementwise, Optimizer, by_blocks
from flowgrad.program import Program

Array = npt.NDArray[Any]
TINY = 1e-6
"""Added to the gradient's norm in the denominator of the clipping factor, so that a gradient of 0 does not give 1/0."""


@dataclass(frozen=True)
class Rules:
    """Penalties, clipping, bounds and dropout of every step.

    l1, l2     (P,) factors of the penalty l1·|θ_k| + l2·θ_k² of each slot, or None
    clip       the largest norm of the gradient, penalties included; clip_value the largest size of a component; or None
    bounds     lower and upper bounds of θ, or None
    dropout    probabilities for hidden neurons and inputs, with the training's seed; or None
    """

    l1: Array | None = None
    l2: Array | None = None
    clip: float | None = None
    clip_value: float | None = None
    bounds: Bounds | None = None
    dropout: Dropout | None = None

    def digests(self) -> dict[str, str]:
        """Return the digests of the arrays, by which two trainings are compared."""
        return {"l1": digest(self.l1), "l2": digest(self.l2), "constraints": digest(*self.bounds or ())}

    def penalty(self, theta: Array) -> Row:
        """Return the column `penalty`, Σ_k l1_k·|θ_k| + l2_k·θ_k² in float64; no column without penalties."""
        if self.l1 is None and self.l2 is None:
            return {}
        th = theta.astype(np.float64)
        total = 0.0 if self.l1 is None else float((self.l1 * np.abs(th)).sum())
        return {"penalty": total + (0.0 if self.l2 is None else float((self.l2 * th * th).sum()))}


class ByNumPy:
    """Implementation of `Updates` in NumPy, which defines the result."""

    def room(self, slots: int) -> int:
        """Return the length of arrays of that many slots: the same, without padding."""
        return slots

    def advance(
        self, update: Update, theta: Array, g: Array, out: Array, rows: Array, constants: tuple[float, ...]
    ) -> bool:
        """Move θ into `out`, as `Updates.advance`."""
        return by_blocks(update, theta, g, out, list(rows), constants)

    def square(self, update: Update, theta: Array, g: Array, rows: Array) -> float:
        """Add the penalties' gradients to g and return the sum of its squares, as `Updates.square`."""
        with np.errstate(all="ignore"):
            g[...] = update.penalized(theta, g, rows)
            return float(np.square(g, dtype=np.float64).sum())


class Descent:
    """The state of θ (P,) in training; `good` (P,) is the last θ whose loss and gradient were finite."""

    def __init__(self, program: Program, feed: Feed, optimizer: Optimizer, rules: Rules) -> None:
        self.program, self.feed, self.rules = program, feed, rules
        self.steps, P = 0, program.plan.n_parameters
        self.updates: Updates = program.kernel.updates() if isinstance(program.kernel, Trains) else ByNumPy()
        self._room = self.updates.room(P)
        self._gradient, *thetas = (np.zeros(self._room, program.dtype) for _ in range(4))
        self._thetas = tuple(thetas)  # the last good θ, the current θ, the next θ
        self._begin(program.theta)
        self._is_weight = is_weight = np.zeros(P, np.bool_)
        is_weight[program.plan.weight_slot[program.plan.weight_slot >= 0]] = True
        self.step = optimizer.start(self.theta, is_weight)
        self._clipped = np.zeros(0 if isinstance(self.step, Elementwise) else P, program.dtype)
        self._lay_rows()

    def _begin(self, theta: Array) -> None:
        """Set the current and the last good θ to `theta` (P,), projected onto the bounds."""
        for each in self._thetas[:2]:
            each[: len(theta)] = theta
            if self.rules.bounds is not None:
                self.rules.bounds.project(each[: len(theta)])

    def take(self, theta: Array) -> None:
        """Set the current θ to `theta` (P,), projected onto the bounds; the optimizer's state stays."""
        self.theta[:] = theta
        if self.rules.bounds is not None:
            self.rules.bounds.project(self.theta)

    @property
    def theta(self) -> Array:
        """The current θ (P,), a view."""
        return self._thetas[1][: self.program.plan.n_parameters]

    @property
    def good(self) -> Array:
        """The last θ (P,) whose loss and gradient were finite, a view."""
        return self._thetas[0][: self.program.plan.n_parameters]

    @property
    def gradient(self) -> Array:
        """The gradient (P,) of the last step: a view of the buffer, which some steps penalize and clip in place."""
        return self._gradient[: self.program.plan.n_parameters]

    def arrays(self) -> dict[str, Array]:
        """Return the arrays for `callback.Watches` by name, without empty ones."""
        gradient = self.gradient
        if self.rules.clip is None and isinstance(self.step, Elementwise):  # whose pass stores no penalties' gradients
            gradient = self._penalize.penalized(self.good, gradient, self._penalties[:, : len(gradient)])
        found = {
            f"{prefix}{name}": values[chosen]
            for prefix, values in (("", self.theta), ("gradient/", gradient))
            for name, chosen in (("weights", self._is_weight), ("biases", ~self._is_weight))
        }
        return {name: values for name, values in found.items() if len(values)}

    def resume(self, theta: Array, order: Array, steps: int) -> None:
        """Continue another training: its θ (P,), order of samples (N,) and number of steps."""
        self._begin(theta)
        self.feed.ordering.places[:], self.steps = order, steps

    def _lay_rows(self) -> None:
        """Make the update of a step and the rows that it reads; the optimizer's states become views of the first rows.

        Under clipping by the norm a separate pass adds the penalties' gradients first.
        """
        rules, step, bounds = self.rules, self.step, self.rules.bounds
        penalties = [each for each in (rules.l1, rules.l2) if each is not None]
        self._penalize = Update("plain", l1=rules.l1 is not None, l2=rules.l2 is not None)
        more = [] if bounds is None else [bounds.low, bounds.high]
        made = Update(
            "plain", cut=rules.clip_value is not None, scaled=rules.clip is not None, bounded=bounds is not None
        )
        if isinstance(step, Elementwise):
            made = replace(made, rule=step.rule, decay=step.decay)
            more = more if step.decays is None else [step.decays, *more]
        rows = np.zeros((made.rows + len(penalties), self._room), self.program.dtype)
        for row, values in zip(rows[made.states :], (*more, *penalties), strict=True):
            row[: len(values)] = values
        if isinstance(step, Elementwise) and made.states:
            states = rows[: made.states, : len(self.theta)]
            states[:] = step.state["moments"]
            step.state["moments"] = states
        self._penalties, self._rows = rows[made.rows :], rows
        if rules.clip is None:
            made = replace(made, l1=self._penalize.l1, l2=self._penalize.l2)
        self._update = made

    def epoch(self, epoch: int, rate: float) -> Row:
        """Make one step for each batch of an epoch; return the loss of the epoch and the penalty after it."""
        total, scale, mean = 0.0, 0.0, self.program.reduction == "mean"
        with np.errstate(all="ignore"), closing(self.feed.epoch()) as batches:
            for number, batch in enumerate(batches, 1):
                share = float(len(batch)) if batch.s is None else float(batch.s.sum())
                value = self._value_and_grad(batch, share)
                self.steps += 1
                if not self._moved(rate) or not math.isfinite(value):
                    self.stop(f"epoch {epoch}, step {self.steps}, batch {number} of {self.feed.batches}", batch)
                good, now, after = self._thetas
                self._thetas = now, after, good
                total, scale = total + value * (share if mean else 1.0), scale + share
            if not np.isfinite(self.theta).all():
                self.stop(f"epoch {epoch}, after step {self.steps}, batch {number}", batch)
        return {"loss": total / (scale if mean else 1.0)} | self.rules.penalty(self.theta)

    def _value_and_grad(self, batch: Samples, share: float) -> float:
        """Return the reduced loss of a batch and write its gradient to `gradient`; arguments are not checked again."""
        program, dropout = self.program, self.rules.dropout
        drawn = () if dropout is None else (replace(dropout, step=self.steps),)
        weights = None if batch.s is None else batch.s.astype(program.dtype, copy=False)
        scale = 1.0 / share if program.reduction == "mean" else 1.0
        return program._differentiate(self.theta, batch.x, batch.t, weights, scale, self.gradient, *drawn)

    def _moved(self, rate: float) -> bool:
        """Write the θ after a step to the third array; return False where a gradient is not finite."""
        update, rules, step, factor = self._update, self.rules, self.step, 1.0
        _, now, after = self._thetas
        if rules.clip is not None:
            squares = self.updates.square(self._penalize, now, self._gradient, self._penalties)
            factor = min(1.0, rules.clip / (math.sqrt(squares) + TINY)) if math.isfinite(squares) else 1.0
        if isinstance(step, Elementwise):
            constants = (*step.next(rate), factor, rules.clip_value or 0.0, rate)
            return self.updates.advance(update, now, self._gradient, after, self._rows[: update.rows], constants)
        return self._moved_by_another(rate, factor)

    def _moved_by_another(self, rate: float, factor: float) -> bool:
        """Do the same as `_moved` for an optimizer whose step is not `Elementwise`."""
        rules, g = self.rules, self.gradient
        if rules.clip is None:
            g[...] = self._penalize.penalized(self.theta, g, self._penalties[:, : len(g)])
        finite = bool(np.isfinite(g).all())
        if finite:
            clipped = np.multiply(g, factor, out=self._clipped)
            if rules.clip_value is not None:
                np.clip(clipped, -rules.clip_value, rules.clip_value, out=clipped)
            theta = self._thetas[2][: len(g)]
            theta[...] = self.theta
            self.step(theta, clipped, rate)
            if rules.bounds is not None:
                rules.bounds.project(theta)
        return finite

    def stop(self, when: str, batch: Samples) -> NoReturn:
        """Set the program's θ to the last good one; raise NonFiniteError, which names the place in the network."""
        found = culprit(self.program, self.theta, batch.x, batch.t, batch.s, batch.rows)
        self.program.theta = self.good
        raise NonFiniteError(f"{when}: {found}; program.theta is the last θ with a finite loss and gradient")
