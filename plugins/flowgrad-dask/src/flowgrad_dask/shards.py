"""Cut a batch into shards and add up their gradients by a tree: bit-identical for any number of workers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np

from flowgrad.errors import BoundedOutputWarning
from flowgrad.executor import Array, Differentiates, Executor
from flowgrad.inturn import InTurn
from flowgrad.maths.dropout import Dropout
from flowgrad.maths.losses import Loss
from flowgrad.network import Network
from flowgrad.program import Program, compile

T = TypeVar("T")
Part = tuple[float, Array]  # loss and gradient (P,)
Span = tuple[int, int]  # first and last shard of a sum


@dataclass(frozen=True)
class Job:
    """Describe a program to a worker, which receives this once; later messages refer to it by `key`."""

    key: str
    network: Network
    executor: str | Executor
    dtype: str
    loss: Loss | None
    threads: int | None


def bounds(rows: int, shards: int) -> list[slice]:
    """Divide `rows` rows into at most `shards` slices of nearly equal length, none empty; only these numbers matter.

    >>> bounds(5, 2), len(bounds(3, 8))
    ([slice(0, 3, None), slice(3, 5, None)], 3)
    """
    n = min(rows, shards)
    ends = [0, *np.cumsum([rows // n + (k < rows % n) for k in range(n)]).tolist()]
    return [slice(ends[k], ends[k + 1]) for k in range(n)]


def tree(parts: Sequence[T], add: Callable[[T, T], T]) -> T:
    """Add neighbours, then their sums, until one is left, in an order that depends on the number of parts only.

    >>> tree(list("abcde"), "({}+{})".format)
    '(((a+b)+(c+d))+e)'
    """
    level = list(parts)
    while len(level) > 1:
        pairs = [add(level[k], level[k + 1]) for k in range(0, len(level) - 1, 2)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


@cache
def pairs(shards: int) -> dict[Span, tuple[Span, Span, Span]]:
    """Map each span (first, last shard) that the tree adds to the addition it is part of: the spans left, right, sum.

    >>> pairs(3)[1, 1], pairs(3)[2, 2]
    (((0, 0), (1, 1), (0, 1)), ((0, 1), (2, 2), (0, 2)))
    """
    found = {}

    def put(left: Span, right: Span) -> Span:
        found[left] = found[right] = left, right, (left[0], right[1])
        return left[0], right[1]

    tree([(k, k) for k in range(shards)], put)
    return found


def add(one: Part, other: Part, out: Array | None = None) -> Part:
    """Add two parts; the sum of gradients is written to `out` (P,) if it is given."""
    return one[0] + other[0], np.add(one[1], other[1], out=out)


def drawn(dropout: Dropout | None, rows: int, shards: int) -> list[Dropout | None]:
    """Return the dropout of each shard, offset so that every sample gets the same draws as in the whole batch.

    >>> [draw.first for draw in drawn(Dropout(0.5, first=10), 5, 2)]
    [10, 13]
    """
    parts = bounds(rows, shards)
    return [None if dropout is None else replace(dropout, first=dropout.first + part.start) for part in parts]


def gradient(
    program: Program,
    theta: Array,
    x: Array,
    t: Array,
    s: Array | None,
    scale: float,
    out: Array | None = None,
    dropout: Dropout | None = None,
) -> Part:
    """Compute loss and gradient of one shard, both multiplied by `scale`, by (1)–(10); the gradient goes to `out` (P,).

    If `out` is None, a new array is made.
    """
    kernel, plan = program.kernel, program.plan
    g = np.empty(plan.n_parameters, program.dtype) if out is None else out
    at_once = kernel if isinstance(kernel, Differentiates) else InTurn(kernel, plan, program.loss)
    differentiate: Callable[..., float] = at_once.value_and_grad
    return float(differentiate(theta, x, t, s, scale, g, *(() if dropout is None else (dropout,)))), g


def sharded_value_and_grad(
    program: Program,
    theta: Array,
    X: Array,
    T: Array,
    shards: int,
    scale: float | None = None,
    dropout: Dropout | None = None,
) -> Part:
    """Compute in this process, bit for bit, what the executor "dask" computes with the same number of shards.

    Args:
        program: a program with a loss, compiled for the inner executor.
        theta: (P,) parameters, of the program's dtype.
        X: (B, I) samples, of the program's dtype.
        T: (B, O) targets, of the program's dtype.
        shards: number of shards, an integer ≥ 1.
        scale: factor of loss and gradient, which are sums over the samples. Default: 1/B, which gives the mean.
        dropout: dropout of the step. Default: none.

    Returns:
        The loss, and its gradient (P,).
    """
    factor = 1.0 / len(X) if scale is None else scale
    draws = drawn(dropout, len(X), shards)
    parts = [
        gradient(program, theta, X[rows], T[rows], None, factor, dropout=draw)
        for rows, draw in zip(bounds(len(X), shards), draws, strict=True)
    ]
    return tree(parts, add)


def compiled(job: Job, threads: int | None) -> Program:
    """Compile a job, on `threads` threads unless the job gives a number; its creator has got the warnings already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundedOutputWarning)
        return compile(job.network, job.executor, job.dtype, job.loss, threads=job.threads or threads)
