"""Workspace: the memory of one call, kept for the next one. As many exist as calls ever ran at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.frame import WORK

LINE = 64


class Workspace:
    """A frame, the threads' records, and buffers that grow and never shrink."""

    def __init__(self, static: npt.NDArray[Any], slots: int) -> None:
        self.frame = static.copy()
        self.works = np.zeros(slots, WORK)
        self.stop = np.zeros(1, np.int64)
        self._phases = np.zeros((2, 8), np.int64)
        self._buffers: dict[str, npt.NDArray[np.uint8]] = {}
        self.address = int(self.frame.ctypes.data)
        self.set(
            works=self.works.ctypes.data,
            stop=self.stop.ctypes.data,
            phase_function=self._phases[0].ctypes.data,
            phase_items=self._phases[1].ctypes.data,
        )

    def set(self, **values: Any) -> None:
        """Fields of the frame."""
        for name, value in values.items():
            self.frame[name] = value

    def run(self, *phases: tuple[int, int] | None) -> None:
        """What to run: (function, items) a phase, None for one that is not needed."""
        wanted = [p for p in phases if p is not None]
        self._phases[:, : len(wanted)] = np.array(wanted, np.int64).T
        self.set(phases=len(wanted))

    def room(self, name: str, size: int) -> int:
        """The address of `size` bytes under that name, on a cache line; zeros when they are new."""
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size + LINE:
            buffer = self._buffers[name] = np.zeros(size + LINE, np.uint8)
        return int(-(-buffer.ctypes.data // LINE) * LINE)
