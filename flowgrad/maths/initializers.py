"""Initializers: the standard deviation of an edge's first weight, drawn from a normal distribution of mean 0.

In a graph the two fans differ from edge to edge: of w_uv, fan_in is the number of in-edges of v, fan_out the
number of out-edges of u. In a layered network these are the usual ones. Which one draws the weights into a neuron is
said by its activation (`Activation.initializer`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Initializer:
    """A named rule; `std(fan_in, fan_out)` takes and gives arrays (E,) float64, one value an edge, fans ≥ 1.

    >>> entries["he"]
    Initializer('he', std=he)
    """

    name: str
    std: Callable[[Array, Array], Array]

    def __repr__(self) -> str:
        return f"Initializer({self.name!r}, std={getattr(self.std, '__name__', repr(self.std))})"


def glorot(fan_in: Array, fan_out: Array) -> Array:
    """√(2/(fan_in + fan_out)): keeps Var a and Var ∂L/∂z, each half-way (Glorot & Bengio 2010, (12)).

    >>> glorot(np.array([3.0]), np.array([5.0]))
    array([0.5])
    """
    return np.sqrt(2.0 / (fan_in + fan_out))


def he(fan_in: Array, fan_out: Array) -> Array:
    """√(2/fan_in): keeps Var z forward where σ lets half of it through (He et al. 2015, (10)).

    >>> he(np.array([8.0]), np.array([1.0]))
    array([0.5])
    """
    return np.sqrt(2.0 / fan_in)


entries: dict[str, Initializer] = {i.name: i for i in (Initializer("glorot", glorot), Initializer("he", he))}
