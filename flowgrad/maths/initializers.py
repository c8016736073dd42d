"""Initializers: rules for the standard deviation of initial weights, which are normally distributed with mean 0.

In a general graph fan-in and fan-out differ from edge to edge: for the weight w_uv of edge u → v, fan_in is the number
of in-edges of v and fan_out the number of out-edges of u. In a layered network these are the usual definitions. The
initializer of the weights into a neuron is that of its activation (`Activation.initializer`), unless the network is
created with `initializer=`, which then holds for all edges.
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
    """A rule for the standard deviation of initial weights.

    Args:
        name: non-empty str.
        std: function of fan_in and fan_out, two arrays of equal shape (n,), float64, one entry per edge, each ≥ 1. It
            returns the standard deviations, an array (n,) or one number for all edges, finite and ≥ 0. It may be called
            several times for one network, once for the edges into the neurons of each activation.

    Raises:
        ConfigError: `name` is not a non-empty str, or `std` is not callable.

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
    """Return √(2/(fan_in + fan_out)), a compromise between constant Var a and Var ∂L/∂z (Glorot & Bengio 2010).

    Constant variance of activations over layers needs Var w = 1/fan_in, and constant variance of gradients
    Var w = 1/fan_out; the compromise is equation (12) of the paper.

    >>> glorot(np.array([3.0]), np.array([5.0]))
    array([0.5])
    """
    return np.sqrt(2.0 / (fan_in + fan_out))


def he(fan_in: Array, fan_out: Array) -> Array:
    """Return √(2/fan_in), which keeps Var z constant over layers where σ halves it, as relu (He et al. 2015, (10)).

    >>> he(np.array([8.0]), np.array([1.0]))
    array([0.5])
    """
    return np.sqrt(2.0 / fan_in)


def fan_in(fan_in: Array, fan_out: Array) -> Array:
    """Return √(1/(3·fan_in)), the standard deviation of PyTorch's default for linear layers.

    PyTorch draws from the uniform distribution on ±1/√fan_in. This rule gives smaller weights than Glorot's where
    fan_out < 5·fan_in.

    >>> fan_in(np.array([12.0]), np.array([1.0])).round(6)
    array([0.166667])
    """
    return np.sqrt(1.0 / (3.0 * fan_in))


def glorot_spectral(fan_in: Array, fan_out: Array) -> Array:
    """Return √min(2/(fan_in + fan_out), fan_out/fan_in²): Glorot's rule, but √fan_out/fan_in where fan_in > fan_out.

    It is meant for activations that saturate on both sides. Where a neuron has many in-edges and its sources have few
    out-edges, as in hierarchies, Glorot's rule makes Var z up to twice the mean square of the sources; a large initial
    z leaves σ' near 0. The factor √(fan_out/fan_in) on 1/√fan_in is that of the spectral condition for feature
    learning (Yang, Simon & Bernstein 2023, Parametrization 1). With equal fans, as in a chain, Var z equals the mean
    square of the sources; the rule `fan_in` would scale the signal by √⅓ in each layer.

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
