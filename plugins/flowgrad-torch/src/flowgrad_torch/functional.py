"""Evaluate a network as a function of θ and x by torch's own operators, for transforms that allow no module.

Forward-mode differentiation and the export to ONNX use it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from flowgrad_torch.pieces import Pieces
from flowgrad_torch.plain import aggregated, aggregation_of, joined, sigma_of

Tangent = Tensor | None


def predict(pieces: Pieces, theta: Tensor, x: Tensor) -> Tensor:
    """Compute y (B, O) from θ (P,) and x (B, I). No tensor is cached: in a transform none may outlive the call."""
    plan, found = pieces.plan, [x]

    def here(values: Any) -> Tensor:
        return torch.tensor(values, device=theta.device)

    def spread(slot: Any, frozen: Any) -> Tensor:
        fixed = here(frozen).to(theta.dtype)
        return torch.where(here(slot >= 0), theta[here(slot.clip(0))], fixed) if len(theta) else fixed

    weights, biases = spread(plan.weight_slot, plan.weight), spread(plan.bias_slot, plan.bias)
    for level in pieces.levels:
        pool, parts = joined([found[k] for k in level.reads or [0]]), []
        for part in level.parts:
            weight, bias = weights[here(part.edges)], biases[here(part.at)]
            if part.dense:
                z = nn.functional.linear(pool[:, here(part.columns[0])], weight, bias)
            else:
                m = aggregated(aggregation_of(plan, part), pool, here(part.columns), weight)
                z = here(plan.response[part.at]).to(theta.dtype) * m + bias
            parts.append(sigma_of(plan, part)(z))
        found.append(joined(parts))
    return joined([found[k] for k in pieces.reads])[:, here(pieces.outputs)]


def tangent(pieces: Pieces, theta: Tensor, x: Tensor, dtheta: Tangent, dx: Tangent) -> Tensor:
    """Compute ∂y/∂θ·dtheta + ∂y/∂x·dx (B, O); None stands for a tangent of 0.

    It is the pull-back of the pull-back, which is linear in ∂L/∂y: torch does not nest forward mode.
    """
    y, pull = torch.func.vjp(lambda *at: predict(pieces, *at), theta, x)[:2]
    along = torch.func.vjp(pull, torch.zeros_like(y))[1]
    found: Tensor = along(tuple(torch.zeros_like(v) if d is None else d for v, d in ((theta, dtheta), (x, dx))))[0]
    return found
