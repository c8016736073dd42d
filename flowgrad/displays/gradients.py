"""Display of `Gradients` in a notebook: the loss, the edges with the largest |∂L/∂w|, and the gradient by level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowgrad.displays._html import bars, card, count, short, signs

if TYPE_CHECKING:
    from flowgrad.results import Gradients

EDGES, LEVELS = 8, 12  # rows of the two tables


def gradients_html(grads: Gradients) -> str:
    """Render gradients as HTML: the loss, the edges with the largest |∂L/∂w|, and ∂L/∂a by level."""
    weight, da = grads.weight, grads.da.array.astype(np.float64)
    labels, plan = weight._labels, weight._labels.plan
    loss = "for a cotangent" if grads.loss is None else f"loss {grads.loss:.6g}"
    sizes = (plan.n_parameters, "parameter"), (plan.n_nodes, "node"), (da.shape[1], "sample")
    facts = f"{loss}; {', '.join(count(n, noun) for n, noun in sizes)}"
    values = np.where(np.isfinite(weight.array), weight.array, 0.0)
    strongest = np.argsort(-np.abs(values), kind="stable")[:EDGES]
    edges = bars(
        (
            f"{short(labels.nodes[int(plan.in_source[e])])} → {short(labels.nodes[v])}",
            float(values[e]),
            f"{values[e]:+.4g}",
        )
        for e, v in zip(strongest.tolist(), plan.in_target[strongest].tolist(), strict=True)
    )
    with np.errstate(all="ignore"):
        size = np.sqrt(np.bincount(plan.level, (da * da).mean(axis=1)) / np.bincount(plan.level))
    shown = np.unique(np.linspace(0, len(size) - 1, min(LEVELS, len(size))).round().astype(int)).tolist()
    levels = bars((f"level {k}", float(np.nan_to_num(size[k], posinf=0.0)), f"{size[k]:.3g}") for k in shown)
    unknown = int((~np.isfinite(weight.array)).sum())
    warning = f"<div>{unknown:,} edges have a gradient that is not finite</div>" if unknown else ""
    return card(
        "Gradients",
        f"<div>{facts}</div>{warning}{signs('largest ∂L/∂w')}{edges}"
        f"<div>∂L/∂a by level, root mean square over nodes and samples</div>{levels}",
    )


entry = gradients_html
