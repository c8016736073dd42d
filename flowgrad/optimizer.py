"""The protocol of an optimizer: how θ moves against its gradient. One file each in `flowgrad/optimizers/`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError

Array = npt.NDArray[Any]
Step = Callable[[Array, Array, float], None]
"""step(theta, gradient, rate): moves θ (P,) in place; `gradient` (P,) is read only; nothing of size P is allocated."""


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
        """The state of one run, zeros in the shape and dtype of θ, inside the step that uses it.

        Args:
            theta: (P,) as training begins.
            decays: (P,) which slots hold weights: a rule with weight decay leaves the biases alone.
        """
        ...


def real(name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> float:
    """A finite number between `low` and `high`, the upper bound excluded, the lower one where `open_low`.

    Raises:
        ConfigError: no number, not finite or out of range; the message names the argument.

    >>> real("momentum", 0.9, 0, 1)
    0.9
    """
    below = "(" if open_low else "["
    rule = f"must be a finite number in {below}{low:g}, {high:g})"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ConfigError(f"{name}={value!r}: {rule}")
    if not math.isfinite(value) or not low <= value < high or (open_low and value == low):
        raise ConfigError(f"{name}={value}: {rule}")
    return float(value)


def whole(name: str, value: object, low: int) -> int:
    """A whole number, `low` or more.

    Raises:
        ConfigError: as `real`.

    >>> whole("epochs", 3, 1)
    3
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < low:
        raise ConfigError(f"{name}={value!r}: must be a whole number, {low} or more")
    return int(value)
