"""Quantities that several analyses need: ∂a_v/∂a_u of every edge, σ'(z), base cases, nodes upstream of outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.executor import Array
from flowgrad.network import Network
from flowgrad.plan import Plan
from flowgrad.program import Program, compile
from flowgrad.results import Activations


def local_derivatives(plan: Plan, weight: Array, z: Array, a: Array) -> Array:
    """Return (E,) float64 ∂a_v/∂a_u: σ'(z_v) of (8) times ∂z_v/∂a_u of (10), in the order of the plan's edges.

    Args:
        weight: (E,) of every edge, trainable or not.
        z, a: (V,) of every node, for one sample.
    """
    with np.errstate(all="ignore"):
        return (activation_slopes(plan, z) * plan.response)[plan.in_target] * plan.term_slopes(weight, a) * weight


def activation_slopes(plan: Plan, z: Array) -> Array:
    """Return (V,) float64 σ'(z_v) at one sample, by each activation's own derivative; 1 at inputs. z: (V,)."""
    slope = np.ones(plan.n_nodes)
    with np.errstate(all="ignore"):
        for v in np.flatnonzero(plan.activation >= 0).tolist():
            slope[v] = plan.activations[plan.activation[v]].df(np.float64(z[v]))
    return slope


def base_cases(program: Program, y: Array, T: Any) -> tuple[Array, Array, Array]:
    """Return targets t, losses l_n of (4) and base cases ∂(Σ_k l_k)/∂y_n of (9), each (B, O) float64."""
    loss, y = program._need_loss(), y.astype(np.float64)
    t = batch.targets(T, program.outputs, len(y), loss, program.dtype).astype(np.float64)
    return t, *loss.evaluate(y, t)


def slopes(program: Program, acts: Activations) -> Array:
    """Return (V, B) float64 σ'(z) of every neuron and sample; 1 at inputs.

    Computed as ∂L/∂z over ∂L/∂a, (8), of one backward pass in which every neuron is an output with a random base
    case; where that quotient is not finite or ∂L/∂a is 0, by the activation's own derivative.
    """
    plan, names = program.plan, program.labels.columns
    z = acts.z.array.astype(np.float64)
    neurons = plan.nodes[len(plan.inputs) :]
    own = "python" if program.executor == "python" else "auto"  # the Python executor compiles no kernels here either
    every = compile(Network.from_columns(replace(names, outputs=neurons)), own, dtype="float64")
    rows = z.shape[1]
    again = every.forward(acts.a.array[plan.inputs].T.astype(np.float64), acts.theta.astype(np.float64))
    drawn = np.random.default_rng(0).uniform(1.0, 2.0, (rows, len(neurons)))
    grads = every.backward(again, cotangent=drawn)
    da, dz = grads.da.array, grads.dz.array
    with np.errstate(all="ignore"):
        slope = dz / da
        for v, b in np.argwhere(~np.isfinite(slope) | (da == 0)).tolist():
            slope[v, b] = (
                1.0 if plan.activation[v] < 0 else plan.activations[plan.activation[v]].df(np.float64(z[v, b]))
            )
    slope[plan.inputs] = 1.0
    return slope


def reached(plan: Plan) -> Array:
    """Return (V,) bool: nodes from which some output can be reached, outputs included."""
    live = plan.live()
    return np.ones(plan.n_nodes, np.bool_) if live is None else live
