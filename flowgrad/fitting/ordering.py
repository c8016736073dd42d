"""The order in which the samples of an epoch come: their own, drawn from all, or drawn by blocks.

Drawn from all, every order is as likely as any other, and one number a sample is kept. By blocks, which are read in one
piece each, the blocks come in a new order; so many of them as hold `buffer` samples are in memory together, and the
samples of these come in a new order: nothing is kept but the generator's state, and a storage is read in long pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import whole
from flowgrad.errors import ConfigError, brief
from flowgrad.fitting.samples import Samples
from flowgrad.fitting.stored import Stored

Places = npt.NDArray[np.intp]
BUFFER = 64 << 20
"""Bytes of samples among which are drawn, by `shuffle=True`, where a source is read in blocks."""
BLOCKS = 16
"""Blocks of a buffer, where the blocks are not the source's own."""


class Ordering:
    """The order of N samples, epoch after epoch.

    Args:
        N: how many there are.
        rng: draws; None: their own order.
        blocks: (K + 1,) offsets 0 … N; None: drawn from all.
        buffer: samples among which is drawn, at least a block; where N are no more, from all.
    """

    def __init__(self, N: int, rng: np.random.Generator | None, blocks: Places | None = None, buffer: int = 0) -> None:
        self.N, self.rng = N, rng
        self._blocks, self._buffer = None if buffer >= N else blocks, buffer
        self.by_blocks = rng is not None and self._blocks is not None
        drawn = rng is not None and not self.by_blocks
        self.places: Places = np.arange(N if drawn else 0)
        """(N,) the order that the next one is drawn from, which is moved on in place; empty where none is kept."""

    def epoch(self) -> Iterator[Places]:
        """The places of an epoch in order, in pieces: what is in memory together, or all.

        In their own order they come as one piece.
        """
        if self.rng is None:
            yield np.arange(self.N)
        elif self._blocks is None:
            self.rng.shuffle(self.places)
            yield self.places
        else:
            yield from self._by_blocks(self.rng, self._blocks)

    def _by_blocks(self, rng: np.random.Generator, blocks: Places) -> Iterator[Places]:
        held, count = list[Places](), 0
        for k in rng.permutation(len(blocks) - 1).tolist():
            held.append(np.arange(blocks[k], blocks[k + 1]))
            count += len(held[-1])
            if count >= self._buffer:
                yield rng.permutation(np.concatenate(held))
                held, count = [], 0
        if held:
            yield rng.permutation(np.concatenate(held))


def buffer_of(shuffle: object) -> int | None:
    """How many samples `shuffle` draws among; None of True and False.

    Raises:
        ConfigError: neither True nor False nor a number of samples.
    """
    if isinstance(shuffle, (bool, np.bool_)):
        return None
    if not isinstance(shuffle, (int, np.integer)):
        raise ConfigError(f"shuffle={brief(shuffle)}: must be True, False, or how many samples to draw among")
    return whole("shuffle", shuffle, 2)  # 0 and 1 may be meant as False and True


def even_blocks(N: int, buffer: int) -> Places:
    """(K + 1,) offsets of blocks of which a buffer holds `BLOCKS`."""
    size = max(1, buffer // BLOCKS)
    return np.append(np.arange(0, N, size), N).astype(np.intp)


def ordering_of(data: Samples | Stored, rng: np.random.Generator, shuffle: object) -> Ordering:
    """The order that `fit`'s argument asks for, of `Samples` or `Stored`.

    Raises:
        ConfigError: as `buffer_of`. DataError: a source's blocks are none.
    """
    buffer, N = buffer_of(shuffle), len(data)
    if not shuffle:
        return Ordering(N, None)
    blocks = data.blocks if isinstance(data, Stored) else None
    if buffer is None:
        drawn_among = data.holding(BUFFER) if isinstance(data, Stored) else N
        return Ordering(N, rng, blocks, drawn_among)
    return Ordering(N, rng, even_blocks(N, buffer) if blocks is None else blocks, buffer)
