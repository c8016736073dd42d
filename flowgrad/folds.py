"""Random partition of samples into cross-validation folds, with optional strata and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import DataError, brief

Ints = npt.NDArray[np.intp]


def folds_of(samples: int, folds: int, rng: np.random.Generator, strata: Any = None, groups: Any = None) -> Ints:
    """Assign samples to folds at random; return the fold numbers, (B,) int, from 0.

    Samples are ordered by stratum, at random within each, and assigned to the folds in turn; so the numbers of samples
    of a stratum in two folds differ by at most one. With groups, whole groups are assigned: they are ordered by the
    most frequent stratum of their samples, then by size, the largest first.

    Args:
        samples: number of samples B, an integer ≥ 1.
        folds: number of folds, an integer ≥ 2.
        rng: generator that determines the order.
        strata: (B,) labels of any kind, such as classes. None: all samples are of one stratum.
        groups: (B,) labels of any kind. None: each sample is a group of its own.

    Raises:
        DataError: there are fewer samples or groups than folds, or fewer samples of a stratum than folds.

    >>> sorted(folds_of(6, 3, np.random.default_rng(0)).tolist())
    [0, 0, 1, 1, 2, 2]
    """
    unit, order = _order(samples, rng, strata, groups)
    if len(order) < folds:
        what = "samples" if groups is None else "groups"
        raise DataError(f"{len(order)} {what} are too few for {folds} folds: each is to have one")
    if strata is not None:
        kinds, count = np.unique(np.asarray(strata), return_counts=True)
        if count.min() < folds:
            few = kinds[count.argmin()].item()
            said = (
                f"{few if isinstance(few, str) else brief(few)} has {count.min()} samples, and there are {folds} folds"
            )
            raise DataError(f"{said}, each of which is to have one: take fewer folds, or do not stratify")
    fold = np.empty(len(order), np.intp)
    fold[order] = np.arange(len(order)) % folds
    return fold[unit]


def held_out(
    samples: int, share: float, rng: np.random.Generator, strata: Any = None, groups: Any = None
) -> npt.NDArray[np.bool_]:
    """Draw a fraction of the samples to hold out; return (B,) bool, True at these.

    In the order of `folds_of`, one sample or group in every 1/share is held out, so strata have equal shares.

    Args:
        share: number above 0 and below 1.
        samples, rng, strata, groups: as for `folds_of`.

    Raises:
        DataError: no sample, or every sample, would be held out.
    """
    unit, order = _order(samples, rng, strata, groups)
    place = np.arange(len(order))
    out = np.zeros(len(order), bool)
    out[order] = np.floor((place + 1) * share + 1e-9) > np.floor(place * share + 1e-9)
    if not out.any() or out.all():
        raise DataError(f"{samples} samples are too few to hold out {share:g} of them")
    return out[unit]


def _order(samples: int, rng: np.random.Generator, strata: Any, groups: Any) -> tuple[Ints, Ints]:
    """Return each sample's unit (B,), its group or itself, and the units in the order of their assignment."""
    unit = np.arange(samples) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    units = int(unit.max()) + 1
    size = np.bincount(unit)
    kind = np.zeros(units, np.intp)
    if strata is not None:
        stratum = np.unique(np.asarray(strata), return_inverse=True)[1]
        kinds = int(stratum.max()) + 1
        kind = np.bincount(unit * kinds + stratum, minlength=units * kinds).reshape(units, kinds).argmax(axis=1)
    return unit, np.lexsort((rng.permutation(units), -size, kind))
