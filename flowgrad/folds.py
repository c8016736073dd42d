"""Folds: which samples are held out together, at random by a seed, alike in every stratum, groups kept whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import DataError, brief

Ints = npt.NDArray[np.intp]


def folds_of(samples: int, folds: int, rng: np.random.Generator, strata: Any = None, groups: Any = None) -> Ints:
    """(B,) the fold of each sample, from 0.

    Samples are dealt out, one a fold, in the order of their stratum and at random within it, so that no two folds
    differ by more than one sample of a stratum. Groups are dealt out whole: in the order of the stratum that most of
    their samples have, the largest first.

    Args:
        samples: B, how many; folds: 2 or more.
        strata, groups: (B,) of any kind, or None.

    Raises:
        DataError: fewer samples or groups than folds, or fewer samples of a stratum.

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
    """(B,) whether a sample is held out: of the order in which `folds_of` deals, one in 1/share.

    Raises:
        DataError: that leaves none on one side.
    """
    unit, order = _order(samples, rng, strata, groups)
    place = np.arange(len(order))
    out = np.zeros(len(order), bool)
    out[order] = np.floor((place + 1) * share + 1e-9) > np.floor(place * share + 1e-9)
    if not out.any() or out.all():
        raise DataError(f"{samples} samples are too few to hold out {share:g} of them")
    return out[unit]


def _order(samples: int, rng: np.random.Generator, strata: Any, groups: Any) -> tuple[Ints, Ints]:
    """(B,) the unit that each sample belongs to, and the units in the order in which they are dealt out."""
    unit = np.arange(samples) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    units = int(unit.max()) + 1
    size = np.bincount(unit)
    kind = np.zeros(units, np.intp)
    if strata is not None:
        stratum = np.unique(np.asarray(strata), return_inverse=True)[1]
        kinds = int(stratum.max()) + 1
        kind = np.bincount(unit * kinds + stratum, minlength=units * kinds).reshape(units, kinds).argmax(axis=1)
    return unit, np.lexsort((rng.permutation(units), -size, kind))
