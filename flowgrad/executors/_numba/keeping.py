"""Keeping: the layout of the byte array in which `predict_keeping` stores its tiles for a later `vjp`.

The array begins with a head of int64 words: number of its owner, 1 until it is used, samples, offset of what follows,
and a checksum of some entries of θ and x. `vjp` goes on only from an array whose head it expects, else runs forward.
Then follow the tiles, each from the start of a cache line: a line that ends with a float64, the height in bytes of the
stack, and the rows that backward reads: A, D and the stack, as in `records.TILE`. Where all tiles would take more than
MOST, the first ones are kept, and `vjp` runs forward for the others.
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
from flowgrad.executors._numba.records import FUSED, WIDE
from flowgrad.locks import lock
from flowgrad.recycling import Recycler

HEAD = 64
"""Bytes reserved for the head; its words are: owner, unused, samples, offset, checksum."""
WORDS, USED = Struct("5q"), Struct("q")
"""Format of the head, and of its second word, 1 until the array is used, which is at offset `USED.size`."""
LOOKED_AT = 8
"""Rows, and columns, of x that the checksum reads at least, if it has as many; of θ the square. Each entry costs a
fetch of a cache line: a thousand take 3 % of a step on 20,000 edges."""
MOST = 1 << 30
"""Bytes kept of a batch, at most. Stacks count at full height; only neurons near saturation touch their memory."""
BYTES = np.dtype(np.uint8)
NOTHING = {"held_tiles": 0}
"""Fields of the record of a call that has no kept tiles."""

_owners: Iterator[int] = count(1)
_lock = lock()  # of threads that call `vjp` with the same memory, one may use it


class Keeping:
    """Layout and memory of the kept tiles of one engine, for rows of `lanes` samples; sizes are in bytes."""

    def __init__(self, layout: Layout, lanes: int, itemsize: int) -> None:
        self.owner, self.lanes, self._memories = next(_owners), lanes, Recycler(MOST)
        row, kind = lanes * itemsize, layout.arrays["run_kind"]
        fused = kind == FUSED
        piled = int(np.diff(layout.arrays["run_begin"])[fused].sum())
        slopes = layout.rows * row + WIDE  # as in `Workspace.room`
        stack = slopes + (0 if fused.all() else layout.part.n_nodes * row + WIDE)
        self.step = -(-(LINE + stack + (piled + 1) * row + WIDE) // LINE) * LINE
        zeros = (layout.rows - 1) * row
        self.fields = {"held_step": self.step, "held_slopes": slopes, "held_stack": stack, "held_zeros": zeros}

    def tiles(self, batch: int) -> int:
        """Return the number of tiles of a batch that are kept: all, or the first ones up to MOST bytes."""
        return min(-(-batch // self.lanes), MOST // self.step)

    def holds(self, batch: int) -> bool:
        """Return whether all tiles of a batch are kept."""
        return self.tiles(batch) * self.lanes >= batch

    def size(self, tiles: int) -> int:
        """Return the length of the array for this number of tiles; 0 for none."""
        return tiles and HEAD + LINE + tiles * self.step

    def open(self, theta: Array, x: Array) -> tuple[Array, dict[str, int]]:
        """Return memory (N,) uint8 with its head filled, for `take`, and fields of the CALL record of the forward.

        N is 0, and the fields are NOTHING, if no tile fits into MOST or the system has no memory.
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
        return memory, {"held": begin + LINE, "held_tiles": tiles}

    def take(self, memory: Array, theta: Array, x: Array) -> dict[str, int]:
        """Mark the memory as used and return fields of the CALL record of the backward that goes on from it.

        NOTHING if it was used or moved, is another engine's, or the checksum shows that θ or x are others.
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
        return {"held": begin + LINE, "held_tiles": tiles}


def _parts(memory: Array) -> tuple[memoryview, int, int]:
    """Return the bytes, the address behind the head, and its offset, without `memory.ctypes`, which takes longer."""
    words = memory.data
    at = addressof(c_char.from_buffer(words))
    begin = -(-(at + HEAD) // LINE) * LINE
    return words, begin, begin - at


def _checksum(theta: Array, x: Array) -> int:
    """Hash evenly spaced entries of θ and x, their last ones included; `hash`, unlike a CRC, reads no tables."""
    some = x[:: -max(len(x) // LOOKED_AT, 1), :: -max(x.shape[1] // LOOKED_AT, 1)]
    return hash(some.tobytes() + theta[:: -max(len(theta) // LOOKED_AT**2, 1)].tobytes())
