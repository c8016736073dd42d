"""Validation of X, T, sample weights and θ, and their conversion to the shapes and dtype of a program."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import plain, repeated
from flowgrad.errors import ConfigError, DataError, ShapeError, UnknownNameError, brief, suggest
from flowgrad.executor import Adjoint

if TYPE_CHECKING:
    from flowgrad.maths.losses import Loss
    from flowgrad.plan import Plan
    from flowgrad.recycling import Recycler

Array = npt.NDArray[Any]
BYTES = np.dtype(np.uint8)
Rows = npt.NDArray[np.intp]


def real(values: Any, what: str, dtype: np.dtype[Any]) -> Array:
    """Convert to a C-contiguous array of that dtype; return the argument itself if it is one already."""
    array = plain(values, what)
    if array.dtype == dtype and array.flags.c_contiguous:
        return array
    if array.dtype.kind not in "fiub":
        found = "text" if array.dtype.kind in "UST" else str(array.dtype)
        raise DataError(f"{what} holds {found}: must be real numbers")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype)


def is_plain(values: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    """Tell whether kernels can read `values` as it is: an aligned C-contiguous array of that dtype and shape.

    `shape[0]` = −1 stands for any length. Most calls pass: on a small network full checks outlast the gradient.
    """
    if type(values) is not np.ndarray or values.dtype is not dtype:
        return False
    there = values.shape
    if there != shape and (shape[0] >= 0 or not there or there[1:] != shape[1:]):
        return False
    flags = values.flags
    return flags.c_contiguous and flags.aligned


def by_name(values: Any) -> list[Hashable] | None:
    """List the column names of a mapping or data frame; None for plain arrays.

    Raises:
        DataError: a lazy frame, which holds no values.
    """
    if isinstance(values, np.ndarray):
        return None
    if isinstance(values, Mapping):
        return list(values)
    if hasattr(values, "collect") and hasattr(values, "select"):  # lazy frames of polars, narwhals, Spark
        raise DataError(f"a {type(values).__name__} holds no values yet: collect() it")
    names = getattr(values, "column_names", None)  # of a pyarrow table: its `columns` are values, not names
    columns = getattr(values, "columns", None) if names is None else names
    return None if columns is None else list(columns)


def table(
    values: Any, names: tuple[Hashable, ...], what: str, noun: str, dtype: np.dtype[Any], surplus: bool = False
) -> Array:
    """Convert an array, or a mapping or frame by column name, to (B, len(names)); `surplus` allows further columns.

    Raises:
        ShapeError: not two axes, another number of columns, no rows, columns of unequal length.
        UnknownNameError: a missing or an extra column, with the nearest name.
        DataError: no real numbers.
    """
    given = by_name(values)
    if given is None:
        array = real(values, what, dtype)
        if array.ndim != 2 or array.shape[1] != len(names):
            hint = f"; one sample is {what}[None, :]" if array.ndim == 1 else ""
            raise ShapeError(f"{what} has shape {array.shape}: must be (B, {len(names)}), a column an {noun}{hint}")
    else:
        _check_columns(given, names, what, noun, surplus)
        whole = _at_once(values, names)
        array = _by_column(values, names, what, dtype) if whole is None else real(whole, what, dtype)
    if not len(array):
        raise DataError(f"{what} is an empty batch: it has no samples")
    return array


def _at_once(frame: Any, names: tuple[Hashable, ...]) -> Array | None:
    """Convert a data frame's columns to (B, len(names)) in one call; None for a mapping or non-numeric columns."""
    if isinstance(frame, Mapping) or not hasattr(frame, "to_numpy"):
        return None
    array = frame[list(names)].to_numpy()
    fits = isinstance(array, np.ndarray) and array.dtype.kind in "fiub" and array.shape[1:] == (len(names),)
    return array if fits else None


def _by_column(values: Any, names: tuple[Hashable, ...], what: str, dtype: np.dtype[Any]) -> Array:
    """Make the (B, len(names)) array column by column, so that an error can name the column at fault."""
    columns = [real(values[name], f"{what}[{brief(name)}]", dtype) for name in names]
    shapes = [column.shape for column in columns]
    for name, shape in zip(names, shapes, strict=True):
        if len(shape) != 1:
            raise ShapeError(f"{what}[{brief(name)}] has shape {shape}: must be (B,), a number a sample")
        if shape != shapes[0]:
            raise ShapeError(
                f"the columns of {what} have unequal lengths: {what}[{brief(names[0])}] has shape {shapes[0]}, "
                f"{what}[{brief(name)}] has shape {shape}"
            )
    return np.ascontiguousarray(np.stack(columns, axis=1))


