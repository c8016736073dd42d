"""Kernels of aggregations over rows against their formulas in maths/, also where terms tie or are no finite numbers."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from numba.core import config

from flowgrad.executors._numba import aggregate
from flowgrad.executors._numba.compiled import uncompiled
from flowgrad.executors._numba.records import NET, STRIDE, TILE
from flowgrad.maths.aggregations import Aggregation
from flowgrad.registry import find

LANES = {np.float32: 32, np.float64: 16}


def call(address: int, *arguments: int) -> None:
    """Call a kernel by what `address` gave, compiled or not."""
    if config.DISABLE_JIT:
        with np.errstate(all="ignore"):
            uncompiled(address)(*arguments)
    else:
        ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * (len(arguments) + 1))(address)(0, *arguments)


def mask_of(dtype: Any, lanes: int, count: int) -> Any:
    """A row that is all ones in so many lanes, else 0."""
    mask = np.zeros(lanes, np.int32 if dtype == np.float32 else np.int64)
    mask[:count] = -1
    return mask


class Aggregated:
    """A run of neurons of these fan-ins, whose sources are the rows before them; all lanes but the last are samples.

    Args:
        values: (generator, shape) → activations of the sources; standard normal without it.
        weights: (generator, number) → weights; ±1, ½ or 2 without it.
    """

    def __init__(
        self,
        dtype: Any,
        fans: Sequence[int],
        values: Callable[..., Any] | None = None,
        weights: Callable[..., Any] | None = None,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.dtype, self.fans, self.lanes = dtype, list(fans), LANES[dtype]
        self.count, self.first = self.lanes - 1, max(fans) + 1
        n, edges = len(fans), sum(fans)
        self.A = rng.normal(size=(self.first + n + edges, self.lanes)).astype(dtype)
        if values is not None:
            self.A[: self.first] = values(rng, (self.first, self.lanes))
        self.w = (rng.choice([1.0, -1.0, 0.5, 2.0], edges) if weights is None else weights(rng, edges)).astype(dtype)
        self.source = np.concatenate([rng.permutation(self.first)[:K] for K in fans]).astype(np.int32)
        self.b = rng.normal(size=self.first + n).astype(dtype)
        self.r = rng.choice([1.0, -0.5, 3.0], self.first + n).astype(dtype)
        self.Z = np.full((self.first + n, self.lanes), 7.0, dtype)
        self.ends = np.concatenate([np.zeros(self.first), np.cumsum(fans)]).astype(np.int64)

    def run(self, aggregation: Aggregation) -> tuple[Any, Any]:
        """z (V, lanes) of the neurons, and the messages ∂L/∂t_k (E, lanes)."""
        n, lanes = len(self.fans), self.lanes
        dtype = np.dtype(self.dtype)
        begins = np.concatenate([np.zeros(self.first), np.cumsum([0, *self.fans[:-1]])]).astype(np.int64)
        arrays = {
            "in_begin": begins,
            "in_end": self.ends,
            "in_source": self.source * np.int32(STRIDE),
            "position": np.arange(self.first + n, dtype=np.int32),
            "response": self.r,
            "run_begin": np.array([self.first, self.first + n], np.int32),
            "message": (begins + self.first + n).astype(np.int32),
        }
        rooms = {
            "A": self.A,
            "Z": self.Z,
            "terms": np.zeros(aggregate.ROOM * lanes * max(self.fans) // 8 + 1),
            "mask": mask_of(self.dtype, lanes, self.count),
        }
        net, tile = np.zeros(1, NET), np.zeros(1, TILE)
        for record, of in ((net, arrays), (tile, rooms)):
            for name, array in of.items():
                record[name] = array.ctypes.data
        tile["count"] = self.count
        places = net.ctypes.data, tile.ctypes.data, 0, self.w.ctypes.data
        call(aggregate.gathers(aggregation, dtype, lanes), *places, self.b.ctypes.data)
        call(aggregate.spreads(aggregation, dtype, lanes), *places)
        return self.Z[self.first :], self.A[self.first + n :]

    def want(self, aggregation: Aggregation) -> tuple[Any, Any]:
        """The same by the aggregation's formulas."""
        z = np.zeros((len(self.fans), self.lanes))
        messages = np.zeros((sum(self.fans), self.lanes))
        end = 0
        with np.errstate(all="ignore"):
            for i, K in enumerate(self.fans):
                begin, end = end, end + K
                r, b = float(self.r[self.first + i]), float(self.b[self.first + i])
                for lane in range(self.lanes):
                    a = self.A[self.source[begin:end], lane].astype(np.float64)
                    t, d = self.w[begin:end].astype(np.float64) * a, np.zeros(K)
                    z[i, lane] = b + r * aggregation.f(t) if K else b
                    if K and lane < self.count:
                        aggregation.df(t, d)
                        messages[begin:end, lane] = r * d * float(self.A[self.first + i, lane])
            return z.astype(self.dtype), messages.astype(self.dtype)


