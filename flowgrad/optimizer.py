"""The protocol of optimizers, and an elementwise step that implements it; see `flowgrad.optimizers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from flowgrad.maths.updates import RULES, Decay, Update

Array = npt.NDArray[Any]
Constants = Callable[[int, float], tuple[float, ...]]
BLOCK = 1 << 12
"""Slots per block of an update by NumPy: temporaries of 32 KB in float64 stay in the L1 or L2 cache."""


class Step(Protocol):
    """The update rule of one training, together with its state.

    Training can be resumed if the step has an attribute `state`, a dict of arrays by name. These arrays are saved in
    checkpoints, and restored in place.
    """

    def __call__(self, theta: Array, gradient: Array, rate: float) -> None:
        """Update θ (P,) in place, without modifying `gradient` (P,) and without allocating an array of size P.

        Args:
            theta, gradient: (P,) arrays of the program's dtype.
            rate: learning rate of this step, at least 0.
        """
        ...


@runtime_checkable
class Optimizer(Protocol):
    """An optimization rule with its settings. It holds no state, so one record can be used in any number of trainings.

    name           name under which users select it
    summary        one line of text for lists
    learning_rate  default learning rate, above 0
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def learning_rate(self) -> float: ...

    def start(self, theta: Array, decays: npt.NDArray[np.bool_]) -> Step:
        """Return a new step, which holds the optimizer's state during one training.

        Args:
            theta: (P,) array of the program's dtype, the parameters at the start of training.
            decays: (P,) bool, True at weights and False at biases; weight decay, if any, applies to weights only.
        """
        ...


class Elementwise:
    """A step that updates every slot by the same rule of `flowgrad.maths.updates`.

    state      arrays by name: `steps` (), the number of steps made, and `moments` (S, P), S state values per slot
    decays     (P,) factors of weight decay, or None
    """

    def __init__(
        self,
        rule: str,
        constants: Constants,
        theta: Array,
        decays: Array | None = None,
        decay: Decay = "coupled",
        initial: float = 0.0,
    ) -> None:
        self.rule, self.constants, self.decay = rule, constants, "" if decays is None else decay
        self.decays = None if decays is None else decays.astype(theta.dtype)
        self.state = {
            "steps": np.zeros((), np.int64),
            "moments": np.full((RULES[rule][1], len(theta)), initial, theta.dtype),
        }

    def next(self, rate: float) -> tuple[float, ...]:
        """Increment the number of steps, and return the constants of this step."""
        self.state["steps"] += 1
        return self.constants(int(self.state["steps"]), rate)

    def __call__(self, theta: Array, gradient: Array, rate: float) -> None:
        """Update θ (P,) in place by NumPy, as specified by `Step`."""
        rows = [*self.state["moments"], *([] if self.decays is None else [self.decays])]
        by_blocks(Update(self.rule, decay=self.decay), theta, gradient, theta, rows, (*self.next(rate), 1.0, 0.0, rate))


def by_blocks(
    update: Update, theta: Array, g: Array, out: Array, rows: list[Array], constants: tuple[float, ...]
) -> bool:
    """Run an update by NumPy, the reference: write θ to `out`, states in place; return whether all of g is finite."""
    finite = True
    with np.errstate(all="ignore"):
        for begin in range(0, len(theta), BLOCK):
            part = slice(begin, begin + BLOCK)
            finite = finite and bool(np.isfinite(g[part]).all())
            out[part], states = update(theta[part], g[part], constants, [row[part] for row in rows])
            for row, new in zip(rows, states, strict=False):
                row[part] = new
    return finite
