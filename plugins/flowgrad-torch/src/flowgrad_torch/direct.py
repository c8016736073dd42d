"""Compute eager calls on a fast path: forward keeps its activations for backward, and dispatches no torch operator.

It accepts plain CPU tensors, which NumPy can read, outside of every transform; `operators` handles all other calls.
Gradients are bit-identical on both paths.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flowgrad_torch.functional import Tangent, tangent
from flowgrad_torch.operators import Programs, pulled

PLAIN = (Tensor, torch.nn.Parameter)


def is_plain(*tensors: Tensor) -> bool:
    """Return whether these are plain tensors on the CPU and no transform, dispatch mode or tracer is active.

    `torch.autograd.Function.apply` asks torch for active transforms by the same call.
    """
    C = torch._C
    if C._are_functorch_transforms_active() or C._len_torch_dispatch_stack() or C._get_tracing_state():
        return False
    for t in tensors:  # noqa: SIM110  # faster
        if type(t) not in PLAIN or not t.is_cpu or t.is_neg():
            return False
    return True


def apply(theta: Tensor, x: Tensor, programs: Programs) -> Tensor:
    """Compute y (B, O) from plain θ (P,) and x (B, I), of one dtype, differentiable where a gradient is wanted."""
    keeps = torch.is_grad_enabled() and (theta.requires_grad or x.requires_grad)
    y: Tensor = Direct.apply(theta, x, programs, keeps)  # type: ignore[no-untyped-call]  # torch has no types here
    return y


class Direct(torch.autograd.Function):
    """Compute y and its first derivative; a second backward pass of the same call repeats the forward pass."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, x: Tensor, programs: Programs, keeps: bool) -> Tensor:
        program = programs.of(theta.dtype)
        if keeps:
            y, ctx.kept = program.predict_keeping(x.numpy(), theta.numpy())
        else:
            y, ctx.kept = program.predict(x.numpy(), theta.numpy()), None
        ctx.programs = programs  # backward may come when the module is gone
        ctx.save_for_backward(theta, x)
        ctx.save_for_forward(theta, x)
        return torch.from_numpy(y)

    @staticmethod
    def jvp(ctx: Any, dtheta: Tangent, dx: Tangent, programs: None, keeps: None) -> Tensor:
        theta, x = ctx.saved_tensors
        return tangent(ctx.programs.pieces, theta, x, dtheta, dx)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        theta, x = ctx.saved_tensors
        kept, ctx.kept = ctx.kept, None  # the next backward of the same graph runs forward again
        wants_x = ctx.needs_input_grad[1]
        if torch.is_grad_enabled() or not is_plain(theta, x, dy):
            g, dx = pulled(theta, x, dy, ctx.programs.key, wants_x)
            return g, dx if wants_x else None, None, None
        program = ctx.programs.of(theta.dtype)
        of_theta, of_x = program.vjp(x.numpy(), dy.numpy(), theta=theta.numpy(), inputs=wants_x, kept=kept)
        return torch.from_numpy(of_theta), None if of_x is None else torch.from_numpy(of_x), None, None