def _check_columns(given: list[Hashable], names: tuple[Hashable, ...], what: str, noun: str, surplus: bool) -> None:
    known, present = set(names), set(given)
    extra = [name for name in given if name not in known]
    missing = [name for name in names if name not in present]
    twice = repeated(name for name in given if name in known) if len(present) < len(given) else None
    if twice is not None:
        raise DataError(f"{what} has the column {brief(twice)} twice: give each name to one column")
    if missing:
        near = suggest(missing[0], extra).replace("; known", f"; {what} has, unasked") if extra else ""
        raise UnknownNameError(f"{what} lacks the column of {noun} {brief(missing[0])}{near}")
    if extra and not surplus:
        raise UnknownNameError(
            f"{what} has a column {brief(extra[0])}, which is no {noun} of the network{suggest(extra[0], names)}"
        )


def targets(
    T: Any,
    names: tuple[Hashable, ...],
    rows: int,
    loss: Loss,
    dtype: np.dtype[Any],
    kept: Rows | None = None,
    numbers: Rows | None = None,
) -> Array:
    """Convert targets to (B, O), one column per name in `names`, and check that they lie in the loss's domain.

    Class indices (B,) become one-hot rows where the loss is coupled (cross-entropy). Of the `rows` samples only those
    in `kept` are checked and returned; None: all. `numbers` holds their sample numbers for errors; None: `kept`.

    Raises:
        ShapeError, UnknownNameError: another number of rows or columns, another column.
        DataError: no real numbers, or a finite target outside the loss's domain; the message names the sample.
    """
    O = len(names)
    array = T if by_name(T) is not None else plain(T, "T")
    if isinstance(array, np.ndarray) and array.ndim == 1:
        if loss.coupled:
            _one_a_sample(array, rows)
            return one_hot(array if kept is None else array[kept], O, dtype, kept if numbers is None else numbers)
        if O == 1:
            array = array[:, None]
    array = table(array, names, "T", "output", dtype)
    _one_a_sample(array, rows)
    array = array if kept is None else array[kept]
    loss.check(array, names, kept if numbers is None else numbers)
    return array


def targets_of(k: int, T: Any, names: tuple[Hashable, ...], rows: int, loss: Loss, dtype: np.dtype[Any]) -> Array:
    """Convert the targets of sample k alone, (1, O), as `targets` does.

    Raises:
        ConfigError: the loss depends on all samples together (cox), so that one sample has no loss of its own.
    """
    if loss.of_batch:
        raise ConfigError(f"sample={k}: {loss.name} depends on all samples together, and has no value for one")
    return targets(T, names, rows, loss, dtype, np.array([k]))


def _one_a_sample(T: Array, rows: int) -> None:
    if len(T) != rows:
        raise ShapeError(f"T has {len(T)} rows and X {rows}: one a sample")


def one_hot(classes: Array, O: int, dtype: np.dtype[Any], kept: Rows | None = None) -> Array:
    """Convert class indices (B,) to one-hot rows (B, O); errors name sample k as `kept[k]`, or k for None.

    Raises:
        DataError: not integers, or out of range; the message names the sample.
    """
    if kept is not None and classes.dtype.kind == "f" and (classes == np.floor(classes)).all():
        classes = classes.astype(np.int64)  # float dtype only because a sample that is left out holds NaN
    if classes.dtype.kind not in "iu":
        raise DataError(f"class indices are {classes.dtype}: must be integers 0 … {O - 1}, or give T as (B, {O})")
    outside = np.flatnonzero((classes < 0) | (classes >= O))
    if len(outside):
        k = int(outside[0])
        sample = k if kept is None else int(kept[k])
        raise DataError(
            f"class index {classes[k]} at sample {sample} is out of range: there are {O} outputs, 0 … {O - 1}"
        )
    array = np.zeros((len(classes), O), dtype)
    array[np.arange(len(classes)), classes] = 1
    return array


@dataclass(frozen=True)
class SampleWeights:
    """Weights s_b above 0, s_b = `s`·2^`power`; samples of weight 0 are left out.

    s       (n,) float64
    kept    (n,) int: sample numbers of the entries of `s`; None: all samples
    power   0 unless the largest weight is so large or small that a loss times it would overflow or underflow
    """

    s: Array
    kept: Rows | None
    power: int

    @property
    def whole(self) -> Array:
        """Return s_b, (n,) float64, without the scaling by a power of 2."""
        return np.ldexp(self.s, self.power)

    @property
    def total(self) -> float:
        """Return Σ_b s_b / 2^power."""
        return float(self.s.sum())


