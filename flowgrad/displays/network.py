"""Display of a `Network` in a notebook: counts, and the graph as a small SVG, in one fragment of HTML."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from flowgrad.displays._html import bars, card, count, named, signs
from flowgrad.errors import FlowgradError
from flowgrad.plan import Plan, lower
from flowgrad.viewer.layout import Layout, layout
from flowgrad.viewer.palette import EITHER_ABOVE, EITHER_BELOW, GREY

if TYPE_CHECKING:
    from flowgrad.network import Network

DRAWN = 60, 300  # nodes and edges up to which the graph is drawn; beyond, level widths are shown as bars
WIDTH, ROW = 480, 22  # pixels: width of the picture, largest distance between two rows


def network_html(network: Network) -> str:
    """Render a network as HTML, or the error message if the network is unfinished or invalid."""
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
    """Count activations and aggregations, most frequent first: `12 tanh, 1 identity; 13 sum`."""
    said = []
    for codes, table in ((plan.activation, plan.activations), (plan.aggregation, plan.aggregations)):
        counts = np.bincount(codes[codes >= 0], minlength=len(table))
        order = np.argsort(-counts, kind="stable")[:5].tolist()
        said.append(", ".join(f"{counts[k]:,} {escape(table[k].name)}" for k in order if counts[k]))
    return "; ".join(said)


def _graph(plan: Plan, ids: list[object]) -> str:
    """Draw edges as curves coloured by sign, with a legend, and nodes with their ids as tooltips."""
    place = layout(plan)
    low, high = _range(place)
    step, row = (WIDTH - 28) / (np.ptp(place.x) or 1.0), min(ROW, 300 / (high - low or 1.0))
    x, y = 14 + (place.x - place.x.min()) * step, 14 + (place.y - low) * row
    most = float(np.abs(plan.weight).max(initial=0.0)) or 1.0
    edges, nodes = [], []
    for e, (u, v) in enumerate(zip(plan.in_source.tolist(), plan.in_target.tolist(), strict=True)):
        bends = [(14 + (bx - place.x.min()) * step, 14 + (by - low) * row) for bx, by in place.bends.get(e, ())]
        weight = float(plan.weight[e])
        share = abs(weight) / most
        look = f'stroke="{EITHER_ABOVE if weight >= 0 else EITHER_BELOW}" stroke-width="{0.5 + 2 * share:.1f}"'
        look += f' opacity="{0.25 + 0.7 * share:.2f}"'
        edges.append(f'<path d="{_curve([(x[u], y[u]), *bends, (x[v], y[v])])}" {look}/>')
    outputs = set(plan.outputs.tolist())
    for v, name in enumerate(ids):
        at = f'cx="{x[v]:.1f}" cy="{y[v]:.1f}" r="{4.5 if v >= len(plan.inputs) else 3}"'
        rim = f'stroke="currentColor" stroke-width="{2.5 if v in outputs else 1}" fill="{GREY}"'
        nodes.append(f"<circle {at} {rim}><title>{escape(str(name))}</title></circle>")
    size = f'viewBox="0 0 {WIDTH} {28 + (high - low) * row:.0f}" style="width:100%;max-width:{WIDTH}px;display:block"'
    said = 'role="img" aria-label="the network, inputs left, outputs right"'
    picture = f'<svg {size} fill="none" {said}>{"".join(edges + nodes)}</svg>'
    return picture + (signs("weights of edges") if edges else "")


def _range(place: Layout) -> tuple[float, float]:
    """Return the smallest and the largest y of nodes and bends."""
    heights = [*place.y.tolist(), *(y for points in place.bends.values() for _, y in points)]
    return min(heights), max(heights)


def _curve(points: list[tuple[float, float]]) -> str:
    """Make an SVG path through the points, horizontal at each of them."""
    found = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        found += f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    return found


def _levels(plan: Plan) -> str:
    """Draw the number of nodes of each level as bars; if there are more than 14 levels, the first and last seven."""
    width = np.bincount(plan.level).tolist()
    rows = [(f"level {k}", float(n), count(n, "node")) for k, n in enumerate(width)]
    if len(rows) > 14:
        rows = [*rows[:7], (f"… {len(rows) - 14} levels", 0.0, ""), *rows[-7:]]
    return bars(rows)
