"""Form batches of samples: gathered in memory, or read ahead from storage by a thread."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

import numpy as np

from flowgrad.fitting.ordering import Ordering, Places
from flowgrad.fitting.samples import Samples
from flowgrad.fitting.stored import Stored, fetched, pieces

Batches = Generator[Samples, None, None]


class Feed:
    """The batches of each epoch, of `size` samples, the last one possibly of fewer.

    The next batch may overwrite the arrays of a batch. Close the generator of an epoch that may not be exhausted.
    """

    def __init__(self, data: Samples | Stored, size: int, ordering: Ordering) -> None:
        self.data, self.size, self.ordering = data, min(size, len(data)), ordering
        self._room = _room(data, self.size) if isinstance(data, Samples) else None

    @property
    def batches(self) -> int:
        """The number of batches of an epoch."""
        return -(-len(self.data) // self.size)

    def epoch(self) -> Batches:
        """Return a generator of the next epoch's batches."""
        if isinstance(self.data, Samples):
            return self._gathered(self.data)
        return self._fetched(self.data)

    def _gathered(self, data: Samples) -> Batches:
        """Gather each batch into the same buffer (mode "clip" lets `take` write there without a temporary array)."""
        room = self._room
        assert room is not None
        parts = list(self.ordering.epoch())
        order = parts[0] if len(parts) == 1 else np.concatenate(parts)
        for first in range(0, len(order), self.size):
            places = order[first : first + self.size]
            n = len(places)
            x, t = data.x.take(places, 0, room.x[:n], "clip"), data.t.take(places, 0, room.t[:n], "clip")
            s = None if data.s is None or room.s is None else data.s.take(places, 0, room.s[:n], "clip")
            yield Samples(x, t, s, data.rows.take(places, 0, room.rows[:n], "clip"))

    def _fetched(self, data: Stored) -> Batches:
        chunks = fetched(data.read, self._pieces(data))
        try:
            yield from cut(chunks, self.size)
        finally:
            chunks.close()

    def _pieces(self, data: Stored) -> Iterator[Places]:
        """Yield the places to read together: a buffer of blocks, else as many whole batches as `CHUNK` bytes hold."""
        if self.ordering.by_blocks:
            yield from self.ordering.epoch()
            return
        order = next(self.ordering.epoch()) if self.ordering.rng is not None else None
        for places in pieces(len(data), max(1, data.at_once // self.size) * self.size):
            yield places if order is None else order[places[0] : places[-1] + 1]


def cut(chunks: Iterable[Samples], size: int) -> Batches:
    """Cut chunks of any sizes into batches of `size` samples; the last batch is the remainder."""
    left: Samples | None = None
    for chunk in chunks:
        first = 0
        if left is not None:
            first = size - len(left)
            left = joined(left, chunk.part(0, first))
            if len(left) < size:
                continue
            yield left
            left = None
        while first + size <= len(chunk):
            yield chunk.part(first, first + size)
            first += size
        if first < len(chunk):
            left = chunk.part(first, len(chunk))
    if left is not None:
        yield left


def joined(a: Samples, b: Samples) -> Samples:
    """Concatenate two sets of samples."""
    s = None if a.s is None or b.s is None else np.concatenate([a.s, b.s])
    return Samples(np.concatenate([a.x, b.x]), np.concatenate([a.t, b.t]), s, np.concatenate([a.rows, b.rows]))


def _room(data: Samples, n: int) -> Samples:
    """Allocate arrays for n samples, with the shapes and dtypes of those of `data`."""
    x, t = np.empty((n, *data.x.shape[1:]), data.x.dtype), np.empty((n, *data.t.shape[1:]), data.t.dtype)
    return Samples(x, t, None if data.s is None else np.empty(n, data.s.dtype), np.empty(n, data.rows.dtype))
