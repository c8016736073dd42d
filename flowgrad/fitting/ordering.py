"""The order of the samples in an epoch: as stored, shuffled over all samples, or shuffled by blocks.

Shuffled over all samples, every order is equally likely, and one integer a sample is kept. By blocks, each of which is
read in one piece, the blocks are shuffled; as many of them as hold `buffer` samples are in memory together, and these
samples are shuffled: only the generator's state is kept, and storage is read in long contiguous pieces.
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
"""Bytes of samples that `shuffle=True` shuffles together where a source is read in blocks."""
BLOCKS = 16
"""Number of blocks that fill a buffer, where the source does not define the blocks."""


class Ordering:
    """The order of N samples, epoch after epoch.

    Args:
        N: number of samples.
        rng: generator that shuffles; None: as stored.
        blocks: (K + 1,) offsets 0 … N of the blocks; None: shuffled over all samples.
        buffer: number of samples to shuffle together, at least a block; N or more: all samples.
    """

    def __init__(self, N: int, rng: np.random.Generator | None, blocks: Places | None = None, buffer: int = 0) -> None:
        self.N, self.rng = N, rng
        self._blocks, self._buffer = None if buffer >= N else blocks, buffer
        self.by_blocks = rng is not None and self._blocks is not None
        drawn = rng is not None and not self.by_blocks
        self.places: Places = np.arange(N if drawn else 0)
        """(N,) the last order, which the next epoch shuffles in place; empty unless shuffled over all samples."""

    def epoch(self) -> Iterator[Places]:
        """Yield the places of the samples of an epoch, in order.

        By blocks, a piece is a buffer that is in memory together; else all places are one piece.
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
    """Return the number of samples that `shuffle` asks to shuffle together; None for True and False.

    Raises:
        ConfigError: `shuffle` is neither True nor False nor a number of samples.
    """
    if isinstance(shuffle, (bool, np.bool_)):
        return None
    if not isinstance(shuffle, (int, np.integer)):
        raise ConfigError(f"shuffle={brief(shuffle)}: must be True, False, or how many samples to draw among")
    return whole("shuffle", shuffle, 2)  # 0 and 1 may be meant as False and True


def even_blocks(N: int, buffer: int) -> Places:
    """Return the offsets (K + 1,) of blocks of equal size, `BLOCKS` of which fill a buffer; the last may be smaller."""
    size = max(1, buffer // BLOCKS)
    return np.append(np.arange(0, N, size), N).astype(np.intp)


def ordering_of(data: Samples | Stored, rng: np.random.Generator, shuffle: object) -> Ordering:
    """Make the ordering of the samples for the argument `shuffle` of `fit`.

    Raises:
        ConfigError: as `buffer_of`. DataError: as `Stored.blocks`.
    """
    buffer, N = buffer_of(shuffle), len(data)
    if not shuffle:
        return Ordering(N, None)
    blocks = data.blocks if isinstance(data, Stored) else None
    if buffer is None:
        drawn_among = data.holding(BUFFER) if isinstance(data, Stored) else N
        return Ordering(N, rng, blocks, drawn_among)
    return Ordering(N, rng, even_blocks(N, buffer) if blocks is None else blocks, buffer)
