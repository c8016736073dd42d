"""Default implementations of a kernel's optional methods, by its forward and backward one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flowgrad.executor import Array, Kernel, Live, Saved
from flowgrad.maths.dropout import Dropout
from flowgrad.maths.losses import Loss
from flowgrad.plan import Plan


class InTurn:
    """Implements `Predicts`, `Differentiates` and `Pulls` for a kernel that has only forward and backward."""

    def __init__(self, kernel: Kernel, plan: Plan, loss: Loss | None) -> None:
        self.kernel, self.plan, self.loss = kernel, plan, loss
        self.forward: Callable[..., Saved] = kernel.forward  # takes a Dropout last if its executor declares dropout

    def predict(self, theta: Array, x: Array) -> Array:
        """Evaluate (1)–(3); returns the outputs (B, O)."""
        return np.ascontiguousarray(self.kernel.forward(theta, x).a[self.plan.outputs].T)

    def value_and_grad(
        self, theta: Array, x: Array, t: Array, sample_weight: Array | None, scale: float, out: Array, *drawn: Dropout
    ) -> float:
        """Evaluate (1)–(10); returns the summed loss and writes its gradient to out (P,), both times `scale`."""
        assert self.loss is not None
        saved = self.forward(theta, x, *drawn)
        y, s = saved.a[self.plan.outputs].T.astype(np.float64), sample_weight
        summed, _, dy = self.loss.summed(y, t.astype(np.float64), None if s is None else s.astype(np.float64))
        adjoint = self.kernel.backward(theta, saved, dy.astype(out.dtype, copy=False), self.plan.live())
        self.plan.fold(adjoint.weight, adjoint.bias, out)
        out *= out.dtype.type(scale)
        return summed * scale

    def vjp(self, theta: Array, x: Array, dy: Array, live: Live, out: Array, dx: Array | None) -> None:
        """Evaluate (1)–(10) from base cases dy (B, O); writes ∂L/∂θ to out (P,) and ∂L/∂x to dx (B, I), if given."""
        adjoint = self.kernel.backward(theta, self.kernel.forward(theta, x), dy, live)
        self.plan.fold(adjoint.weight, adjoint.bias, out)
        if dx is not None:
            dx[...] = adjoint.dz[self.plan.inputs].T
