"""Define the values between the operators of a model while it is read: constants, and signals of neurons.

Where the model has a batch axis, it is the first axis of every signal, and has length 1: one sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.formats._onnx.assembly import Assembly

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Constant:
    """Hold values, float64 or int64, and keys, int64 of the same shape: their parameters, −1 or None for none."""

    values: Array
    keys: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


@dataclass(frozen=True)
class Signals:
    """Represent weight · a, entry by entry, with a the activations of neurons.

    rows     int64: the rows of the neurons
    weight   float64 of the same shape, None where all are 1; keys as in Constant
    own      whether nothing else reads these neurons, so that an activation or a bias may be put onto them
    """

    rows: Array
    weight: Array | None = None
    keys: Array | None = None
    own: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape


Value = Constant | Signals


def view(value: Value, change: Callable[[Array], Array]) -> Value:
    """Rearrange the entries of a value: a reshape, transposition or selection.

    `own` stays True only where no neuron occurs twice.
    """
    if isinstance(value, Constant):
        return Constant(change(value.values), None if value.keys is None else change(value.keys))
    rows, (weight, keys) = change(value.rows), (None if v is None else change(v) for v in (value.weight, value.keys))
    return Signals(rows, weight, keys, own=value.own and len(np.unique(rows)) == rows.size)


def scaled(net: Assembly, x: Signals, by: Constant, label: str) -> Signals:
    """Return x · by, of equal shapes, as weights for x's out-edges; existing weights are settled if any is trained."""
    if x.weight is None:
        return replace(x, weight=by.values.astype(np.float64), keys=by.keys)
    if x.keys is None and by.keys is None:
        return replace(x, weight=x.weight * by.values)
    return scaled(net, settled(net, x, label), by, label)


def settled(net: Assembly, x: Signals, label: str) -> Signals:
    """Return the signals without weights: new neurons hold the entries whose weight is trained or not 1."""
    if x.weight is None:
        return x
    waits = x.weight != 1.0
    if x.keys is not None:
        waits |= x.keys >= 0
    if waits.all():
        rows = net.neurons(x.shape, label)
        net.connect(x.rows, rows, x.weight, x.keys)
        return Signals(rows, own=True)
    rows = x.rows.copy()
    rows[waits] = net.neurons((int(waits.sum()),), f"{label}.scaled")
    net.connect(x.rows[waits], rows[waits], x.weight[waits], None if x.keys is None else x.keys[waits])
    return Signals(rows)


def signals(net: Assembly, value: Value, label: str) -> Signals:
    """Convert a constant to neurons that have its values as biases; return signals unchanged."""
    if isinstance(value, Signals):
        return value
    rows = net.neurons(value.shape, label)
    net.bias(rows, value.values, value.keys)
    return Signals(rows, own=True)


def activated(net: Assembly, x: Signals, activation: str, label: str) -> Signals:
    """Return σ(x), put onto x's own neurons where they are linear and nothing else reads them, else onto new ones."""
    if x.own and x.weight is None and net.linear(x.rows):
        net.activate(x.rows, activation)
        net.name(x.rows, label)
        return x
    rows = net.neurons(x.shape, label, activation)
    net.connect(x.rows, rows, 1.0 if x.weight is None else x.weight, x.keys)
    return Signals(rows, own=True)


def shifted(net: Assembly, x: Signals, by: Constant, label: str) -> Signals:
    """Return x + by, of equal shapes: a bias of x's own neurons where they have none yet, else of new ones."""
    if x.own and x.weight is None and net.plain(x.rows):
        net.name(x.rows, label)
    else:
        rows = net.neurons(x.shape, label)
        net.connect(x.rows, rows, 1.0 if x.weight is None else x.weight, x.keys)
        x = Signals(rows, own=True)
    net.bias(x.rows, by.values, by.keys)
    return x


def distinct(net: Assembly, x: Signals, label: str) -> Signals:
    """Replace neurons that occur again along the last axis by copies: two neurons are joined by one edge at most."""
    if x.rows.shape[-1] < 2:
        return x
    order = np.argsort(x.rows, axis=-1, kind="stable")
    ascending = np.take_along_axis(x.rows, order, -1)
    again = np.zeros(x.shape, np.bool_)
    again[..., 1:] = (ascending[..., 1:] == ascending[..., :-1]) & (ascending[..., 1:] >= 0)
    if not again.any():
        return x
    repeated = np.zeros(x.shape, np.bool_)
    np.put_along_axis(repeated, order, again, -1)
    rows = x.rows.copy()
    rows[repeated] = net.neurons((int(repeated.sum()),), f"{label}.copy")
    net.connect(x.rows[repeated], rows[repeated])
    return replace(x, rows=rows, own=False)


def gathered(net: Assembly, x: Signals, label: str, aggregation: str = "sum", activation: str = "identity") -> Signals:
    """Make one neuron for all entries along the last axis: (…, K) → (…)."""
    x = distinct(net, x, label)
    rows = net.neurons(x.shape[:-1], label, activation, aggregation)
    net.connect(x.rows, rows[..., None], 1.0 if x.weight is None else x.weight, x.keys)
    return Signals(rows, own=True)
