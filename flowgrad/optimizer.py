"""The protocol of optimizers, and their elementwise step; each optimizer is a module of `flowgrad/optimizers/`."""

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
    """The state and update of one run of an optimizer.

    A training can be resumed if its step has a `state`, a dict of arrays by name: these are saved in checkpoints, and
    restored in place.
    """

    def __call__(self, theta: Array, gradient: Array, rate: float) -> None:
        """Update θ (P,) in place; `gradient` (P,) is not modified; nothing of size P is allocated."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """A rule with its settings; frozen, so that one record serves any number of runs.

    `name` is what the user types, `summary` one line for lists, `learning_rate` the default rate.
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def learning_rate(self) -> float: ...

    def start(self, theta: Array, decays: npt.NDArray[np.bool_]) -> Step:
        """The state of one run, inside the step that uses it.

        Args:
            theta: (P,) as training begins.
            decays: (P,) which slots hold weights: a rule with weight decay leaves the biases alone.
        """
        ...


class Elementwise:
    """A step that updates every slot by the same rule of `flowgrad.maths.updates`.

    state      by name: `steps`, the number of steps made, and `moments` (S, P), S state values per slot
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
        """Update θ in place by NumPy, as `Step`."""
        rows = [*self.state["moments"], *([] if self.decays is None else [self.decays])]
        by_blocks(Update(self.rule, decay=self.decay), theta, gradient, theta, rows, (*self.next(rate), 1.0, 0.0, rate))


def by_blocks(
    update: Update, theta: Array, g: Array, out: Array, rows: list[Array], constants: tuple[float, ...]
) -> bool:
    """Run an update by NumPy, the reference: writes θ to `out`, states in place; returns whether g is all finite."""
    finite = True
    with np.errstate(all="ignore"):
        for begin in range(0, len(theta), BLOCK):
            part = slice(begin, begin + BLOCK)
            finite = finite and bool(np.isfinite(g[part]).all())
            out[part], states = update(theta[part], g[part], constants, [row[part] for row in rows])
            for row, new in zip(rows, states, strict=False):
                row[part] = new
    return finite
