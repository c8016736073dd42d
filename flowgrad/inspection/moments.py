"""Means and standard deviations of every node's value by class, accumulated over parts of the samples."""

from __future__ import annotations

import numpy as np

from flowgrad.executor import Array


class Moments:
    """Accumulator for N outputs, C classes and V nodes, float64 (Chan, Golub & LeVeque 1983: no cancellation)."""

    def __init__(self, outputs: int, classes: int, nodes: int, spread: bool = True) -> None:
        self.spread, self._scratch = spread, np.empty(0)
        self.n = np.zeros((outputs, classes))
        self.mean, self.square = np.zeros((2, outputs, classes, nodes))

    @np.errstate(all="ignore")  # NaN and inf propagate
    def add(self, output: int, codes: Array, values: Array) -> None:
        """Accumulate the (V, b) values of b samples with class numbers `codes` (b,)."""
        for c in np.unique(codes).tolist():
            mine = values if len(self.n[0]) == 1 else values[:, codes == c]
            if not self.spread:
                mean, square = mine.mean(axis=1), 0.0
            else:  # relative to each row's first sample: no cancellation where rows hardly vary
                aside = np.subtract(mine, mine[:, :1], out=self._room(mine.shape))
                moved = aside.mean(axis=1)
                mean = mine[:, 0] + moved
                square = np.maximum(np.einsum("vb,vb->v", aside, aside) - mine.shape[1] * moved * moved, 0.0)
            here = slice(output, output + 1), c
            self.n[here], self.mean[here], self.square[here] = _together(
                self.n[here][..., None], self.mean[here], self.square[here], mine.shape[1], mean, square
            )

    def _room(self, shape: tuple[int, ...]) -> Array:
        """Return a reused buffer for an intermediate result; a new allocation would take longer than the arithmetic."""
        if self._scratch.size < np.prod(shape):
            self._scratch = np.empty(int(np.prod(shape)))
        return self._scratch[: int(np.prod(shape))].reshape(shape)

    @np.errstate(all="ignore")
    def of(self, which: int | None) -> tuple[Array, Array]:
        """Return (N, V) mean and standard deviation over the samples of one class, or over all samples for None."""
        if which is not None:
            n, mean, square = self.n[:, which, None], self.mean[:, which], self.square[:, which]
        else:
            n, mean, square = np.zeros((len(self.n), 1)), *np.zeros((2, len(self.mean), self.mean.shape[2]))
            for c in range(self.n.shape[1]):
                count, mean, square = _together(n, mean, square, self.n[:, c, None], self.mean[:, c], self.square[:, c])
                n = count[:, None]
        return mean, np.sqrt(square / np.maximum(n, 1))

    def samples(self, which: int | None) -> int:
        """Return the number of samples of one class, or of all classes for None."""
        return int(self.n[0].sum() if which is None else self.n[0, which])


def _together(
    n: Array, mean: Array, square: Array, m: Array | int, other: Array, more: Array | float
) -> tuple[Array, ...]:
    """Merge count, mean and Σ(value − mean)² of two sets of samples."""
    total = n + m
    step = other - mean
    share = m / np.maximum(total, 1)
    return total[..., 0], mean + step * share, square + more + step * step * (n * share)
