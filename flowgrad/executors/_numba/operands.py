"""Calls whose arrays are just as kernels read them: looked at, and run, in compiled code.

Most calls are such, and for a small network Python takes longer to look at four arrays than a core for the whole
gradient. What is read are the fields of NumPy's PyArrayObject, which stand behind Python's head of an object; where
`readable` does not find them there, no call is taken.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.code import function
from flowgrad.executors._numba.frame import FRAME, open_frame_at
from flowgrad.executors._numba.memory import i32_at, i64_at, put_f64
from flowgrad.executors._numba.pool import conduct

HEAD = object.__basicsize__
"""Bytes of Python's head of an object; its last word is the type."""
DATA, DIMENSIONS, DTYPE = 0, 2, 5
"""Words behind the head."""
AXES, FLAGS = 2, 12
"""Half words behind the head."""
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400
"""Of NumPy's flags."""
SUM, MEAN, NOTHING = 0, 1, 2
"""What a call wants the gradient of: of the summed loss, of its mean, of nothing."""
SCALE = (FRAME.names or ()).index("scale")


def has_flag(array: int, flag: int) -> Any:
    """Whether it is set."""
    return i32_at(array + HEAD, FLAGS) // flag % 2 == 1


def size(array: int, axis: int) -> Any:
    """How long an array is along an axis."""
    return i64_at(i64_at(array + HEAD, DIMENSIONS), axis)


def is_ready(array: int, kind: int, dtype: int, axes: int) -> Any:
    """Whether an object is an array of that dtype with so many axes, its numbers one after the other."""
    return (
        i64_at(array + HEAD - 8, 0) == kind  # what another object has further on, if anything, is not looked at
        and i64_at(array + HEAD, DTYPE) == dtype
        and i32_at(array + HEAD, AXES) == axes
        and has_flag(array, CONTIGUOUS)
        and has_flag(array, ALIGNED)
    )


def may_take(gradient: int, theta: int, kind: int, dtype: int, parameters: int, real: int) -> Any:
    """Whether an array may be given ∂L/∂θ: as θ is, and apart from it."""
    if not is_ready(gradient, kind, dtype, 1):
        return False
    apart = i64_at(gradient + HEAD, DATA) - i64_at(theta + HEAD, DATA)
    far = apart >= parameters * real or apart <= 0 - parameters * real
    return far and has_flag(gradient, WRITEABLE) and size(gradient, 0) == parameters


def enter(frame: int, board: int, threads: int, wanted: int, theta: int, x: int, samples: int, gradient: int) -> None:
    """Run a frame with these objects for θ, x, t or y, and ∂L/∂θ, if they are what it was last filled for."""
    f = open_frame_at(frame)
    kind, dtype, rows = f.array_type, f.dtype, f.batch
    f.taken = 0
    if not (is_ready(theta, kind, dtype, 1) and is_ready(x, kind, dtype, 2) and is_ready(samples, kind, dtype, 2)):
        return
    if size(theta, 0) != f.parameters or size(x, 0) != rows or size(x, 1) != f.inputs:
        return
    if size(samples, 0) != rows or size(samples, 1) != f.outputs:
        return
    if wanted != NOTHING and not may_take(gradient, theta, kind, dtype, f.parameters, f.real):
        return
    f.theta, f.grad_theta = i64_at(theta + HEAD, DATA), i64_at(gradient + HEAD, DATA)
    if f.direct != 0:
        f.weight, f.bias = f.theta, f.theta + f.bias_offset
        f.grad_weight, f.grad_bias = f.grad_theta, f.grad_theta + f.weights_size
    f.x, f.x_step, f.x_next = i64_at(x + HEAD, DATA), f.inputs * f.real, f.real
    f.t, f.t_step, f.t_next = i64_at(samples + HEAD, DATA), f.outputs * f.real, f.real
    f.y, f.y_step, f.y_next = f.t, f.t_step, f.t_next
    f.sample_weight = 0
    put_f64(frame, SCALE, 1.0 / rows if wanted == MEAN else 1.0)
    f.taken = 1
    conduct(frame, board, threads)


# ---- Python -------------------------------------------------------------------------------------------------

Enter = Callable[[int, int, int, int, Any, Any, Any, Any], None]


@cache
def entrance() -> Enter:
    """`enter`, compiled, as Python calls it: with arrays, and without the GIL."""
    kinds = [ctypes.c_int64] * 4 + [ctypes.py_object] * 4
    return ctypes.CFUNCTYPE(None, *kinds)(function("enter", enter, len(kinds)))


def _reads(array: npt.NDArray[Any]) -> bool:
    at = id(array)
    flags = array.flags
    return (
        is_ready(at, id(np.ndarray), id(array.dtype), array.ndim) == (flags.c_contiguous and flags.aligned)
        and i64_at(at + HEAD, DATA) == array.__array_interface__["data"][0]
        and tuple(size(at, axis) for axis in range(array.ndim)) == array.shape
    )


@cache
def readable() -> bool:
    """Whether this Python's and this NumPy's arrays are as `enter` reads them."""
    row, table = np.zeros(3, np.float32), np.zeros((5, 4))
    odd = np.zeros(33, np.uint8)[1:].view(np.float64).reshape(2, 2)
    arrays: tuple[npt.NDArray[Any], ...] = row, table, table[1:], table[:, 2:], table.T, odd
    return all(_reads(array) for array in arrays)
