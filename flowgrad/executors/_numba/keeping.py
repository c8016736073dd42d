"""Where the tiles of a `predict_keeping` stay until their backward: one array of bytes, with everything in its place.

The array begins with a head of int64 words: whose it is, whether it has been used, samples, where the rest begins, and
a checksum of some numbers of θ and x: what was kept of others is not gone on from.
Behind it, on a cache line, stand one float64 a tile, how far its pile of rows reaches, and of every tile the rows that
forward leaves for backward: A, D and the pile, as in `records.TILE`. Where all tiles take too much the first ones are
kept, and forward runs again for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import addressof, c_char
from itertools import count
from struct import Struct

import numpy as np

from flowgrad.executor import Array
from flowgrad.executors._numba.layout import Layout
from flowgrad.executors._numba.memory import LINE
from flowgrad.executors._numba.records import FUSED, FUSED_SCALED, WIDE
from flowgrad.locks import lock
from flowgrad.recycling import Recycler

HEAD = 64
"""Bytes of the head: a number of its engine's own, whether it is unused, samples, where rows begin, the checksum."""
WORDS, USED = Struct("5q"), Struct("q")
"""The head's words; the one of them that says whether it is unused, which stands at `USED.size`."""
LOOKED_AT = 8
"""How many rows, and how many columns, the checksum takes of x, at least where it has as many; of θ the square. Each is
a cache line that is fetched for this alone: a thousand take 3 % of a step on 20,000 edges."""
MOST = 1 << 30
"""Bytes that are kept of a batch. What a pile may grow to counts, and is touched where neurons are near saturation."""
BYTES = np.dtype(np.uint8)
NOTHING = {"held_tiles": 0}
"""Fields of a call's record that holds no tile."""

_owners: Iterator[int] = count(1)
_lock = lock()  # two threads that pull with the same memory: one may use it


class Keeping:
    """How an engine keeps tiles of so many lanes; sizes in bytes."""

    def __init__(self, layout: Layout, lanes: int, itemsize: int) -> None:
        self.owner, self.lanes, self._memories = next(_owners), lanes, Recycler(MOST)
        row, kind = lanes * itemsize, layout.arrays["run_kind"]
        fused = np.isin(kind, (FUSED, FUSED_SCALED))
        piled = int(np.diff(layout.arrays["run_begin"])[fused].sum())
        slopes = layout.rows * row + WIDE  # as in `Workspace.room`
        stack = slopes + (0 if fused.all() else layout.part.n_nodes * row + WIDE)
        self.step = -(-(stack + (piled + 1) * row + WIDE) // LINE) * LINE
        zeros = (layout.rows - 1) * row
        self.fields = {"held_step": self.step, "held_slopes": slopes, "held_stack": stack, "held_zeros": zeros}

    def tiles(self, batch: int) -> int:
        """How many tiles of a batch are kept."""
        return min(-(-batch // self.lanes), MOST // self.step)

    def holds(self, batch: int) -> bool:
        """Whether all tiles of a batch are kept."""
        return self.tiles(batch) * self.lanes >= batch

    def size(self, tiles: int) -> int:
        """Bytes for so many tiles; 0 for none."""
        return tiles and HEAD + LINE + _tops(tiles) + tiles * self.step

    def open(self, theta: Array, x: Array) -> tuple[Array, dict[str, int]]:
        """Memory for a forward that keeps, which a backward may use from now on, and fields of the call's record.

        The memory is empty where none is to be had.
        """
        batch = len(x)
        tiles = self.tiles(batch)
        try:
            memory = self._memories.empty(self.size(tiles), BYTES)
        except MemoryError:
            tiles = 0
        if not tiles:
            return np.empty(0, BYTES), NOTHING
        words, begin, skipped = _parts(memory)
        WORDS.pack_into(words, 0, self.owner, 1, batch, skipped, _checksum(theta, x))
        return memory, _held(begin, tiles)

    def take(self, memory: Array, theta: Array, x: Array) -> dict[str, int]:
        """Fields for the backward that goes on from it, once.

        NOTHING where it was used or moved, or is another engine's, or of another θ or x, as far as the checksum tells.
        """
        batch = len(x)
        tiles = self.tiles(batch)
        if not tiles or len(memory) != self.size(tiles):
            return NOTHING
        words, begin, skipped = _parts(memory)
        with _lock:
            found = WORDS.unpack_from(words)
            USED.pack_into(words, USED.size, 0)
        if found != (self.owner, 1, batch, skipped, _checksum(theta, x)):
            return NOTHING
        return _held(begin, tiles)


def _parts(memory: Array) -> tuple[memoryview, int, int]:
    """Its bytes, the address of what stands behind the head, and how far that is; `memory.ctypes` takes longer."""
    words = memory.data
    at = addressof(c_char.from_buffer(words))
    begin = -(-(at + HEAD) // LINE) * LINE
    return words, begin, begin - at


def _held(begin: int, tiles: int) -> dict[str, int]:
    return {"held": begin + _tops(tiles), "held_tiles": tiles, "held_tops": begin}


def _checksum(theta: Array, x: Array) -> int:
    """Of numbers that stand evenly in both, the last of each among them. By `hash`, which reads no tables."""
    some = x[:: -max(len(x) // LOOKED_AT, 1), :: -max(x.shape[1] // LOOKED_AT, 1)]
    return hash(some.tobytes() + theta[:: -max(len(theta) // LOOKED_AT**2, 1)].tobytes())


def _tops(tiles: int) -> int:
    """Bytes of one float64 a tile."""
    return -(-8 * tiles // LINE) * LINE
