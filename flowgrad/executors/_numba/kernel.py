"""The Kernel of the protocol: an engine for the neurons that outputs depend on, and one for all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba.core import types

from flowgrad.executor import Adjoint, Array, Live, Request, Saved
from flowgrad.executors._numba.engine import Engine
from flowgrad.executors._numba.forms import form_key
from flowgrad.executors._numba.formula import check, formula
from flowgrad.executors._numba.part import live as live_part
from flowgrad.executors._numba.part import whole
from flowgrad.maths.activation import Activation
from flowgrad.plan import Plan


def check_activations(used: tuple[Activation, ...]) -> None:
    """Raise ExecutorError for an activation of a user's own that Numba cannot compile, which has no vector form."""
    for sigma in used:
        if form_key(sigma) is None:
            for role, g in (("f", sigma.f), ("df", sigma.df)):
                check(formula(g), f"activation {sigma.name!r}: {role}", types.float64)


class NumbaKernel:
    """One network: results and gradients by what they depend on, traces of every neuron."""

    def __init__(self, plan: Plan, request: Request) -> None:
        check_activations(plan.activations)
        self._plan, self._request = plan, request
        leading = plan.live()
        self._all: Engine | None = None
        self._live = self._whole() if leading is None else Engine(plan, request, live_part(plan, leading))

    def _whole(self) -> Engine:
        """Made when it is first needed; two threads that need it at once may make two, and either serves."""
        if self._all is None:
            self._all = Engine(self._plan, self._request, whole(self._plan))
        return self._all

    def forward(self, theta: Array, x: Array) -> Saved:
        """Equations (1)–(3), of every neuron."""
        return self._whole().forward(theta, x)

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Equations (5)–(10), of every neuron.

        Where all is finite, what leads to no wanted output is multiplied by 0 and changes nothing; only else the part
        that leads to one is swept alone.
        """
        adjoint = self._whole().backward(theta, saved, dy)
        if live is None or _finite(adjoint):
            return adjoint
        if live is self._plan.live():
            return self._backward_of_part(self._live, theta, saved, dy, live)
        part = Engine(self._plan, self._request, live_part(self._plan, live))
        return self._backward_of_part(part, theta, saved, dy, live)

    def _backward_of_part(
        self, engine: Engine, theta: Array, saved: Saved, dy: Array, live: npt.NDArray[np.bool_]
    ) -> Adjoint:
        """The same of an engine's nodes; the others' ∂L/∂z and ∂L/∂a are 0."""
        at = engine.part.position
        found = engine.backward(theta, Saved(saved.z[at], saved.a[at]), dy[:, live[self._plan.outputs]])
        dz, da = np.zeros_like(saved.z), np.zeros_like(saved.z)
        dz[at], da[at] = found.dz, found.da
        return Adjoint(dz, da, found.weight, found.bias)

    def predict(self, theta: Array, x: Array) -> Array:
        """The outputs alone; memory for a tile a thread."""
        return self._live.predict(theta, x)

    def value_and_grad(
        self, theta: Array, x: Array, t: Array, sample_weight: Array | None, scale: float, out: Array
    ) -> float:
        """The summed loss times `scale`, its gradient times `scale` into `out`."""
        return self._live.value_and_grad(theta, x, t, sample_weight, scale, out)


def _finite(adjoint: Adjoint) -> bool:
    """Whether no number of it is inf or NaN."""
    arrays = (adjoint.dz, adjoint.da, adjoint.weight, adjoint.bias)
    return all(np.isfinite(array.max()) and np.isfinite(array.min()) for array in arrays if array.size)
