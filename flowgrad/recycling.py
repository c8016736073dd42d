"""Results whose memory is used again once nobody holds them: the system need not hand out and clear pages each step."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.locks import reentrant_lock

SMALLEST = 1 << 17
"""Bytes below which the allocator keeps memory at hand by itself."""
KEPT = 1 << 27
"""Bytes that wait to be used again, at most, unless a recycler is told otherwise."""


class Recycler:
    """Gives arrays like `np.empty`; an array's memory comes back when it and every view of it have died.

    Safe for many threads. What a caller holds is never touched: two living arrays share no memory.

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
        self._lock = reentrant_lock()  # an array may die, and come back, while its thread holds the lock

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of that shape and dtype, C-contiguous, its contents arbitrary."""
        kind = dtype if isinstance(dtype, np.dtype) else np.dtype(dtype)
        size = kind.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
        if size < SMALLEST:
            return np.empty(shape, kind)
        with self._lock:
            memory = self._taken(size)
            array = np.frombuffer(memory, kind)  # every view of it, the one that is given too, keeps it alive
            loan = weakref.ref(array, self._give_back)
            self._lent[id(loan)] = loan, memory
        return array.reshape(shape)

    def _taken(self, size: int) -> memoryview:
        """Waiting memory of that size, else new."""
        for k in range(len(self._waiting) - 1, -1, -1):
            if len(self._waiting[k]) == size:
                return self._waiting.pop(k)
        return np.empty(size, np.uint8).data

    def _give_back(self, loan: weakref.ref[npt.NDArray[Any]]) -> None:
        """The array of a loan has died; what has waited longest makes room."""
        with self._lock:
            self._waiting.append(self._lent.pop(id(loan))[1])
            while sum(map(len, self._waiting)) > self._kept:
                del self._waiting[0]
