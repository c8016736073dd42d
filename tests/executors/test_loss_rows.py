"""Kernels of losses over rows against their formulas in maths/."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from numba.core import config

from flowgrad.executors._numba import losses
from flowgrad.executors._numba.compiled import uncompiled
from flowgrad.executors._numba.records import NET, TILE
from flowgrad.maths.losses import Loss
from flowgrad.registry import find, names

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


def loss_of(
    loss: Loss, dtype: Any, y: Any, t: Any, weight: Any = None, begin: int = 1, before: float = 0.5
) -> tuple[float, Any]:
    """The summed loss of samples y, t (B, O), and base cases (O, lanes), of a tile that begins later in a batch."""
    lanes, (count, outputs) = LANES[dtype], y.shape
    A, G = np.full((outputs + 3, lanes), np.nan, dtype), np.full((outputs + 1, lanes), 7.0, dtype)
    order = np.random.default_rng(0).permutation(outputs + 3)[:outputs].astype(np.int32)
    A[order, :count] = y.T
    targets, total = np.zeros((begin + count, outputs), dtype), np.array([before])
    targets[begin:] = t
    weights = np.zeros(begin + count, dtype)
    weights[begin:] = 0.0 if weight is None else weight
    rooms = np.full((2, lanes), np.nan)
    net, tile, mask = np.zeros(1, NET), np.zeros(1, TILE), mask_of(dtype, lanes, count)
    net["outputs"], net["output"] = outputs, order.ctypes.data
    for k, name in enumerate(("lse", "share")):
        tile[name] = rooms[k].ctypes.data
    for name, array in {"A": A, "G": G, "mask": mask, "loss": total}.items():
        tile[name] = array.ctypes.data
    tile["count"], tile["begin"] = count, begin
    where = targets.ctypes.data, targets.strides[0], targets.strides[1]
    shares = 0 if weight is None else weights.ctypes.data
    kernel = losses.address_of(loss, np.dtype(dtype), lanes)
    call(kernel, net.ctypes.data, tile.ctypes.data, *where, shares)
    return float(total[0] - before), G[1:]


ENTRIES = {name: loss for name in names("losses") if not (loss := find("losses", name)).of_batch}
FLOATS = {"float32": np.float32, "float64": np.float64}
DTYPES = pytest.mark.parametrize("dtype", FLOATS.values())
EACH = pytest.mark.covering(name=sorted(ENTRIES), dtype=FLOATS)


def outputs_and_targets(dtype: Any, name: str, special: bool) -> tuple[Any, Any]:
    """Of two samples fewer than there are lanes."""
    rng, shape = np.random.default_rng(0), (LANES[dtype] - 2, 10)
    y = rng.normal(size=shape).astype(dtype) * dtype(3)
    t = np.eye(10)[rng.integers(10, size=shape[0])].astype(dtype)
    if name in ("cross_entropy", "binary_cross_entropy"):
        t[1] = 0.1
    if special:
        y[0, 3], y[1, 2], y[2], y[3], y[4, :5], y[5, :3], y[6] = np.inf, np.nan, -np.inf, 80.0, 1e4, -1e4, 0.0
        t[7, 1] = np.nan
    return y, t


def agree(loss: Loss, dtype: Any, y: Any, t: Any, weight: Any = None) -> None:
    """Loss and base cases are those of `Loss.evaluate` in float64, the latter rounded; 0 in lanes without a sample."""
    got, base = loss_of(loss, dtype, y, t, weight)
    l, dy = loss.evaluate(y.astype(np.float64), t.astype(np.float64))
    share = 1.0 if weight is None else weight.astype(np.float64)[:, None]
    np.testing.assert_allclose(got, (share * l).sum(), rtol=1e-12)
    with np.errstate(over="ignore"):
        want = (share * dy).astype(dtype)
    np.testing.assert_allclose(base[:, : len(y)], want.T, rtol=2e-7 if dtype == np.float32 else 8e-15, atol=1e-300)
    np.testing.assert_array_equal(base[:, len(y) :], 0.0)


@EACH
@pytest.mark.parametrize("special", [False, True])
def test_rows_agree_with_formulas(name: str, dtype: Any, special: bool) -> None:
    y, t = outputs_and_targets(dtype, name, special)
    if not special:
        agree(ENTRIES[name], dtype, y, t)
        return
    for b in range(len(y)):  # each alone: one sample's NaN hides the others in the sum
        agree(ENTRIES[name], dtype, y[b : b + 1], t[b : b + 1])


@EACH
def test_samples_have_weights(name: str, dtype: Any) -> None:
    y, t = outputs_and_targets(dtype, name, special=False)
    agree(ENTRIES[name], dtype, y, t, np.random.default_rng(1).uniform(0.0, 2.0, len(y)).astype(dtype))


@DTYPES
@pytest.mark.parametrize("name", ["squared_error", "cross_entropy"])
def test_a_users_own_loss(name: str, dtype: Any) -> None:
    """By its formulas, number by number."""
    ours = ENTRIES[name]
    f, df = ours.f, ours.df
    if ours.coupled:
        own = Loss("own", lambda y, t, lse: 2.0 * f(y, t, lse), lambda y, t, lse, mass: 2.0 * df(y, t, lse, mass), True)
    else:
        own = Loss("own", lambda y, t: 2.0 * f(y, t), lambda y, t: 2.0 * df(y, t))
    y, t = outputs_and_targets(dtype, name, special=False)
    agree(own, dtype, y, t)
    agree(own, dtype, y, t, np.random.default_rng(1).uniform(0.0, 2.0, len(y)).astype(dtype))


def test_kernels_run_uncompiled() -> None:
    """The same tests where Numba leaves all functions as they are."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "not uncompiled"]
    done = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
