"""The kernels' addresses: each compiled once for a dtype and a number of lanes, when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from flowgrad.executors._numba import activations, aggregations, losses, machine
from flowgrad.executors._numba.formulas import array_function, number_function
from flowgrad.executors._numba.pool import native
from flowgrad.executors._numba.translate import check_formula, translate
from flowgrad.executors._numba.values import Untranslatable
from flowgrad.executors._numba.vectors import lanes
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.maths.losses import Loss
from flowgrad.maths.losses import entries as known_losses
from flowgrad.registry import is_own

Function = Callable[..., Any]

_addresses: dict[Any, int] = {}


def _address(key: Any, arguments: int, make: Callable[[], Function]) -> int:
    """Where the machine code of a kernel stands; it stays as long as the process lives."""
    found = _addresses.get(key)
    if found is None:
        with machine.lock:
            found = _addresses.get(key)
            if found is None:
                module = translate(make(), f"flowgrad_{len(_addresses)}", arguments)
                found = _addresses[key] = machine.compile(module)
    return found


class Code:
    """Addresses of the kernels for one dtype and number of lanes."""

    def __init__(self, dtype: np.dtype[Any], n: int) -> None:
        self.lanes, self.key = lanes(dtype, n), (dtype.char, n)

    def kernel(self, make: Callable[..., Function], *settings: int | str) -> int:
        """A sweep or phase by its maker."""
        return _address((make, self.key, settings), 3, lambda: make(self.lanes, *settings))

    def activation(self, sigma: Activation, slope: bool) -> int:
        """σ over rows, with σ' or without."""
        f, df = sigma_functions(sigma)
        return _address(
            (sigma.f, sigma.df, slope, self.key), 4, lambda: activations.rows(self.lanes, sigma, f, df, slope)
        )

    def slope(self, sigma: Activation) -> int:
        """Equation (8) over rows."""
        return _address((sigma.f, sigma.df, "slope", self.key), 4, lambda: activations.slopes(self.lanes, sigma))

    def gather(self, agg: Aggregation) -> int:
        """Equation (1) of an aggregation."""
        f = array_function(agg.f, 1, f"aggregation {agg.name!r}: f")
        return _address((agg.f, self.key), 3, lambda: aggregations.gather(self.lanes, f))

    def spread(self, agg: Aggregation) -> int:
        """Its messages."""
        df = array_function(agg.df, 2, f"aggregation {agg.name!r}: df")
        return _address((agg.df, self.key), 3, lambda: aggregations.spread(self.lanes, df))

    def loss(self, loss: Loss) -> int:
        """Equations (4) and (9)."""
        f: Any = loss.f
        df: Any = loss.df
        if known_losses.get(loss.name) != loss:
            f = number_function(f, 3 if loss.coupled else 2, f"loss {loss.name!r}: f")
            df = number_function(df, 4 if loss.coupled else 2, f"loss {loss.name!r}: df")
        key = (loss.f, loss.df, loss.coupled, self.key)
        return _address(key, 3, lambda: losses.loss(self.lanes, f, df, loss.coupled))


def sigma_functions(sigma: Activation) -> tuple[Function, Function]:
    """σ and σ' as kernels can call them: flowgrad's own as they are where kernels may be so written, else by Numba.

    Raises:
        ExecutorError: Numba cannot compile them; the message names the activation and Numba's reason.
    """
    own = is_own("activations", sigma)
    f, df = (
        g if own and _translatable(g) else number_function(g, 1, f"activation {sigma.name!r}: {role}")
        for role, g in (("f", sigma.f), ("df", sigma.df))
    )
    return f, df


@cache
def _translatable(formula: Function) -> bool:
    try:
        check_formula(formula)
    except Untranslatable:
        return False
    return True


@cache
def code(dtype: np.dtype[Any], n: int) -> Code:
    """The one Code of a dtype and a number of lanes."""
    return Code(dtype, n)


def called(kernel: Function, arguments: np.dtype[Any], **values: Any) -> Any:
    """A record of these values, of arrays their addresses, as a kernel that is called with it leaves it."""
    q = np.zeros((), arguments)
    for name, value in values.items():
        q[name] = value.ctypes.data if isinstance(value, np.ndarray) else value
    native(function(kernel.__name__, kernel))(q.ctypes.data, 0, 0)
    return q


def function(name: str, kernel: Function, arguments: int = 3) -> int:
    """A kernel of so many integers that knows no dtype."""
    return _address(name, arguments, lambda: kernel)
