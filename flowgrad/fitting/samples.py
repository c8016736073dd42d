"""Check, split and weight the samples of a training, and smooth their targets."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from flowgrad import batch
from flowgrad.arguments import real
from flowgrad.errors import ConfigError, DataError, UnknownNameError, brief, listing
from flowgrad.program import Program

Array = npt.NDArray[Any]
ClassWeight = Literal["balanced"] | Mapping[int, float]


class Data(Protocol):
    """N samples, in memory (`Samples`) or where they are stored (`Stored`); `s` (N,) are their weights, or None."""

    @property
    def s(self) -> Array | None: ...

    def __len__(self) -> int: ...

    def take(self, places: Array) -> Self:
        """Return the samples at these places (n,), in that order."""

    def chunks(self) -> Generator[Samples, None, None]:
        """Yield all samples in order, in chunks that fit in memory."""

    def weighted(self, s: Array) -> Self:
        """Return the same samples with weights s (N,)."""

    def softened(self, program: Program, smoothing: float) -> Self:
        """Return the same samples with targets smoothed by ε, `smoothing`."""

    def digests(self) -> dict[str, str]:
        """Return digests by argument of `fit`, by which two trainings are compared."""


Some = TypeVar("Some", bound=Data)


@dataclass(frozen=True)
class Samples:
    """N samples: x (N, I), t (N, O) in the program's dtype; s (N,) float64 or None; `rows` (N,) their numbers."""

    x: Array
    t: Array
    s: Array | None
    rows: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Array) -> Samples:
        """Return copies of the samples at these places (n,), in that order."""
        return Samples(self.x[rows], self.t[rows], None if self.s is None else self.s[rows], self.rows[rows])

    def part(self, first: int, end: int) -> Samples:
        """Return the samples from place `first` to before `end`, as views."""
        s = None if self.s is None else self.s[first:end]
        return Samples(self.x[first:end], self.t[first:end], s, self.rows[first:end])

    def chunks(self) -> Generator[Samples, None, None]:
        """Yield all samples as one chunk."""
        yield self

    def weighted(self, s: Array) -> Samples:
        """Return the same samples with weights s (N,)."""
        return replace(self, s=s)

    def softened(self, program: Program, smoothing: float) -> Samples:
        """Return the same samples with targets smoothed by ε, `smoothing`."""
        return replace(self, t=softened(program, self.t, smoothing))

    def digests(self) -> dict[str, str]:
        """Return the digests of all arrays, by argument of `fit`."""
        return {"X": digest(self.x, self.rows), "T": digest(self.t), "sample_weight": digest(self.s)}


def digest(*arrays: Array | None) -> str:
    """Return 32 hexadecimal digits of a SHA-256 of the dtype, shape and content of arrays; None is skipped."""
    made = hashlib.sha256()
    for array in arrays:
        if array is not None:
            made.update(repr((array.dtype.str, array.shape)).encode())
            made.update(np.ascontiguousarray(array).data)
    return made.hexdigest()[:32]


def samples_of(program: Program, X: Any, T: Any, sample_weight: Any = None) -> Samples:
    """Check arguments as `value_and_grad` does, and make samples of them, without those of weight 0."""
    loss, dtype = program._need_loss(), program.dtype
    x = batch.table(X, program.inputs, "X", "input", dtype)
    s = batch.weights_of_samples(sample_weight, len(x))
    kept = None if s is None else s.kept
    t = batch.targets(T, program.outputs, len(x), loss, dtype, kept)
    rows = np.arange(len(x)) if kept is None else kept
    weights = None if s is None else s.s if program.reduction == "mean" else s.whole  # a mean needs only their ratios
    return Samples(x if kept is None else x[kept], t, weights, rows)


def split(data: Some, validation: float, rng: np.random.Generator) -> tuple[Some, Some]:
    """Draw training and validation samples, the latter a share of all, rounded; ConfigError where either is empty."""
    n = round(validation * len(data))
    if not 0 < n < len(data):
        raise ConfigError(f"validation={validation}: of {len(data)} samples that leaves one side without any")
    order = rng.permutation(len(data))
    return data.take(np.sort(order[n:])), data.take(np.sort(order[:n]))


# ---- classes ------------------------------------------------------------------------------------------------


