"""A network in a notebook: its figures, and its graph as a small SVG; all of it in one piece of HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from flowgrad.displays._html import BLUE, ORANGE, bars, card, count, named
from flowgrad.errors import FlowgradError
from flowgrad.plan import Plan, lower
from flowgrad.viewer.layout import layout

if TYPE_CHECKING:
    from flowgrad.network import Network

DRAWN = 60, 300  # nodes and edges up to which the graph is drawn; beyond, how wide each level is
WIDTH, ROW = 480, 22  # pixels


def network_html(network: Network) -> str:
    """A network as HTML; one that is not finished says what it lacks."""
    try:
        plan = lower(network)
    except FlowgradError as error:
        return card("Network, unfinished", f"<div>{escape(str(error))}</div>")
    ids = [network.columns.ids[k] for k in plan.nodes.tolist()]
    facts = [
        f"{count(plan.n_nodes, 'node')}, {count(plan.n_edges, 'edge')}, depth {network.depth}, "
        f"{count(plan.n_parameters, 'parameter')}",
        f"inputs ({len(network.inputs):,}): {named(network.inputs)}",
        f"outputs ({len(network.outputs):,}): {named(network.outputs)}",
        f"neurons: {_functions(plan)}",
    ]
    small = plan.n_nodes <= DRAWN[0] and plan.n_edges <= DRAWN[1]
    picture = _graph(plan, ids) if small else _levels(plan)
    return card("Network", "".join(f"<div>{fact}</div>" for fact in facts) + picture)


entry = network_html


def _functions(plan: Plan) -> str:
    """`12 tanh, 1 identity; 13 sum`, the most frequent first."""
    said = []
    for codes, table in ((plan.activation, plan.activations), (plan.aggregation, plan.aggregations)):
        counts = np.bincount(codes[codes >= 0], minlength=len(table))
        order = np.argsort(-counts, kind="stable")[:5].tolist()
        said.append(", ".join(f"{counts[k]:,} {escape(table[k].name)}" for k in order if counts[k]))
    return "; ".join(said)


def _graph(plan: Plan, ids: list[object]) -> str:
    """Edges as curves, blue above 0 and orange below; nodes with their ids as tooltips."""
    place = layout(plan)
    x = 14 + (place.x - place.x.min()) / (np.ptp(place.x) or 1.0) * (WIDTH - 28)
    row = min(ROW, 300 / (np.ptp(place.y) or 1.0))
    y = 14 + (place.y - place.y.min()) * row
    most = float(np.abs(plan.weight).max(initial=0.0)) or 1.0
    target = np.repeat(np.arange(plan.n_nodes), np.diff(plan.in_ptr))
    parts = []
    for u, v, w in zip(plan.in_source.tolist(), target.tolist(), plan.weight.tolist(), strict=True):
        share, middle = abs(w) / most, (x[u] + x[v]) / 2
        curve = f"M{x[u]:.1f} {y[u]:.1f}C{middle:.1f} {y[u]:.1f} {middle:.1f} {y[v]:.1f} {x[v]:.1f} {y[v]:.1f}"
        look = f'stroke="{BLUE if w >= 0 else ORANGE}" stroke-width="{0.5 + 2 * share:.1f}"'
        look += f' opacity="{0.25 + 0.7 * share:.2f}"'
        parts.append(f'<path d="{curve}" {look}/>')
    outputs = set(plan.outputs.tolist())
    for v, name in enumerate(ids):
        at = f'cx="{x[v]:.1f}" cy="{y[v]:.1f}" r="{4.5 if v >= len(plan.inputs) else 3}"'
        rim = f'stroke="currentColor" stroke-width="{2.5 if v in outputs else 1}" fill="#8a97a3"'
        parts.append(f"<circle {at} {rim}><title>{escape(str(name))}</title></circle>")
    height = float(y.max()) + 14
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" style="width:100%;max-width:{WIDTH}px;display:block" fill="none" '
        f'role="img" aria-label="the network, inputs left, outputs right">{"".join(parts)}</svg>'
    )


def _levels(plan: Plan) -> str:
    """How many nodes each level has, of the first and last where there are many."""
    width = np.bincount(plan.level).tolist()
    rows = [(f"level {k}", float(n), count(n, "node")) for k, n in enumerate(width)]
    if len(rows) > 14:
        rows = [*rows[:7], (f"… {len(rows) - 14} levels", 0.0, ""), *rows[-7:]]
    return bars(rows)
