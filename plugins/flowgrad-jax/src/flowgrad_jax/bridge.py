"""Wrap a flowgrad program as a JAX function whose gradient is flowgrad's own (a custom VJP)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowgrad.arguments import instance
from flowgrad.errors import ConfigError, ShapeError
from flowgrad.program import Program
from flowgrad_jax.kernel import JaxKernel, backward, forward
from flowgrad_jax.tables import Tables


def as_jax(program: Program) -> Callable[[Any, Any], Any]:
    """Convert a program to a function f(theta, X) → Y that works with `jax.jit`, `jax.grad` and `jax.vmap`.

    The gradient of f is the program's own. theta has shape (P,), as `program.theta`; X has shape (…, I) and Y (…, O),
    in the order of the program's inputs and outputs. Y has the dtype to which JAX promotes theta, X and float32. For a
    program on the executor "jax", JAX traces the function, which can be differentiated repeatedly. For any other
    executor, the function is a callback into the program, which computes in its own dtype and has first derivatives
    only.

    Raises:
        ConfigError: `program` is not a Program. ShapeError, raised by the function: theta or X has another shape.

    >>> import flowgrad as fg
    >>> program = fg.compile(fg.topologies.layered([2, 3, 1], seed=1), dtype="float32")
    >>> f = jax.jit(as_jax(program))
    >>> f(program.theta, np.ones((5, 2), np.float32)).shape
    (5, 1)
    """
    instance("as_jax", program, Program, ConfigError)
    sizes = len(program.inputs), len(program.outputs), program.plan.n_parameters
    run, pull = _traced(program) if isinstance(program.kernel, JaxKernel) else _called(program)

    rows = jax.custom_vjp(run)
    rows.defvjp(lambda theta, x: (run(theta, x), (theta, x)), lambda kept, dy: pull(*kept, dy))

    def f(theta: Any, X: Any) -> Any:
        theta, X = jnp.asarray(theta), jnp.asarray(X)
        I, O, P = sizes
        if theta.shape != (P,):
            raise ShapeError(f"theta has shape {theta.shape}: must be ({P},)")
        if X.ndim == 0 or X.shape[-1] != I:
            raise ShapeError(f"X has shape {X.shape}: must be (…, {I}), a column an input of the network")
        dtype = jnp.promote_types(jnp.result_type(theta, X), jnp.float32)
        return rows(theta.astype(dtype), X.astype(dtype).reshape(-1, I)).reshape(*X.shape[:-1], O)

    return f


def _traced(program: Program) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Build forward, θ (P,), x (B, I) → y (B, O), and its pull-back, θ, x, dy → dθ, dx, for JAX to trace."""
    kernel: Any = program.kernel
    t: Tables = kernel.tables
    V, E, O, P = program.plan.n_nodes, program.plan.n_edges, len(program.outputs), program.plan.n_parameters
    slots = np.concatenate([t.weight_slot[:E], t.bias_slot[:V]])

    def run(theta: Any, x: Any) -> Any:
        return forward(kernel.forms, t, theta, x)[1][t.outputs[:O]].T

    def pull(theta: Any, x: Any, dy: Any) -> Any:
        z, a = forward(kernel.forms, t, theta, x)
        base = jnp.pad(dy, ((0, 0), (0, len(t.outputs) - O)))
        dz, _, weight, bias = backward(kernel.forms, t, theta, z, a, base, (base != 0).any(0), jnp.ones(len(x), bool))
        of_slots = jnp.concatenate([weight[:E], bias[:V]])
        g = jnp.zeros_like(theta).at[np.where(slots < 0, P, slots)].add(of_slots, mode="drop")
        return g, dz[: x.shape[1]].T

    return run, pull


def _called(program: Program) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Build the same two functions as callbacks into the program; vmap adds an axis, of length 1 if unmapped."""
    O, own = len(program.outputs), program.dtype

    def predict(theta: Any, x: Any) -> Any:
        lead, (th, X) = _spread(own, (theta, 1), (x, 2))
        if not X.size:
            y = X
        elif theta.size == theta.shape[-1]:  # one θ for all
            y = program.predict(X.reshape(-1, X.shape[-1]), th.reshape(-1)[: th.shape[-1]])
        else:
            y = np.array([program.predict(X[k], th[k]) for k in np.ndindex(lead)])
        return y.reshape(*lead, X.shape[-2], O).astype(theta.dtype)

    def vjp(theta: Any, x: Any, dy: Any) -> Any:
        lead, (th, X, C) = _spread(own, (theta, 1), (x, 2), (dy, 2))
        g, dx = np.zeros(th.shape, theta.dtype), np.zeros(X.shape, theta.dtype)
        for k in np.ndindex(lead) if X.size else ():
            g[k], dx[k] = program.vjp(X[k], C[k], theta=th[k])
        return g, dx

    def run(theta: Any, x: Any) -> Any:
        y = jax.ShapeDtypeStruct((len(x), O), theta.dtype)
        return jax.pure_callback(predict, y, theta, x, vmap_method="expand_dims")

    def pull(theta: Any, x: Any, dy: Any) -> Any:
        found = tuple(jax.ShapeDtypeStruct(each.shape, each.dtype) for each in (theta, x))
        return jax.pure_callback(vjp, found, theta, x, dy, vmap_method="expand_dims")

    return run, pull


def _spread(dtype: Any, *given: tuple[Any, int]) -> tuple[tuple[int, ...], list[Any]]:
    """Broadcast (array, number of own axes) pairs over their leading, mapped axes; returns these and the arrays."""
    lead = np.broadcast_shapes(*(values.shape[: values.ndim - own] for values, own in given))
    wide = ((np.asarray(values, dtype), lead + values.shape[values.ndim - own :]) for values, own in given)
    return lead, [np.broadcast_to(values, shape) for values, shape in wide]
