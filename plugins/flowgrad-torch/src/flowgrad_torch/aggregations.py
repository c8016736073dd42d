"""flowgrad's aggregations other than sum and mean as torch operators, with ∂m/∂t directly under each.

`t` (n, K, B), K ≥ 1, holds the terms w_uv·a_u of n neurons with K in-edges each, in edge order, for B samples.
A function gives m (n, B), its derivative ∂m/∂t (n, K, B). Ties go to the first edge. A NaN among the terms makes
m NaN, and the gradient NaN at the terms that are NaN and 0 at the others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, where

Function = Callable[[Tensor], Tensor]


def _parts(t: Tensor) -> tuple[Tensor, Tensor]:
    """Split float64 numbers into mantissas, ½ ≤ |m| < 1, and exponents (int64); 0, inf and NaN are own mantissas."""
    m, e = torch.frexp(t)
    odd = (t == 0.0) | ~torch.isfinite(t)
    return where(odd, t, m), where(odd, 0, e).to(torch.int64)


def _two_to(e: Tensor) -> Tensor:
    """2^e, exactly, |e| ≤ 1000, by the bits of a float64."""
    return ((e + 1023) << 52).view(torch.float64)


def _scaled(m: Tensor, e: Tensor) -> Tensor:
    """m·2^e in three exact steps, so that only the last can round."""
    e = e.clamp(-2400, 2400)
    third = torch.div(e, 3, rounding_mode="trunc")
    return m * _two_to(third) * _two_to(third) * _two_to(e - 2 * third)


def _times(m: Tensor, e: Tensor, x: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
    m, j = _parts(m * x)
    return m, e + i + j


def product(t: Tensor) -> Tensor:
    """Π_k t_k, in float64, mantissas and exponents apart"""
    x, i = _parts(t.double())
    m, e = torch.ones_like(x[:, 0]), torch.zeros_like(i[:, 0])
    for k in range(t.shape[1]):
        m, e = _times(m, e, x[:, k], i[:, k])
    return _scaled(m, e).to(t.dtype)


def dproduct(t: Tensor) -> Tensor:
    """Π_{j<k} t_j · Π_{j>k} t_j, factor by factor"""
    x, i = _parts(t.double())
    d, exponent = torch.empty_like(x), torch.empty_like(i)
    one, zero = torch.ones_like(x[:, 0]), torch.zeros_like(i[:, 0])
    m, e = one, zero
    for k in range(t.shape[1]):
        d[:, k], exponent[:, k] = m, e
        m, e = _times(m, e, x[:, k], i[:, k])
    m, e = one, zero
    for k in range(t.shape[1] - 1, -1, -1):
        d[:, k] = _scaled(d[:, k] * m, exponent[:, k] + e)
        m, e = _times(m, e, x[:, k], i[:, k])
    return d.to(t.dtype)


def _first(wins: Tensor) -> Tensor:
    """Keep only the first True along K: (n, K, B) bool."""
    return wins & (wins.cumsum(1) == 1)


def _send(t: Tensor, winner: Tensor) -> Tensor:
    """Give 1 to the winner and 0 to the others; if any term is NaN, NaN to NaN terms and 0 to the others."""
    nan = t != t
    return where(nan, t, (winner & ~nan.any(1, keepdim=True)).to(t.dtype))


def maximum(t: Tensor) -> Tensor:
    """max_k t_k"""
    return t.amax(1)


def dmaximum(t: Tensor) -> Tensor:
    """1 for the first largest term"""
    return _send(t, _first(t == t.amax(1, keepdim=True)))


def minimum(t: Tensor) -> Tensor:
    """min_k t_k"""
    return t.amin(1)


def dminimum(t: Tensor) -> Tensor:
    """1 for the first smallest term"""
    return _send(t, _first(t == t.amin(1, keepdim=True)))


def _largest(t: Tensor) -> Tensor:
    size = t.abs()
    return _first(size == size.amax(1, keepdim=True))


def max_abs(t: Tensor) -> Tensor:
    """The first term of largest magnitude, with its sign"""
    k = _largest(t).to(torch.int8).argmax(1, keepdim=True)
    return where((t != t).any(1), torch.nan, t.gather(1, k)[:, 0])


def dmax_abs(t: Tensor) -> Tensor:
    """1 for the first term of largest magnitude"""
    return _send(t, _largest(t))


def _middle(t: Tensor) -> tuple[Tensor, Tensor]:
    """Find the edges, (n, 1, B) each, of the two middle terms in ascending order, ties in edge order."""
    order = t.sort(dim=1, stable=True).indices
    K = t.shape[1]
    return order[:, (K - 1) // 2, None], order[:, K // 2, None]


def median(t: Tensor) -> Tensor:
    """The middle term; for even K the mean of the middle two, by the sum that neither overflows nor underflows"""
    i, j = _middle(t)
    low, high = t.gather(1, i)[:, 0], t.gather(1, j)[:, 0]
    m = low if t.shape[1] % 2 else where(low.abs() < 1.0, 0.5 * (low + high), 0.5 * low + 0.5 * high)
    return where((t != t).any(1), torch.nan, m)


def dmedian(t: Tensor) -> Tensor:
    """1 for the middle term; for even K ½ for each of the middle two"""
    i, j = _middle(t)
    half = torch.full_like(i, 0.5, dtype=t.dtype)
    d = torch.zeros_like(t).scatter_add_(1, i, half).scatter_add_(1, j, half)
    nan = t != t
    return where(nan, t, where(nan.any(1, keepdim=True), 0.0, d))


FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "product": (product, dproduct),
    "max": (maximum, dmaximum),
    "min": (minimum, dminimum),
    "median": (median, dmedian),
    "max_abs": (max_abs, dmax_abs),
}
