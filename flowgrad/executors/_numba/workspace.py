"""Workspace: the memory of one call, kept for the next one. As many exist as calls ever ran at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba import jobs
from flowgrad.executors._numba.memory import LINE
from flowgrad.executors._numba.records import CALL, TILE, WIDE


class Workspace(jobs.Job):
    """The records of a call and of its threads, and buffers that grow and never shrink.

    `use` is what it was last prepared for, kind, batch and whether neurons are dropped: a call of the same finds all as
    it needs it, also the `entry` to run, the Spec to call it with, and how many `slots` have a tile to sweep.
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
        """Words for so many phases."""
        if len(self.counters) != 2 * phases:
            self.counters = np.zeros(2 * phases, np.int64)
            self.set(counters=self.counters.ctypes.data)

    def set_losses(self, chunks: int) -> None:
        """A loss for each chunk."""
        self.losses = np.zeros(chunks)
        self.set(chunk_loss=self.losses.ctypes.data)

    def begin(self) -> None:
        """Before a call: no item is taken, nobody stops it."""
        self.counters.fill(0)
        self.stop[0] = 0

    def halt(self) -> None:
        """End a call that runs, soon."""
        self.stop[0] = 1

    def summed_loss(self) -> float:
        """The chunks' losses added in their order."""
        return float(sum(self.losses.tolist()))

    def room(self, name: str, size: int) -> int:
        """The address of `size` bytes under that name, on a cache line; zeros when they are new.

        A row behind them may be read, and written as it was.
        """
        buffer = self.buffers.get(name)
        if buffer is None or len(buffer) < size + LINE + WIDE:
            buffer = self.buffers[name] = np.zeros(size + LINE + WIDE, np.uint8)
        return -(-buffer.ctypes.data // LINE) * LINE
