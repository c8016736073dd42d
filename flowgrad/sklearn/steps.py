"""Carry state from one call of `partial_fit` to the next: the optimizer's state, and the bounds on θ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError
from flowgrad.fitting.slots import Bounds
from flowgrad.optimizer import Optimizer, Step
from flowgrad.optimizers import optimizer_for

State = dict[str, npt.NDArray[Any]]
Pairs = list[tuple[npt.NDArray[np.intp], tuple[float, float]]]


class Continued:
    """An `Optimizer` that starts from the final state of an earlier run of the same rule.

    Args:
        optimizer: name or record of an optimizer.
        before: the `Continued` of the previous call; None in the first call.

    Raises:
        UnknownNameError: there is no optimizer of this name. ConfigError: the argument is not an optimizer, or, raised
            by `start`, its steps have no `state`.
    """

    def __init__(self, optimizer: str | Optimizer, before: Continued | None) -> None:
        self.rule = rule = optimizer_for(optimizer)
        self.state: State = before.state if before is not None and before.rule == rule else {}
        self.name, self.summary, self.learning_rate = rule.name, rule.summary, rule.learning_rate

    def start(self, theta: npt.NDArray[Any], decays: npt.NDArray[np.bool_]) -> Step:
        """Start as `Optimizer.start` does, with the state copied from the previous run."""
        step = self.rule.start(theta, decays)
        state = getattr(step, "state", None)
        if not isinstance(state, dict):
            raise ConfigError(f"partial_fit: {self.name} has no `state` to go on from: see flowgrad.optimizer.Step")
        for name, value in self.state.items():
            state[name][...] = value
        self.state = state
        return step


def fixed(bounds: Bounds | None) -> Pairs | None:
    """Convert bounds of θ to (slots, (low, high)) pairs, so that "sign" keeps meaning the signs at the first call."""
    if bounds is None:
        return None
    ends, which = np.unique(np.stack(bounds, axis=1), axis=0, return_inverse=True)
    return [(np.flatnonzero(which.reshape(-1) == k), (float(low), float(high))) for k, (low, high) in enumerate(ends)]