ORDINARY = 32
"""Largest |exponent|, base 2, of the largest sample weight up to which weights are not rescaled by a power of 2."""


def weights_of_samples(sample_weight: Any, rows: int) -> SampleWeights | None:
    """Check sample weights (B,), B = `rows`, and select those above 0; None where none are given.

    Raises:
        ShapeError: not (B,).
        DataError: a weight is below 0, infinite or NaN, or all are 0.
    """
    if sample_weight is None:
        return None
    array = real(sample_weight, "sample_weight", np.dtype(np.float64))
    if array.shape != (rows,):
        raise ShapeError(f"sample_weight has shape {array.shape}: must be ({rows},), one a sample")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise DataError(f"sample_weight is {array[wrong[0]]} at sample {wrong[0]}: must be finite and 0 or more")
    kept = np.flatnonzero(array)
    if not len(kept):
        raise DataError("sample_weight is 0 for every sample")
    s = array if len(kept) == rows else array[kept]
    power = int(np.frexp(s.max())[1]) - 1
    power = 0 if abs(power) <= ORDINARY else power
    return SampleWeights(np.ldexp(s, -power) if power else s, None if len(kept) == rows else kept, power)


def parameters(theta: Any, plan: Plan, dtype: np.dtype[Any]) -> Array:
    """Convert θ to a (P,) array of the program's dtype, and check its shape."""
    if is_plain(theta, dtype, plan.theta.shape):
        return theta  # type: ignore[no-any-return]  # is_plain: it is an array
    array = real(theta, "theta", dtype)
    if array.shape != (plan.n_parameters,):
        biases = int((plan.bias_slot >= 0).sum())
        raise ShapeError(
            f"theta has shape {array.shape}: must be ({plan.n_parameters},), "
            f"{plan.n_parameters - biases} weights and {biases} biases"
        )
    return array


def room_for_gradient(out: Any, theta: Any, th: Array, arrays: Recycler) -> tuple[Array, Array]:
    """Return the caller's array, and the array a kernel writes: the same one, or a temporary to copy from.

    The temporary is needed where `out` has another dtype or layout than the kernel's, or shares memory with θ.

    Args:
        out: the caller's array (P,) of theta's dtype, or None for a new one from `arrays`.
        theta, th: θ as the caller gave it, and in the program's dtype.

    Raises:
        ShapeError: out has another shape or dtype than theta.
        DataError: out is read-only.
    """
    if out is None and theta is th:
        g = arrays.empty(len(th), th.dtype)
        return g, g
    kind = theta.dtype if isinstance(theta, np.ndarray) else np.asarray(theta).dtype
    answer = kind if kind.kind == "f" else th.dtype
    if out is None:
        out = arrays.empty(len(th), answer)
    elif not isinstance(out, np.ndarray) or out.shape != th.shape or out.dtype != answer:
        raise ShapeError(f"out must be an array of shape {th.shape} and dtype {answer}, as theta is")
    elif not out.flags.writeable:
        raise DataError("out is read-only: give an array that may be written to")
    elif np.may_share_memory(out, th):
        return out, np.empty(len(th), th.dtype)
    fits = out.dtype == th.dtype and out.flags.c_contiguous
    return out, out if fits else np.empty(len(th), th.dtype)


def memory(kept: Any) -> tuple[Array, ...]:
    """Return the trailing arguments of a kernel's `vjp`: (kept,), or () where `predict_keeping` kept nothing.

    Raises:
        DataError: `kept` is not a C-contiguous, aligned, writable (N,) uint8 array.
    """
    if kept is None:
        return ()
    if not isinstance(kept, np.ndarray) or kept.dtype != BYTES or kept.ndim != 1 or not kept.flags.carray:
        raise DataError(f"kept is {brief(kept)}: must be the second array that predict_keeping(X) gave")
    return (kept,) if len(kept) else ()


def of_all_samples(adjoint: Adjoint, B: int, s: SampleWeights | None) -> Adjoint:
    """Scatter ∂L/∂z and ∂L/∂a to all B samples, and undo the scaling by 2^−power; 0 for samples left out."""
    if s is None or (s.kept is None and not s.power):
        return adjoint

    def spread(values: Array) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            whole = np.ldexp(values, s.power).astype(values.dtype)
        if s.kept is None:
            return whole
        every = np.zeros((len(values), B), values.dtype)
        every[:, s.kept] = whole
        return every

    return replace(adjoint, dz=spread(adjoint.dz), da=spread(adjoint.da))
