"""Build single operations of other programs from groups of neurons: softmax, simplemax, piecewise linear curves.

They are ordinary neurons, whose weights and biases are frozen and so no part of θ.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from flowgrad.errors import FileError
from flowgrad.network import Network


class Names:
    """Choose distinct names for the neurons that a file does not name."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self.taken = set(taken)

    def free(self, wanted: str) -> str:
        """Return the name, with primes appended until it is not taken, and mark it as taken."""
        while wanted in self.taken:
            wanted += "'"
        self.taken.add(wanted)
        return wanted


def frozen(
    net: Network,
    name: str,
    edges: Mapping[Any, float],
    activation: str = "identity",
    aggregation: str = "sum",
    bias: float = 0.0,
) -> None:
    """Add a neuron whose bias and in-edge weights are frozen, and so no part of θ."""
    net.add_neuron(name, bias=bias, activation=activation, aggregation=aggregation, trainable=False)
    for u, w in edges.items():
        net.connect(u, name, w, trainable=False)


def softmax(net: Network, group: str, before: Sequence[str], after: Sequence[str], names: Names) -> None:
    """Add neurons after_j = e_j / Σ_i e_i with e_j = exp(before_j − max_i before_i), which cannot overflow.

    The gradient that flows through the maximum is 0 in exact arithmetic: softmax is invariant under a common shift.
    """
    largest, total = names.free(f"{group}.max"), names.free(f"{group}.1/sum")
    exps = [names.free(f"{v}.exp") for v in after]
    frozen(net, largest, dict.fromkeys(before, 1.0), aggregation="max")
    for u, e in zip(before, exps, strict=True):
        frozen(net, e, {u: 1.0, largest: -1.0}, "exp")
    frozen(net, total, dict.fromkeys(exps, 1.0), "reciprocal")
    for e, v in zip(exps, after, strict=True):
        frozen(net, v, {e: 1.0, total: 1.0}, aggregation="product")


def simplemax(net: Network, group: str, before: Sequence[str], after: Sequence[str], names: Names) -> None:
    """Add neurons after_j = before_j / Σ_i before_i."""
    total = names.free(f"{group}.1/sum")
    frozen(net, total, dict.fromkeys(before, 1.0), "reciprocal")
    for u, v in zip(before, after, strict=True):
        frozen(net, v, {u: 1.0, total: 1.0}, aggregation="product")


def curve(
    net: Network, name: str, before: str, points: Sequence[tuple[float, float]], clipped: bool, names: Names
) -> None:
    """Add a piecewise linear function through (x, y) points, constant beyond the ends if `clipped`, else extrapolated.

    y = y₀ + s₀(x − x₀) + Σ_k (s_k − s_{k−1}) relu(x − x_k), s_k the slope right of x_k.

    Raises:
        FileError: fewer than two points, or x does not ascend.
    """
    if len(points) < 2 or any(b[0] <= a[0] for a, b in pairwise(points)):
        raise FileError(f"{name}: a curve has two or more points, from left to right")
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    x0, y0 = points[0]
    if not clipped and len(points) == 2:
        frozen(net, name, {before: slopes[0]}, bias=y0 - slopes[0] * x0)
        return
    turns = list(zip(points[1:-1], slopes, slopes[1:], strict=False))
    edges: dict[Hashable, float] = {} if clipped else {before: slopes[0]}
    if clipped:
        turns = [(points[0], 0.0, slopes[0]), *turns, (points[-1], slopes[-1], 0.0)]
    for k, ((x, _), left, right) in enumerate(turns):
        bend = names.free(f"{name}.bend{k}")
        frozen(net, bend, {before: 1.0}, "relu", bias=-x)
        edges[bend] = right - left
    frozen(net, name, edges, bias=y0 if clipped else y0 - slopes[0] * x0)
