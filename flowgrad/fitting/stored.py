"""Samples that stay in storage and are read in parts: memory-mapped arrays and sources.

A source is any object with two methods and, where its rows are best read in blocks, an attribute:

    len(source)         N, the number of its samples
    source.take(rows)   x (n, I) and t, (n, O) or class indices (n,), of the samples `rows` (n,) int64, in that order;
                        arrays that are not written to afterwards, as the next ones are taken while these are in use
    source.blocks       optional: (K + 1,) offsets, 0 … N, of blocks to read in one piece, such as row groups
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from flowgrad import batch
from flowgrad.arguments import frozen, plain, real
from flowgrad.errors import ConfigError, DataError, ShapeError, brief
from flowgrad.fitting.samples import Samples, digest, samples_of, softened
from flowgrad.program import Program

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]
Read = TypeVar("Read")

CHUNK = 4 << 20
"""Bytes of samples, at least a batch, that are read at a time unless the samples are shuffled by blocks."""
SAMPLED, BLOCKS = 256, 4
"""Largest number of samples, and of blocks that they are from, whose digest stands for all samples."""


@runtime_checkable
class Source(Protocol):
    """An object that returns samples by row number; see the module. `take` is called by one thread at a time."""

    def __len__(self) -> int: ...

    def take(self, rows: Rows, /) -> Any: ...


def is_source(values: Any) -> bool:
    """Return whether this is a source; arrays and frames of libraries have a `take` of another meaning."""
    arrays = ("__array__", "__dlpack__", "__dataframe__", "__arrow_c_stream__", "__arrow_c_array__", "columns")
    return isinstance(values, Source) and not any(hasattr(values, name) for name in arrays)


def is_stored(values: Any) -> bool:
    """Return whether samples stay in storage: a memory-mapped array or a source."""
    return isinstance(values, np.memmap) or is_source(values)


@dataclass(frozen=True)
class Stored:
    """N samples in storage; the counterpart of `Samples` in memory.

    X, T       arrays of all samples, or sources; T is None where X gives both
    rows       (N,) row numbers of the samples in X, ascending; None: all rows
    s          (N,) float64 weights, or None
    smoothing  ε by which targets are smoothed when they are read
    """

    program: Program
    X: Any
    T: Any
    rows: Rows | None = None
    s: Array | None = None
    smoothing: float = 0.0

    def __len__(self) -> int:
        return len(self.X) if self.rows is None else len(self.rows)

    def number(self, places: Rows) -> Rows:
        """Return the row numbers (n,) in X of the samples at these places (n,)."""
        return places if self.rows is None else self.rows[places]

    def take(self, places: Rows) -> Stored:
        """Return the samples at these places (n,), ascending, without reading them."""
        return replace(self, rows=self.number(places), s=None if self.s is None else self.s[places])

    def read(self, places: Rows) -> Samples:
        """Read the samples at these places (n,) into memory, in that order, and check them.

        Raises:
            ShapeError, DataError: they do not fit the network or the loss; the message names the sample.
        """
        program, rows = self.program, frozen(self.number(places).view())  # so that a source cannot write to it
        x, t = self._pair(rows) if self.T is None else (_rows(self.X, rows), _rows(self.T, rows))
        if self.T is not None and isinstance(x, tuple):
            raise ConfigError("X.take gave a pair (x, t), and T is given as well: leave T out")
        if hasattr(x, "__len__") and len(x) != len(rows):
            raise ShapeError(f"X.take gave {len(x)} samples of {len(rows)} rows: one a row")
        x = batch.table(x, program.inputs, "X", "input", program.dtype)
        t = self._targets(t, rows)
        return Samples(x, t, None if self.s is None else self.s[places], rows)

    def _targets(self, t: Any, rows: Rows) -> Array:
        program = self.program
        t = batch.targets(t, program.outputs, len(rows), program._need_loss(), program.dtype, numbers=rows)
        return softened(program, t, self.smoothing) if self.smoothing else t

    def _pair(self, rows: Rows) -> tuple[Any, Any]:
        given = self.X.take(rows)
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise DataError(f"X.take gave {brief(given)}: without T it gives a pair (x, t)")
        return given[0], given[1]

    def check(self) -> None:
        """Check the first sample and, where T is given, all targets.

        Raises:
            ShapeError, DataError: as `read`.
        """
        _check_shape(self.X, self.program.inputs)
        if self.T is not None and len(self.T) != len(self.X):
            raise ShapeError(f"T has {len(self.T)} rows and X {len(self.X)}: one a sample")
        self.read(np.arange(1))
        if self.T is not None:
            width = max(1, len(self.program.outputs))
            for places in pieces(len(self), max(1, CHUNK // (8 * width))):
                self._targets(_rows(self.T, self.number(places)), self.number(places))

    @property
    def blocks(self) -> Rows | None:
        """Offsets (K + 1,), in places, of the source's blocks; None where it defines none.

        Raises:
            DataError: the source's `blocks` are no ascending offsets from 0 to its number of samples.
        """
        given = getattr(self.X, "blocks", None)
        if given is None:
            return None
        offsets, N = np.asarray(given), len(self.X)
        if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or len(offsets) < 2:
            raise DataError(f"X.blocks is {brief(given)}: must be offsets of blocks, integers from 0 to {N}")
        if offsets[0] != 0 or offsets[-1] != N or (np.diff(offsets) < 0).any():
            raise DataError(f"X.blocks is {brief(given)}: must ascend from 0 to {N}, the number of samples")
        return np.unique(offsets if self.rows is None else np.searchsorted(self.rows, offsets)).astype(np.intp)

    @property
    def at_once(self) -> int:
        """The number of samples to read at a time."""
        return self.holding(CHUNK)

    def holding(self, size: int) -> int:
        """Return the number of samples that `size` bytes hold, at least one."""
        program = self.program
        return max(1, size // (program.dtype.itemsize * (len(program.inputs) + len(program.outputs))))

    def weighted(self, s: Array) -> Stored:
        """Return the same samples with weights s (N,)."""
        return replace(self, s=s)

    def softened(self, program: Program, smoothing: float) -> Stored:
        """Return the same samples, whose targets are smoothed by ε, `smoothing`, when they are read."""
        return replace(self, smoothing=smoothing)

    def chunks(self) -> Generator[Samples, None, None]:
        """Yield all samples in order, `at_once` at a time, read ahead by a thread."""
        return fetched(self.read, pieces(len(self), self.at_once))

    def digests(self) -> dict[str, str]:
        """Return digests by which two trainings are compared: of sizes, weights, and at most `SAMPLED` samples."""
        N, blocks = len(self), self.blocks
        if blocks is None:
            places = np.unique(np.linspace(0, N - 1, min(N, SAMPLED)).astype(np.intp))
        else:
            chosen = np.unique(np.linspace(0, len(blocks) - 2, min(len(blocks) - 1, BLOCKS)).astype(np.intp))
            share = SAMPLED // BLOCKS
            places = np.concatenate([np.arange(blocks[k], min(blocks[k + 1], blocks[k] + share)) for k in chosen])
        some = self.read(places)
        sizes = np.array([len(self.X), N])
        return {"X": digest(sizes, some.x, some.rows), "T": digest(some.t), "sample_weight": digest(self.s)}


def stored(program: Program, X: Any, T: Any, sample_weight: Any = None) -> Stored:
    """Make samples of which X or T is in storage, without those of weight 0, and check them.

    Raises:
        ConfigError: there are no targets, or T is given beside a source that gives pairs.
        ShapeError, DataError: as `value_and_grad`; targets that only the source has are checked when they are read.
    """
    if T is None and not is_source(X):
        raise ConfigError("T is missing: targets go with an array X; a source may give both")
    if not is_stored(X):
        X = batch.table(X, program.inputs, "X", "input", program.dtype)
    if T is not None and not is_stored(T):
        named = batch.by_name(T) is not None
        T = batch.table(T, program.outputs, "T", "output", program.dtype) if named else plain(T, "T")
    if not len(X):
        raise DataError("X is an empty batch: it has no samples")
    weights = batch.weights_of_samples(sample_weight, len(X))
    if weights is None:
        found = Stored(program, X, T)
    else:
        s = weights.s if program.reduction == "mean" else weights.whole
        found = Stored(program, X, T, weights.kept, s)
    found.check()
    return found


def data_of(program: Program, X: Any, T: Any, sample_weight: Any = None) -> Samples | Stored:
    """Make the samples of a training: `Stored` where X or T is in storage, else `Samples` in memory.

    Raises:
        ConfigError, ShapeError, DataError, UnknownNameError: as `samples_of` and `stored`.
    """
    if T is None or is_stored(X) or is_stored(T):
        return stored(program, X, T, sample_weight)
    return samples_of(program, X, T, sample_weight)


def validation_of(program: Program, validation: Any) -> float | Samples | Stored | None:
    """Check the argument `validation`: return a share, or the samples of (X, T), (X, T, sample_weight) or a source.

    Raises:
        ConfigError: none of these. ShapeError, DataError, UnknownNameError: as `data_of`.
    """
    if validation is None:
        return None
    if is_source(validation):
        return stored(program, validation, None)
    if isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
        return data_of(program, *validation)
    if isinstance(validation, (tuple, list)):
        raise ConfigError(
            f"validation has {len(validation)} entries: give (X, T) or (X, T, sample_weight), or a share of the samples"
        )
    return real("validation", validation, 0, 1, open_low=True)


def _rows(values: Any, rows: Rows) -> Any:
    """Return copies of these rows (n,) of an array, or what a source gives for them."""
    if not isinstance(values, np.ndarray):
        return values.take(rows)
    found = np.asarray(values).take(rows, axis=0)
    _let_go(values)
    return found


def _let_go(values: Array) -> None:
    """Release the resident pages of a memory-mapped file, which would count as memory of this process.

    They stay in the system's page cache, and are mapped again from there. A private mapping (mode "c") is skipped, as
    it would lose its modified pages.
    """
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and getattr(values, "mode", "c") != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _check_shape(X: Any, inputs: tuple[Any, ...]) -> None:
    if isinstance(X, np.ndarray) and (X.ndim != 2 or X.shape[1] != len(inputs)):
        raise ShapeError(f"X has shape {X.shape}: must be (B, {len(inputs)}), a column an input")


def pieces(n: int, size: int) -> Iterator[Rows]:
    """Yield 0 … n−1 in arrays of `size` numbers, the last possibly shorter.

    >>> [piece.tolist() for piece in pieces(5, 2)]
    [[0, 1], [2, 3], [4]]
    """
    return (np.arange(first, min(first + size, n)) for first in range(0, n, size))


def fetched(read: Callable[[Rows], Read], wanted: Iterator[Rows]) -> Generator[Read, None, None]:
    """Yield `read(rows)` for each of `wanted`; a thread reads the next result while one is used.

    The thread ends after the last result or when the generator is closed: close one that may not be exhausted.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="flowgrad-fetch") as pool:
        ahead = None
        try:
            for rows in wanted:
                behind, ahead = ahead, pool.submit(read, rows)
                if behind is not None:
                    yield behind.result()
            if ahead is not None:
                yield ahead.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
