"""Machine code: every kernel compiled once for a dtype and a number of lanes, when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types

from flowgrad.errors import ExecutorError
from flowgrad.executors._numba import activations, aggregations, losses, phases, pool, sweeps
from flowgrad.executors._numba.formulas import compiled
from flowgrad.executors._numba.vectors import Lanes, lanes
from flowgrad.maths.activations import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.maths.losses import Loss

THREE = types.void(types.int64, types.int64, types.int64)
FOUR = types.void(types.int64, types.int64, types.int64, types.int64)
REAL = types.float64
TERMS = types.Array(types.float64, 1, "C")

_compiling = threading.RLock()
_machine: dict[Any, Any] = {}


def inner(function: Callable[..., Any]) -> Any:
    """A function inside a kernel, compiled with it."""
    return numba.njit(error_model="numpy")(function)


def _address(key: Any, signature: Any, make: Callable[[], Callable[..., Any]]) -> int:
    """Where the machine code of a kernel stands; kept as long as the process lives."""
    found = _machine.get(key)
    if found is None:
        with _compiling:
            found = _machine.get(key)
            if found is None:
                found = _machine[key] = numba.cfunc(signature, error_model="numpy")(make())
    return int(found.address)


def check(what: str, function: Callable[..., Any], *kinds: Any) -> Any:
    """The formula compiled for these types.

    Raises:
        ExecutorError: Numba cannot; the message has `what` and Numba's reason.
    """
    try:
        with _compiling:
            result = compiled(function)
            result.compile(kinds)
    except (numba.core.errors.NumbaError, ExecutorError) as error:
        raise ExecutorError(f"{what} cannot be compiled by Numba: {_reason(error)}") from error
    return result


def _reason(error: Exception) -> str:
    """The lines of a Numba error that say what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [x for x in lines if not x.startswith(("Failed in", "During:", "File ", "<source", "This error", "\x1b"))]
    return " ".join(telling[:3]) or type(error).__name__


class Code:
    """Addresses of the kernels for one dtype and number of lanes."""

    def __init__(self, dtype: np.dtype[Any], n: int) -> None:
        self.lanes: Lanes = lanes(dtype, n)
        self.key = dtype.char, n

    def phase(self, make: Callable[..., Callable[..., Any]]) -> int:
        """A phase or sweep by its maker."""
        takes_inner = make not in _WITHOUT_INNER
        return _address((make, self.key), THREE, lambda: make(self.lanes, inner) if takes_inner else make(self.lanes))

    def activation(self, sigma: Activation, slope: bool) -> int:
        """σ over rows, with σ' or without."""
        f, df = sigma.f, sigma.df

        def make() -> Callable[..., Any]:
            form = activations.vector_form(self.lanes, sigma, inner)
            if form is None:
                what = f"activation {sigma.name!r}"
                form = activations.by_formula(self.lanes, check(f"{what}: f", f, REAL), check(f"{what}: df", df, REAL))
            return form[1 if slope else 0]

        return _address((f, df, slope, self.key), FOUR, make)

    def gather(self, agg: Aggregation) -> int:
        """Equation (1) of an aggregation."""
        what = f"aggregation {agg.name!r}: f"
        return _address(
            (agg.f, self.key), THREE, lambda: aggregations.gather(self.lanes, check(what, agg.f, TERMS), inner)
        )

    def spread(self, agg: Aggregation) -> int:
        """Its messages."""
        what = f"aggregation {agg.name!r}: df"
        return _address(
            (agg.df, self.key), THREE, lambda: aggregations.spread(self.lanes, check(what, agg.df, TERMS, TERMS), inner)
        )

    def loss(self, loss: Loss) -> int:
        """Equations (4) and (9)."""

        def make() -> Callable[..., Any]:
            f = check(f"loss {loss.name!r}: f", loss.f, REAL, REAL, REAL)
            df = check(f"loss {loss.name!r}: df", loss.df, REAL, REAL, REAL, REAL)
            return losses.loss(self.lanes, f, df, loss.coupled, inner)

        return _address((loss.f, loss.df, loss.coupled, self.key), THREE, make)


_WITHOUT_INNER = (sweeps.forward, phases.gather, phases.turn, phases.add_up, phases.fold)


@cache
def code(dtype: np.dtype[Any], n: int) -> Code:
    """The one Code of a dtype and a number of lanes."""
    return Code(dtype, n)


def conductor() -> int:
    """`pool.conduct`."""
    return _address("conduct", THREE, lambda: pool.conduct(inner(pool.wait), inner(pool.take_items)))


def helper() -> int:
    """`pool.serve`."""
    return _address("serve", THREE, lambda: pool.serve(inner(pool.wait), inner(pool.take_items)))
