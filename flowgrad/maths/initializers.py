"""Initializers: the standard deviation of an edge's first weight, drawn from a normal distribution of mean 0.

In a graph the two fans differ from edge to edge: of w_uv, fan_in is the number of in-edges of v, fan_out the
number of out-edges of u. In a layered network these are the usual ones. Which one draws the weights into a neuron is
said by its activation (`Activation.initializer`), unless the network is made with `initializer=`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, brief

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Initializer:
    """A named rule; `std(fan_in, fan_out)` takes arrays (E,) float64, one value an edge, fans ≥ 1.

    It gives an array (E,), or one number for all edges, each finite and 0 or more.

    Raises:
        ConfigError: the name is no text or empty, or `std` cannot be called.

    >>> entries["he"], Initializer("small", lambda fan_in, fan_out: 0.01).name
    (Initializer('he', std=he), 'small')
    """

    name: str
    std: Callable[[Array, Array], Array | float]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"the name of an initializer is {brief(self.name)}: must be a text, not empty")
        if not callable(self.std):
            raise ConfigError(f"initializer {brief(self.name)}: std={brief(self.std)} cannot be called")

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


def fan_in(fan_in: Array, fan_out: Array) -> Array:
    """√(1/(3·fan_in)): of the uniform distribution on ±1/√fan_in, as PyTorch draws linear layers' weights.

    Smaller than Glorot's where a neuron has few in-edges and its sources feed few, as in most graphs that are given.

    >>> fan_in(np.array([12.0]), np.array([1.0])).round(6)
    array([0.166667])
    """
    return np.sqrt(1.0 / (3.0 * fan_in))


def glorot_spectral(fan_in: Array, fan_out: Array) -> Array:
    """Glorot's rule up to fan_in = fan_out, and √fan_out/fan_in beyond: √min(2/(fan_in + fan_out), fan_out/fan_in²).

    For functions that saturate on both sides. Glorot's rule makes Var z up to twice the mean square of the sources
    where a neuron has many in-edges and its sources few out-edges, as in hierarchies, and a first z that is large
    leaves σ' near 0. The factor √(fan_out/fan_in) on 1/√fan_in is that of the spectral condition for feature learning
    (Yang, Simon & Bernstein 2023, Parametrization 1). Equal fans keep Var z, and so does a chain; `fan_in` would make
    the signal √⅓ of itself in each layer.

    >>> glorot_spectral(np.array([3.0, 4.0, 8.0]), np.array([5.0, 4.0, 4.0]))
    array([0.5 , 0.5 , 0.25])
    """
    return np.sqrt(np.minimum(2.0 / (fan_in + fan_out), fan_out / (fan_in * fan_in)))


entries: dict[str, Initializer] = {
    i.name: i
    for i in (
        Initializer("glorot", glorot),
        Initializer("he", he),
        Initializer("fan_in", fan_in),
        Initializer("glorot_spectral", glorot_spectral),
    )
}
