"""Losses l_n of equation (4), each with the base case of (9), ∂(Σ_k l_k)/∂y_n, directly under it.

    f(y, t, lse)         l_n
    df(y, t, lse, mass)  ∂(Σ_k l_k)/∂y_n

y, t are (B, O) float arrays, outputs and targets; lse (B, 1) is log Σ_n e^{y_n} and mass (B, 1) is Σ_n t_n of
each sample, and only a coupled loss reads them: one whose l_n depends on the sample's other outputs. Plain
elementwise expressions, run on whole arrays by NumPy (under `np.errstate(all="ignore")`) and compiled as they
are for single float64 numbers by Numba. Nothing is clipped: a certain outcome that was given probability 0
costs inf. A coefficient that is exactly 0 takes its term out, also where the other factor is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy import where  # by this name, so that a compiler can put a plain choice between two numbers here

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Loss:
    """A named l_n with its derivative; `coupled` where l_n depends on the sample's other outputs.

    >>> entries["cross_entropy"]
    Loss('cross_entropy', f=cross_entropy, df=dcross_entropy, coupled=True)
    """

    name: str
    f: Callable[[Array, Array, Array], Array]
    df: Callable[[Array, Array, Array, Array], Array]
    coupled: bool = False

    def __repr__(self) -> str:
        f, df = (getattr(g, "__name__", repr(g)) for g in (self.f, self.df))
        return f"Loss({self.name!r}, f={f}, df={df}, coupled={self.coupled})"


def logsumexp(y: Array) -> Array:
    """log Σ_n e^{y_n} of each sample: (B, O) → (B, 1), the largest y_n taken out first.

    inf in a row gives inf, a row of −inf gives −inf, NaN gives NaN.

    >>> logsumexp(np.array([[1e4, 0.0, -1e4], [0.0, 0.0, -np.inf]]))
    array([[1.00000000e+04], [6.93147181e-01]])
    """
    top = np.max(y, axis=1, keepdims=True)
    shift = where(np.isfinite(top), top, 0.0)
    return np.asarray(np.log(np.sum(np.exp(y - shift), axis=1, keepdims=True)) + shift)


def squared_error(y: Array, t: Array, lse: Array) -> Array:
    """l_n = ½ (y_n − t_n)²; with the ½ the derivative is the error itself."""
    return 0.5 * (y - t) * (y - t)


def dsquared_error(y: Array, t: Array, lse: Array, mass: Array) -> Array:
    """y_n − t_n"""
    return y - t


def cross_entropy(y: Array, t: Array, lse: Array) -> Array:
    """l_n = −t_n · log softmax(y)_n = t_n (lse − y_n), y logits; t is one-hot or probabilities."""
    return t * where(t == 0.0, 0.0, lse - y)


def dcross_entropy(y: Array, t: Array, lse: Array, mass: Array) -> Array:
    """mass · softmax(y)_n − t_n: Σ_k t_k (softmax(y)_n − [n = k]), whatever the t_k add up to."""
    return mass * np.exp(y - lse) - t


def binary_cross_entropy(y: Array, t: Array, lse: Array) -> Array:
    """l_n = log(1 + e^{y_n}) − t_n · y_n, y logits, by log(1 + e^y) = max(y, 0) + log1p(e^{−|y|})."""
    q = (y > 0.0) - t
    return q * where(q == 0.0, 0.0, y) + np.log1p(np.exp(-np.abs(y)))


def dbinary_cross_entropy(y: Array, t: Array, lse: Array, mass: Array) -> Array:
    """σ(y_n) − t_n; for y > 0 as (1 − t_n) − σ(−y_n), which cancels nothing where t_n = 1."""
    e = np.exp(-np.abs(y))
    s = e / (1.0 + e)
    return (y > 0.0) - t + (s - 2.0 * ((y > 0.0) * s))


def absolute_error(y: Array, t: Array, lse: Array) -> Array:
    """l_n = |y_n − t_n|"""
    return np.abs(y - t)


def dabsolute_error(y: Array, t: Array, lse: Array, mass: Array) -> Array:
    """sign(y_n − t_n), 0 at 0"""
    return np.sign(y - t)


def huber(y: Array, t: Array, lse: Array) -> Array:
    """l_n = ½ d² where |d| ≤ 1, else |d| − ½, d = y_n − t_n: both are c (|d| − ½ c) with c = min(|d|, 1)."""
    c = np.minimum(np.abs(y - t), 1.0)
    return c * (np.abs(y - t) - 0.5 * c)


def dhuber(y: Array, t: Array, lse: Array, mass: Array) -> Array:
    """y_n − t_n, clipped to [−1, 1]"""
    return np.maximum(np.minimum(y - t, 1.0), -1.0)


def poisson(y: Array, t: Array, lse: Array) -> Array:
    """l_n = e^{y_n} − t_n · y_n, y log rates; the term log t_n! that does not depend on θ is left out."""
    return np.exp(y) - t * where(t == 0.0, 0.0, y)


def dpoisson(y: Array, t: Array, lse: Array, mass: Array) -> Array:
    """e^{y_n} − t_n"""
    return np.exp(y) - t


entries: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("squared_error", squared_error, dsquared_error),
        Loss("cross_entropy", cross_entropy, dcross_entropy, coupled=True),
        Loss("binary_cross_entropy", binary_cross_entropy, dbinary_cross_entropy),
        Loss("absolute_error", absolute_error, dabsolute_error),
        Loss("huber", huber, dhuber),
        Loss("poisson", poisson, dpoisson),
    )
}
