"""Compute equations (1)–(10) by two JAX functions, each a scan over the chunks of a plan."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowgrad.executor import Adjoint, Array, Live, Request, Saved
from flowgrad.maths.dropout import Dropout
from flowgrad.maths.expression import parse
from flowgrad.plan import Plan
from flowgrad.registry import find
from flowgrad_jax.tables import Chunks, Forms, Tables, forms_of, size, tables

OTHERS = {"erfc": jax.scipy.special.erfc, "min": jnp.minimum, "max": jnp.maximum, "select": jnp.where}


def formula(text: str) -> Callable[[Any], Any]:
    """Compile a formula to a JAX function; `parse` refuses text outside of flowgrad's grammar before `eval`."""
    code, turns = compile(ast.Expression(parse(text)), text, "eval"), "sin(" in text or "cos(" in text

    def of(z: Any) -> Any:
        named = vars(jnp) | OTHERS | {"z": z.astype(float) if turns else z}  # float64 for large angles
        return jnp.broadcast_to(jnp.asarray(eval(code, named)).astype(z.dtype), z.shape)

    return of


@cache
def functions(forms: Forms, derivative: bool) -> list[Callable[[Any], Any]]:
    """Compile σ of each activation, or σ' if `derivative`."""
    return [formula((find("activations", name).expression or ())[derivative]) for name in forms]


def spread(own: Any, slot: Any, theta: Any) -> Any:
    """Gather θ (P,) into weights (E,) or biases (V,); frozen ones, of slot -1, keep their values in `own`."""
    return jnp.where(slot < 0, jnp.asarray(own, theta.dtype), jnp.append(theta, 0)[slot])


def thin(values: Any, m: Any, nodes: Any = slice(None)) -> Any:
    """Multiply by the dropout factors of these nodes; 0 where the factor is 0, also for inf and NaN."""
    return values if m is None else jnp.where(m[nodes] == 0, 0, values * m[nodes])


def forward(forms: Forms, t: Tables, theta: Any, x: Any, m: Any = None) -> Any:
    """Compute (1)–(3): θ (P,), x (B, I), dropout factors m (V, B) or None → z, a (V, B)."""
    weight, bias = spread(t.weight, t.weight_slot, theta), spread(t.bias, t.bias_slot, theta)
    factor, sigma = jnp.asarray(t.factor, theta.dtype)[:, None], functions(forms, False)
    z = jnp.zeros((len(t.bias), len(x)), theta.dtype).at[: x.shape[1]].set(x.T)

    def step(carry: Any, c: Chunks) -> Any:
        z, a = carry
        terms = jax.ops.segment_sum(weight[c.edge][:, None] * a[c.source], c.into, len(c.nodes))  # (1)
        here = factor[c.nodes] * terms + bias[c.nodes][:, None]  # (2)
        out = thin(jax.lax.switch(c.code, sigma, here), m, c.nodes)  # (3)
        return (z.at[c.nodes].set(here), a.at[c.nodes].set(out)), None

    return jax.lax.scan(step, (z, thin(z, m)), t.chunks)[0]


