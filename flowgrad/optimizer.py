"""The protocol of an optimizer: how θ moves against its gradient. One file each in `flowgrad/optimizers/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

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
