"""What several views need: local derivatives ∂a_v/∂a_u of every edge, and what lies upstream of the outputs."""

from __future__ import annotations

import numpy as np

from flowgrad.executor import Array
from flowgrad.plan import Plan


def local_derivatives(plan: Plan, weight: Array, z: Array, a: Array) -> Array:
    """(E,) float64: σ'(z_v) of (8) times ∂z_v/∂a_u of (10), in the order of the plan's edges.

    Args:
        weight: (E,) of every edge, trainable or not.
        z, a: (V,) of every node, for one sample.
    """
    slope = np.empty(plan.n_edges)
    with np.errstate(all="ignore"):
        for v in np.flatnonzero(plan.activation >= 0).tolist():
            edges = slice(plan.in_ptr[v], plan.in_ptr[v + 1])
            dm = np.empty(edges.stop - edges.start)
            terms = weight[edges] * a[plan.in_source[edges]]
            plan.aggregations[plan.aggregation[v]].df(terms, dm)
            local = plan.activations[plan.activation[v]].df(np.float64(z[v]))
            slope[edges] = local * plan.response[v] * dm * weight[edges]
    return slope


def reached(plan: Plan) -> Array:
    """(V,) bool: nodes that some output depends on, outputs included."""
    found = np.zeros(plan.n_nodes, np.bool_)
    todo = plan.outputs.tolist()
    found[todo] = True
    while todo:
        v = todo.pop()
        for u in plan.in_source[plan.in_ptr[v] : plan.in_ptr[v + 1]].tolist():
            if not found[u]:
                found[u] = True
                todo.append(u)
    return found
