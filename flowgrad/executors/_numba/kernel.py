"""The protocol's Kernel: one engine for the neurons that outputs depend on, and one for all neurons."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from numba.core import types

from flowgrad.executor import Adjoint, Array, Live, Request, Saved
from flowgrad.executors._numba.engine import Engine
from flowgrad.executors._numba.forms import form_key
from flowgrad.executors._numba.formula import check, formula
from flowgrad.executors._numba.part import live as live_part
from flowgrad.executors._numba.part import whole
from flowgrad.executors._numba.update import Updater
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.maths.dropout import Dropout
from flowgrad.maths.losses import Loss
from flowgrad.plan import Plan
from flowgrad.registry import is_own


def check_functions(activations: Iterable[Activation], aggregations: Iterable[Aggregation], loss: Loss | None) -> None:
    """Raise ExecutorError for a user's function that Numba cannot compile; the message names it.

    An activation with an expression is not checked, because its vector form is made from that.
    """
    number, terms = types.float64, types.float64[::1]
    for sigma in activations:
        if form_key(sigma) is None:
            check(formula(sigma.f), f"activation {sigma.name!r}: f", number)
            check(formula(sigma.df), f"activation {sigma.name!r}: df", number)
    for aggregation in aggregations:
        if not is_own("aggregations", aggregation) and aggregation.coefficient is None:
            check(formula(aggregation.f), f"aggregation {aggregation.name!r}: f", terms)
            check(formula(aggregation.df), f"aggregation {aggregation.name!r}: df", terms, terms)
    if loss is not None and not is_own("losses", loss):
        check(formula(loss.f), f"loss {loss.name!r}: f", *[number] * (3 if loss.coupled else 2))
        check(formula(loss.df), f"loss {loss.name!r}: df", *[number] * (4 if loss.coupled else 2))


class NumbaKernel:
    """A compiled network; only `forward` and `backward` compute neurons on which no output depends."""

    def __init__(self, plan: Plan, request: Request) -> None:
        check_functions(plan.activations, plan.aggregations, request.loss)
        self._plan, self._request = plan, request
        leading = plan.live()
        self._all: Engine | None = None
        self._live = live = self._whole() if leading is None else Engine(plan, request, live_part(plan, leading))
        self.predict = live.predict
        self.predict_keeping = live.predict_keeping
        self.value_and_grad = live.value_and_grad

    def _whole(self) -> Engine:
        """Return the engine of all nodes, made when first needed; two made by two threads at once are equally good."""
        if self._all is None:
            self._all = Engine(self._plan, self._request, whole(self._plan))
        return self._all

    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Run equations (1)–(3) on every neuron."""
        return self._whole().forward(theta, x, dropout)

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Run equations (5)–(10) on every neuron; `live` (V,) are the nodes from which a wanted output can be reached.

        Other nodes have ∂L/∂a = 0. This leaves 0 everywhere unless a factor is inf or NaN; so if a result is not
        finite, the live part is swept again alone.
        """
        adjoint = self._whole().backward(theta, saved, dy)
        if live is None or _finite(adjoint.dz, adjoint.da, adjoint.weight, adjoint.bias):
            return adjoint
        return self._backward_of_part(self._of_part(live), theta, saved, dy, live)

    def _of_part(self, live: npt.NDArray[np.bool_]) -> Engine:
        """Return an engine of the inputs and the marked nodes (V,)."""
        return (
            self._live if live is self._plan.live() else Engine(self._plan, self._request, live_part(self._plan, live))
        )

    def _backward_of_part(
        self, engine: Engine, theta: Array, saved: Saved, dy: Array, live: npt.NDArray[np.bool_]
    ) -> Adjoint:
        """Run `backward` on an engine's nodes alone; ∂L/∂z and ∂L/∂a of the others are 0."""
        at = engine.part.position
        found = engine.backward(theta, Saved(saved.z[at], saved.a[at], saved.extra), dy[:, live[self._plan.outputs]])
        dz, da = np.zeros_like(saved.z), np.zeros_like(saved.z)
        dz[at], da[at] = found.dz, found.da
        return Adjoint(dz, da, found.weight, found.bias)

    def vjp(
        self, theta: Array, x: Array, dy: Array, live: Live, out: Array, dx: Array | None, kept: Array | None = None
    ) -> None:
        """Write ∂L/∂θ into out (P,) and ∂L/∂x into dx (B, I), if given, from dy (B, O); `live` as in `backward`."""
        self._live.vjp(theta, x, dy, out, dx, kept)
        if live is not None and live is not self._plan.live() and not _finite(out, *(() if dx is None else (dx,))):
            self._of_part(live).vjp(theta, x, dy[:, live[self._plan.outputs]], out, dx)

    def updates(self) -> Updater:
        """Make the passes over θ of a training, on as many threads as gradients have."""
        return Updater(self._request.dtype, self._live.threads)


def _finite(*arrays: Array) -> bool:
    """Return whether no number of these arrays is inf or NaN."""
    return all(np.isfinite(array.max()) and np.isfinite(array.min()) for array in arrays if array.size)
