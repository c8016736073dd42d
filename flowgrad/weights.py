"""Initialisation of weights that were not given, and sharing of one weight by all edges of a param."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import numpy.typing as npt

from flowgrad.errors import GraphError, UnknownNameError, brief
from flowgrad.maths.activation import Activation
from flowgrad.maths.initializers import Initializer
from flowgrad.registry import find

Ints = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]


def drawn(
    weight: Floats,
    source: Ints,
    target: Ints,
    activation: Codes,
    activations: Sequence[Activation],
    seed: int,
    initializer: Initializer | None = None,
) -> Floats:
    """Draw the absent weights from the seed, in the order of the edges: (E,) float64, given ones as they are.

    The standard deviation follows from the target's fan-in and the source's fan-out (`maths.initializers`).

    Args:
        weight: (E,) float64, NaN where absent. source, target: (E,) int32 rows.
        activation: (V,) int16 index into `activations`, −1 for inputs.
        initializer: of all edges; None takes that of the target's activation.

    Raises:
        GraphError: an activation names an unknown initializer; an initializer returns no valid standard deviations.
    """
    absent = np.isnan(weight)
    if not absent.any():
        return weight
    fan_in, fan_out = (np.bincount(end, minlength=len(activation))[end] for end in (target, source))
    normal = np.random.default_rng(seed).standard_normal(int(absent.sum()))
    std = np.empty(len(weight))
    for code, function in enumerate(activations):
        mine = activation[target] == code
        rule = _initializer(function) if initializer is None else initializer
        std[mine] = _deviations(rule, fan_in[mine], fan_out[mine])
    weight = weight.copy()
    weight[absent] = normal * std[absent]
    return weight


def initializer_for(initializer: object) -> Initializer | None:
    """Resolve a name or record to an Initializer; None stays None: the default of each target's activation.

    Raises:
        UnknownNameError: no such name; the message gives the nearest.
        GraphError: neither a name nor an Initializer.
    """
    if initializer is None or isinstance(initializer, Initializer):
        return initializer
    if not isinstance(initializer, str):
        raise GraphError(f"initializer={brief(initializer)}: give a name, an Initializer, or None")
    found: Initializer = find("initializers", initializer)
    return found


def _deviations(rule: Initializer, fan_in: Floats, fan_out: Floats) -> Floats:
    """Evaluate an initializer's rule on edges: (E,) standard deviations; raises if the result is invalid."""
    found = np.asarray(rule.std(fan_in.astype(np.float64), fan_out.astype(np.float64)))
    good = found.shape in ((), fan_in.shape) and found.dtype.kind in "fiu"
    if not good or not (np.isfinite(found) & (found >= 0)).all():
        raise GraphError(
            f"initializer {brief(rule.name)} gives {brief(found)} for {len(fan_in)} edges: must be one "
            "standard deviation an edge, or one for all, finite and 0 or more"
        )
    return np.broadcast_to(found, fan_in.shape)


def _initializer(activation: Activation) -> Initializer:
    try:
        found: Initializer = find("initializers", activation.initializer)
    except UnknownNameError as error:
        raise GraphError(f"activation {brief(activation.name)}: {error}") from None
    return found


def shared(
    weight: Floats,
    given: npt.NDArray[np.bool_],
    param: Ints,
    params: Sequence[Hashable],
    edge_name: Callable[[int], str],
) -> Floats:
    """Assign one weight to all edges of a param, (E,) float64: the first given one, else the first drawn one.

    Args:
        given: (E,) bool, False where the weight was drawn.
        param: (E,) int32 index into `params`, −1 for none.
        edge_name: names the edge of a row, for the error.

    Raises:
        GraphError: two edges of one param were given different weights.
    """
    edges = np.flatnonzero(param >= 0)
    if not len(edges):
        return weight
    weight = weight.copy()
    said, rest = edges[given[edges]], edges[~given[edges]]
    value = np.full(len(params), np.nan)
    for rows in (rest[::-1], said[::-1]):  # the last assignment takes effect: the first given weight
        value[param[rows]] = weight[rows]
    unequal = said[weight[said] != value[param[said]]]
    if len(unequal):
        row = int(unequal[0])
        raise GraphError(
            f"param {brief(params[param[row]])} has two weights: {weight[row]} at edge {edge_name(row)}, "
            f"{value[param[row]]} at another; edges of one param share one weight"
        )
    weight[edges] = value[param[edges]]
    return weight