def need_classes(program: Program, who: str) -> None:
    """Raise ConfigError unless the targets of the program's loss are classes; `who` begins the message."""
    loss = program._need_loss()
    if not loss.logits:
        raise ConfigError(f"{who}: goes with classes, and targets of {loss.name} are none")


def classes_of(program: Program, data: Data, who: str) -> tuple[Array, int]:
    """Return the class (N,) of each sample, the output whose target is 1 or a single 0 or 1, and the number of classes.

    Of samples in storage all are read.

    Raises:
        ConfigError: the loss's targets are not exclusive classes. DataError: a sample does not have exactly one class.
    """
    need_classes(program, who)
    loss, O = program._need_loss(), len(program.outputs)
    if O > 1 and not loss.coupled:
        raise ConfigError(f"{who}: goes with one class a sample, and {loss.name} gives every output its own")
    found = []
    for chunk in data.chunks():
        wrong = ~np.isin(chunk.t, (0, 1)).all(axis=1)
        if O > 1:
            wrong |= chunk.t.sum(axis=1) != 1
        if wrong.any():
            raise DataError(f"{who}: the targets of sample {chunk.rows[wrong][0]} are no one class")
        found.append(chunk.t[:, 0].astype(np.intp) if O == 1 else chunk.t.argmax(axis=1))
    return np.concatenate(found), max(O, 2)


def weighted_by_class(program: Program, data: Some, class_weight: ClassWeight | None) -> Some:
    """Multiply each sample's weight by its class's: "balanced" is Σs / (classes that occur · Σs of the class).

    Raises:
        ConfigError: neither "balanced" nor a mapping class → factor, 0 or more. UnknownNameError: no such class.
    """
    if class_weight is None:
        return data
    if class_weight != "balanced" and not isinstance(class_weight, Mapping):
        raise ConfigError(f"class_weight={brief(class_weight)}: give 'balanced', a mapping class → factor, or None")
    classes, n = classes_of(program, data, f"class_weight={brief(class_weight)}")
    s = np.ones(len(data)) if data.s is None else data.s
    weights = s * _factors_of(class_weight, classes, n, s)[classes]
    kept = np.flatnonzero(weights)
    if not len(kept):
        raise DataError("class_weight is 0 for every sample")
    weighted = data.weighted(weights)
    return weighted if len(kept) == len(data) else weighted.take(kept)


def _factors_of(class_weight: ClassWeight, classes: Array, n: int, s: Array) -> Array:
    """Return the factor of each of n classes, (n,), by the classes (N,) and weights s (N,) of the samples."""
    if not isinstance(class_weight, Mapping):
        mass = np.bincount(classes, s, minlength=n)
        factors: Array = s.sum() / ((mass > 0).sum() * np.where(mass > 0, mass, 1.0))
        return factors
    factors = np.ones(n)
    for k, factor in class_weight.items():
        if isinstance(k, (bool, np.bool_)) or not isinstance(k, (int, np.integer)) or not 0 <= k < n:
            known = listing([str(c) for c in range(n)])
            raise UnknownNameError(f"class_weight has class {brief(k)}: the classes are {known}")
        factors[k] = real(f"class_weight[{k}]", factor, 0)
    return factors


def smoothed(program: Program, data: Some, smoothing: float) -> Some:
    """Smooth targets of K classes to (1 − ε)·t + ε/K, ε = `smoothing` (Szegedy et al. 2016, section 7).

    Where every output has two classes of its own, K is 2.

    Raises:
        ConfigError: the loss's targets are no classes, or ε is out of range.
    """
    if not real("label_smoothing", smoothing, 0, 1):
        return data
    need_classes(program, f"label_smoothing={smoothing}")
    return data.softened(program, smoothing)


def softened(program: Program, t: Array, smoothing: float) -> Array:
    """Return t (B, O) smoothed as by `smoothed`; of a coupled loss ε/K is times the sum of a sample's targets."""
    share = np.asarray(smoothing / 2.0)
    if program._need_loss().coupled:  # keeps the sum of a sample's targets
        share = t.sum(axis=1, keepdims=True) * (smoothing / t.shape[1])
    soft: Array = (t * (1.0 - smoothing) + share).astype(t.dtype)
    return soft
