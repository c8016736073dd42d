"""Reuse of the memory of dead result arrays, so that the system need not map and clear new pages at each step."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.locks import reentrant_lock

SMALLEST = 1 << 17
"""Bytes (128 KiB); smaller arrays come from `np.empty`, as the C allocator itself reuses the memory of small blocks."""
KEPT = 1 << 27
"""Default of the most bytes of free memory that a recycler holds for reuse: 128 MiB."""


class Recycler:
    """Allocator of arrays like `np.empty`, which reuses an array's memory once it and all views of it are deleted.

    Thread-safe. Two live arrays never share memory.

    >>> arrays = Recycler()
    >>> first = arrays.empty((1000, 100), np.float64)
    >>> at = first.ctypes.data
    >>> arrays.empty((1000, 100), np.float64).ctypes.data == at
    False
    >>> del first
    >>> arrays.empty((1000, 100), np.float64).ctypes.data == at
    True
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._waiting: list[memoryview] = []
        self._lent: dict[int, tuple[weakref.ref[npt.NDArray[Any]], memoryview]] = {}
        self._lock = reentrant_lock()  # `_give_back` may run in a thread that holds the lock

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Allocate a C-contiguous array of that shape and dtype; its contents are arbitrary."""
        kind = dtype if isinstance(dtype, np.dtype) else np.dtype(dtype)
        size = kind.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
        if size < SMALLEST:
            return np.empty(shape, kind)
        with self._lock:
            memory = self._taken(size)
            array = np.frombuffer(memory, kind)  # all views, the returned one included, keep `array` alive
            loan = weakref.ref(array, self._give_back)
            self._lent[id(loan)] = loan, memory
        return array.reshape(shape)

    def _taken(self, size: int) -> memoryview:
        """Take free memory of exactly `size` bytes, the most recently freed first, or allocate new memory."""
        for k in range(len(self._waiting) - 1, -1, -1):
            if len(self._waiting[k]) == size:
                return self._waiting.pop(k)
        return np.empty(size, np.uint8).data

    def _give_back(self, loan: weakref.ref[npt.NDArray[Any]]) -> None:
        """Keep the memory of a deleted array for reuse; beyond the limit the memory freed longest ago is released."""
        with self._lock:
            self._waiting.append(self._lent.pop(id(loan))[1])
            while sum(map(len, self._waiting)) > self._kept:
                del self._waiting[0]