def backward(
    forms: Forms, t: Tables, theta: Any, z: Any, a: Any, dy: Any, wanted: Any, real: Any, m: Any = None
) -> Any:
    """Compute (5)–(10): base cases dy (B, O) → dz, da (V, B), Σ_b of (5) by edge (E,) and neuron (V,).

    Nodes that lead to no `wanted` (O,) output, and padding samples, not `real` (B,), contribute 0.
    """
    weight, slope = spread(t.weight, t.weight_slot, theta), functions(forms, True)
    factor = jnp.asarray(t.factor, theta.dtype)[:, None]
    da = jnp.zeros_like(z).at[t.outputs].set(dy.T)  # (9)
    live = jnp.zeros(len(z), bool).at[t.outputs].set(wanted)

    def step(carry: Any, c: Chunks) -> Any:
        da, dz, live = carry
        keep = live[c.nodes][:, None] & real
        here = thin(jnp.where(keep, jax.lax.switch(c.code, slope, z[c.nodes]) * da[c.nodes], 0), m, c.nodes)  # (8)
        into = jnp.minimum(c.into, len(c.nodes) - 1)
        term = (factor[c.nodes] * here)[into]
        takes = (c.into < len(c.nodes))[:, None] & keep[into]
        da = da.at[c.source].add(jnp.where(takes, weight[c.edge][:, None] * term, 0))  # (10)
        live = live.at[c.source].max(takes.any(1))
        of_edges = jnp.where(takes, term * a[c.source], 0).sum(1)  # (5)
        return (da, dz.at[c.nodes].set(here), live), of_edges

    start = (da, jnp.zeros_like(z), live)
    (da, dz, _), of_edges = jax.lax.scan(step, start, t.chunks, reverse=True)
    by_edge = jnp.zeros_like(weight).at[t.chunks.edge].set(of_edges)
    dz = jnp.where(t.is_input[:, None], thin(da, m), dz)
    return dz, da, by_edge, jnp.where(t.is_input, 0, dz.sum(1))


_forward, _backward = jax.jit(forward, static_argnums=0), jax.jit(backward, static_argnums=0)


class JaxKernel:
    """Compute the passes of one network on JAX's default device.

    Kernels of equal padded sizes share one compilation by XLA.
    """

    def __init__(self, plan: Plan, request: Request) -> None:
        self.plan, self.dtype, self.forms = plan, request.dtype, forms_of(plan)
        self.tables = tables(plan, self.forms, request.dtype)
        with jax.enable_x64(True):
            self.there = jax.device_put(self.tables)

    def _padded(self, values: Any, rows: int, columns: int) -> Array:
        found = np.zeros((rows, columns), self.dtype)
        found[: values.shape[0], : values.shape[1]] = values
        return found

    def _theta(self, theta: Array) -> Array:
        return self._padded(theta[None], 1, size(len(theta), 256)).reshape(-1)

    def _x(self, x: Array) -> Array:
        return self._padded(x, size(len(x), step=2), min(size(x.shape[1]), len(self.tables.bias)))

    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Compute equations (1)–(3) from theta (P,) and x (B, I); the result holds z and a, (V, B) each."""
        B, V = len(x), self.plan.n_nodes
        with jax.enable_x64(True):
            drawn, rows = None if dropout is None else self.plan.dropped(dropout, B), self._x(x)
            m = None if drawn is None else self._padded(drawn, len(self.tables.bias), len(rows))
            z, a = _forward(self.forms, self.there, self._theta(theta), rows, m)
            return Saved(np.array(z[:V, :B]), np.array(a[:V, :B]), extra=(z, a, m))

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Compute equations (5)–(10) from the base cases dy (B, O): ∂L/∂z, ∂L/∂a (V, B), gradients (E,), (V,)."""
        z, a, m = saved.extra
        (B, O), V, E = dy.shape, self.plan.n_nodes, self.plan.n_edges
        wanted, real = np.zeros(len(self.tables.outputs), np.bool_), np.arange(z.shape[1]) < B
        wanted[:O] = True if live is None else live[self.plan.outputs]
        base = self._padded(dy, z.shape[1], len(wanted))
        with jax.enable_x64(True):
            dz, da, weight, bias = _backward(self.forms, self.there, self._theta(theta), z, a, base, wanted, real, m)
            return Adjoint(np.array(dz[:V, :B]), np.array(da[:V, :B]), np.array(weight[:E]), np.array(bias[:V]))

    def predict(self, theta: Array, x: Array) -> Array:
        """Compute only the outputs (B, O)."""
        with jax.enable_x64(True):
            _, a = _forward(self.forms, self.there, self._theta(theta), self._x(x))
            y: Array = np.asarray(a)[self.plan.outputs, : len(x)].T.copy()
            return y
