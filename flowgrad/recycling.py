"""Results whose memory is used again once nobody holds them: the system need not hand out and clear pages each step."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

SMALLEST = 1 << 16
"""Bytes below which the allocator keeps memory at hand by itself."""
KEPT = 1 << 27
"""Bytes that wait to be used again, at most."""

Memory = npt.NDArray[np.uint8]


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

    def __init__(self) -> None:
        self._waiting: list[Memory] = []
        self._lock = threading.RLock()  # an array may die, and come back, while its thread holds the lock

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of that shape and dtype, C-contiguous, its contents arbitrary."""
        kind = np.dtype(dtype)
        size = kind.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
        if size < SMALLEST:
            return np.empty(shape, kind)
        return np.asarray(_Loan(self._taken(size), self)).view(kind).reshape(shape)

    def _taken(self, size: int) -> Memory:
        """Waiting memory of that size, else new."""
        with self._lock:
            for k in range(len(self._waiting) - 1, -1, -1):
                if len(self._waiting[k]) == size:
                    return self._waiting.pop(k)
        return np.empty(size, np.uint8)

    def give_back(self, memory: Memory) -> None:
        """Memory that nobody holds any more; what has waited longest makes room."""
        with self._lock:
            self._waiting.append(memory)
            while sum(map(len, self._waiting)) > KEPT:
                del self._waiting[0]


class _Loan:
    """Owner of an array's memory as NumPy sees it: dies with the last view."""

    def __init__(self, memory: Memory, home: Recycler) -> None:
        self._memory, self._home = memory, weakref.ref(home)
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        home = self._home()
        if home is not None:
            home.give_back(self._memory)
