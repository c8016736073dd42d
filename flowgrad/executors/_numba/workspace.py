"""Workspace: the memory of a call, reused by later calls. There are as many as calls have ever run at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba import jobs
from flowgrad.executors._numba.memory import LINE
from flowgrad.executors._numba.records import CALL, TILE, WIDE


class Workspace(jobs.Job):
    """The records of a call and of its threads, and buffers that grow and never shrink.

    `use` is the kind of call, the batch size and whether neurons are dropped that it was last prepared for; a call with
    the same ones reuses it as it is, with the `entry` to run, the entry's `spec`, and the number of `slots`.
    """

    def __init__(self, net: int, slots: int) -> None:
        super().__init__(CALL)
        self.tiles = np.zeros(slots, TILE)
        self.counters, self.stop = np.zeros(0, np.int64), np.zeros(1, np.int64)
        self.losses = np.zeros(0)
        self.use: Any = None
        self.entry: Any = None
        self.spec: Any = None
        self.slots = 0
        self.buffers: dict[str, npt.NDArray[np.uint8]] = {}
        self.set(net=net, works=self.tiles.ctypes.data, stop=self.stop.ctypes.data)

    def set_phases(self, phases: int) -> None:
        """Provide the counters of this many phases."""
        if len(self.counters) != 2 * phases:
            self.counters = np.zeros(2 * phases, np.int64)
            self.set(counters=self.counters.ctypes.data)

    def set_losses(self, chunks: int) -> None:
        """Provide a loss for each chunk."""
        self.losses = np.zeros(chunks)
        self.set(chunk_loss=self.losses.ctypes.data)

    def begin(self) -> None:
        """Reset the counters and the stop word before a call."""
        self.counters.fill(0)
        self.stop[0] = 0

    def halt(self) -> None:
        """Make a running call return early."""
        self.stop[0] = 1

    def summed_loss(self) -> float:
        """Return the sum of the chunks' losses, in their order."""
        return float(sum(self.losses.tolist()))

    def room(self, name: str, size: int) -> int:
        """Return the address, aligned to a cache line, of the named buffer of at least `size` bytes; 0 when new.

        One row behind it may be read, and written unchanged.
        """
        buffer = self.buffers.get(name)
        if buffer is None or len(buffer) < size + LINE + WIDE:
            buffer = self.buffers[name] = np.zeros(size + LINE + WIDE, np.uint8)
        return -(-buffer.ctypes.data // LINE) * LINE
