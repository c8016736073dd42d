"""Search for the origin of inf or NaN: the first non-finite value in the order of computation."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import show

if TYPE_CHECKING:
    from flowgrad.program import Program
    from flowgrad.results import Activations, Gradients

Array = npt.NDArray[Any]


def culprit(program: Program, theta: Array, x: Array, t: Array, s: Array | None, rows: Array) -> str:
    """Describe in words the first non-finite value in the computations on a batch.

    Data are checked before results: inputs, then targets. Forward runs in topological order, so the first neuron
    with non-finite z or a is the origin; neurons that no output depends on are ignored. If all are finite, the
    losses of outputs follow; then ∂L/∂z, in the order of backward, from the outputs; then the slots of the gradient
    and of θ.

    Args:
        theta: (P,). x (B, I), t (B, O), s (B,) sample weights or None: the batch.
        rows: (B,) row numbers in X of the samples of the batch, for the message.
    """
    found = _in_batch("input", program.inputs, x, rows) or _in_batch("the target of output", program.outputs, t, rows)
    if found is not None:
        return found
    acts = program.forward(x, theta)
    found = _in_forward(program, acts, rows)
    if found is None:
        grads = program.backward(acts, t, sample_weight=s)
        found = _in_loss(program, acts, t, rows) or _in_backward(program, grads, rows)
        found = found or _in_theta(program, "the gradient of", grads.theta) or _in_theta(program, "", theta)
    return found or "the loss, though every neuron's z, a and ∂L/∂z is finite"


def _in_batch(what: str, names: tuple[Hashable, ...], values: Array, rows: Array) -> str | None:
    wrong = _first(~np.isfinite(values).T)
    if wrong is None:
        return None
    n, b = wrong
    return f"{what} {show(names[n])} is {values[b, n]} at sample {rows[b]}"


def _in_forward(program: Program, acts: Activations, rows: Array) -> str | None:
    z, a = acts.z.array, acts.a.array
    bad, live = ~(np.isfinite(z) & np.isfinite(a)), program.plan.live()
    place = _first(bad if live is None else bad & live[:, None])
    if place is None:
        return None
    v, b = place
    name = show(program.labels.nodes[v])
    of_a = "" if not np.isfinite(z[v, b]) else f" a = {a[v, b]} at"
    return f"neuron {name} has{of_a} z = {z[v, b]:.6g}, at sample {rows[b]}"


def _in_loss(program: Program, acts: Activations, t: Array, rows: Array) -> str | None:
    loss, y = program._need_loss(), acts.output.astype(np.float64)
    l, _ = loss.evaluate(y, t.astype(np.float64))
    wrong = _first(~np.isfinite(l).T)
    if wrong is None:
        return None
    n, b = wrong
    return f"the loss of output {show(program.outputs[n])} is {l[b, n]} at y = {y[b, n]:.6g}, at sample {rows[b]}"


def _in_backward(program: Program, grads: Gradients, rows: Array) -> str | None:
    dz = grads.dz.array
    place = _first(~np.isfinite(dz[::-1]))
    if place is None:
        return None
    v, b = len(dz) - 1 - place[0], place[1]
    return f"neuron {show(program.labels.nodes[v])} has ∂L/∂z = {dz[v, b]} at sample {rows[b]}"


def _in_theta(program: Program, what: str, values: Array) -> str | None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if not len(wrong):
        return None
    kind, key = program.theta_index.label(int(wrong[0]))
    name = f"edge {show(key[0])} → {show(key[1])}" if kind == "weight" else f"neuron {show(key)}"
    return f"{what} the {kind} of {name} is {values[wrong[0]]}".strip()


def _first(bad: Array) -> tuple[int, int] | None:
    """Find row and column of the first True in row-major order; None if there is none."""
    k = np.flatnonzero(bad.any(axis=1))
    return (int(k[0]), int(np.flatnonzero(bad[k[0]])[0])) if len(k) else None