NAMES = ("max", "min", "max_abs", "median", "product")
FANS = (0, 1, 2, 3, 4, 5, 8, 10, 16, 17, 33, 100)
FLOATS = {"float32": np.float32, "float64": np.float64}
DTYPES = pytest.mark.parametrize("dtype", FLOATS.values())
EACH = pytest.mark.covering(name=NAMES, dtype=FLOATS)

TIES = (-1.0, 0.0, 1.0, 2.0)
SPECIAL = (-1.0, 0.0, -0.0, np.inf, -np.inf, np.nan, 3.0, 1e30, 1e-30)
OFTEN = (0.2, 0.1, 0.05, 0.02, 0.02, 0.01, 0.2, 0.2, 0.2)


def agree(case: Aggregated, aggregation: Aggregation) -> None:
    """Results are those of the formulas, but for roundings of terms, of b + r·m and of subnormal numbers."""
    (z, messages), (want, slopes) = case.run(aggregation), case.want(aggregation)
    eps, tiny = float(np.finfo(case.dtype).eps), float(np.finfo(case.dtype).smallest_subnormal)
    np.testing.assert_allclose(messages, slopes, rtol=8 * eps, atol=4 * tiny)
    slack = 8 * eps * np.abs(case.b[case.first :, None]) + 4 * tiny
    with np.errstate(all="ignore"):
        assert np.isclose(z, want, rtol=8 * eps, atol=slack, equal_nan=True).all()


@EACH
def test_kernels_agree_with_formulas(name: str, dtype: Any) -> None:
    agree(Aggregated(dtype, FANS), find("aggregations", name))


@EACH
def test_ties_go_to_the_first_edge(name: str, dtype: Any) -> None:
    agree(Aggregated(dtype, FANS, lambda rng, shape: rng.choice(TIES, shape)), find("aggregations", name))


@EACH
def test_zeros_infinities_and_nan(name: str, dtype: Any) -> None:
    agree(Aggregated(dtype, FANS, lambda rng, shape: rng.choice(SPECIAL, shape, p=OFTEN)), find("aggregations", name))


@EACH
def test_many_terms(name: str, dtype: Any) -> None:
    def near_one(rng: Any, shape: Any) -> Any:
        return rng.choice([-1.0, 1.0], shape) * np.exp2(rng.uniform(-0.5, 0.5, shape))

    agree(Aggregated(dtype, (3000, 257), near_one, near_one), find("aggregations", name))


@DTYPES
@pytest.mark.parametrize("far", [30, 120])
def test_partial_products_neither_overflow_nor_vanish(far: int, dtype: Any) -> None:
    """Halves of the factors cancel the other halves, whatever their order."""
    scale = far if dtype == np.float32 else 8 * far

    def cancelling(rng: Any, shape: Any) -> Any:
        k = rng.integers(1, scale, (shape[0] // 2, shape[1]))
        k = np.concatenate([k, -k, np.zeros((shape[0] % 2, shape[1]), int)])
        return np.ldexp(rng.uniform(1, 2, shape), rng.permuted(k, axis=0))

    case = Aggregated(dtype, (39, 16, 40, 7), cancelling, lambda rng, n: np.ones(n))
    agree(case, find("aggregations", "product"))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32), fans=st.lists(st.integers(0, 40), min_size=1, max_size=4), name=st.sampled_from(NAMES)
)
def test_any_neurons(seed: int, fans: list[int], name: str) -> None:
    few = np.random.default_rng(seed).choice(SPECIAL, 3)

    def values(rng: Any, shape: Any) -> Any:
        return np.where(rng.uniform(size=shape) < 0.5, rng.choice(few, shape), rng.normal(size=shape))

    agree(Aggregated(np.float64, fans, values, seed=seed), find("aggregations", name))


def largest_twice(t: Any) -> float:
    return 2.0 * t.max()


def dlargest_twice(t: Any, d: Any) -> None:
    d[:] = 0.0
    d[np.argmax(t)] = 2.0


@DTYPES
@pytest.mark.parametrize("name", ["largest", "max"])
def test_a_users_own_aggregation(name: str, dtype: Any) -> None:
    own = Aggregation(name, largest_twice, dlargest_twice)
    assert aggregate.own_name(own) is None
    agree(Aggregated(dtype, FANS), own)


def test_more_terms_than_float32_numbers_run_their_formula() -> None:
    ours = find("aggregations", "max")
    own = Aggregation("own", ours.f, ours.df)
    dtype, many = np.dtype(np.float32), 2**23 + 1
    assert aggregate.spreads(ours, dtype, 32, many) == aggregate.spreads(own, dtype, 32)
    assert aggregate.spreads(ours, dtype, 32) == aggregate.spreads(ours, dtype, 32, many - 1)


def test_kernels_run_uncompiled() -> None:
    """The same tests where Numba leaves all functions as they are."""
    tests = [f"{__file__}::{test}" for test in ("test_zeros_infinities_and_nan", "test_a_users_own_aggregation")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
