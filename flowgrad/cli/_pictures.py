"""Pictures of a run: the loss curve, and a network drawn by level with its neurons coloured by a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import MissingDependencyError
from flowgrad.network import Network

INK, BLUE, ORANGE, GREY = "#22303c", "#2f6db3", "#d9822b", "#8a97a3"


def available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, drawn without a display and without matplotlib's global state."""
    if not available():
        raise MissingDependencyError("matplotlib", "plot", "a picture")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def loss_curve(path: Path, rows: Sequence[Mapping[str, float]], title: str, best: int | None = None) -> None:
    """loss and, where there is one, val_loss by epoch; a mark at the epoch whose weights were kept."""
    drawn = figure(7, 4)
    axes = drawn.add_subplot()
    epochs = [row["epoch"] for row in rows]
    for name, label, colour in (("loss", "training", BLUE), ("val_loss", "validation", ORANGE)):
        if rows and name in rows[0]:
            axes.plot(epochs, [row[name] for row in rows], color=colour, label=label, linewidth=1.8)
    if rows and best is not None and "val_loss" in rows[0]:
        least = next(row["val_loss"] for row in rows if row["epoch"] == best)
        axes.plot([best], [least], "o", color=ORANGE, markersize=6, label=f"best epoch: {best}")
    values = [row[name] for row in rows for name in ("loss", "val_loss") if name in row]
    if values and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if rows:
        axes.legend(frameon=False)
    drawn.savefig(path)


def layout(network: Network, rounds: int = 12) -> dict[Any, tuple[float, float]]:
    """A place (x, y) for each node: x its level, y by the barycentre of its neighbours, column by column, forth and
    back, spread to [0, 1]."""
    c, graph = network.columns, network.graph
    level = dict(zip(c.ids, c.level.tolist(), strict=True))
    columns: dict[int, list[Any]] = {}
    for v in network.nodes:
        columns.setdefault(level[v], []).append(v)
    y = {v: place for nodes in columns.values() for v, place in zip(nodes, _spread(len(nodes)), strict=True)}
    for turn in range(rounds):
        for x in sorted(columns, reverse=turn % 2 == 0):
            near = graph.successors if turn % 2 == 0 else graph.predecessors
            centre = {v: float(np.mean([y[u] for u in near(v)] or [y[v]])) for v in columns[x]}
            columns[x].sort(key=centre.__getitem__)
            y.update(zip(columns[x], _spread(len(columns[x])), strict=True))
    for x in sorted(columns)[1:]:
        if len(columns[x]) <= 2:  # a lone neuron stands at the height of what it reads, out of the way of other edges
            for v, place in zip(columns[x], _spread(len(columns[x])), strict=True):
                y[v] = 0.5 * place + 0.5 * float(np.mean([y[u] for u in graph.predecessors(v)]))
    return {v: (float(x), y[v]) for x, nodes in columns.items() for v in nodes}


def _spread(n: int) -> list[float]:
    return [(k + 0.5) / n for k in range(n)]


def concept_graph(path: Path, network: Network, importance: Mapping[Any, float], weight: Any, title: str) -> None:
    """The network from left to right; neurons coloured by importance, edges blue (+) and orange (−) by weight.

    Args:
        importance: a value, 0 or more, of the neurons; inputs and outputs need none.
        weight: (source, target) → weight.
    """
    place = layout(network)
    levels = max(x for x, _ in place.values())
    drawn = figure(4.0 + 2.1 * levels, 0.27 * max(len(network.inputs), 8) + 1.2)
    axes = drawn.add_subplot()
    _draw_edges(axes, network, place, weight)
    _draw_ends(axes, network, place)
    dots = _draw_neurons(axes, network, place, importance)
    drawn.colorbar(dots, ax=axes, label="importance", shrink=0.45, pad=0.01)
    axes.set_title(title, loc="left", color=INK, fontsize=13)
    axes.text(levels, 1.0, "blue edges: weight > 0\norange edges: weight < 0", ha="center", fontsize=8, color=GREY)
    axes.set_xlim(-0.95, levels + 0.5)
    axes.set_ylim(1.02, -0.01)
    axes.axis("off")
    drawn.savefig(path)


def _draw_edges(axes: Any, network: Network, place: Mapping[Any, tuple[float, float]], weight: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    edges = list(network.graph.edges)
    largest = max((abs(weight[e]) for e in edges), default=0.0) or 1.0
    for u, v in sorted(edges, key=lambda e: abs(weight[e])):
        (x0, y0), (x1, y1) = place[u], place[v]
        middle = (x0 + x1) / 2
        curve = Curve([(x0, y0), (middle, y0), (middle, y1), (x1, y1)], [1, 4, 4, 4])
        share = abs(weight[u, v]) / largest
        colour = BLUE if weight[u, v] > 0 else ORANGE
        axes.add_patch(
            PathPatch(curve, fill=False, color=colour, alpha=0.15 + 0.75 * share, linewidth=0.6 + 2.6 * share, zorder=1)
        )


def _draw_ends(axes: Any, network: Network, place: Mapping[Any, tuple[float, float]]) -> None:
    """Inputs, named to the left, and outputs, as rings."""
    for v in network.inputs:
        axes.plot(*place[v], "o", color=GREY, markersize=4, zorder=2)
        axes.text(place[v][0] - 0.05, place[v][1], str(v), ha="right", va="center", fontsize=8, color=INK, zorder=3)
    for v in network.outputs:
        axes.plot(*place[v], "o", markersize=15, color="white", markeredgecolor=INK, markeredgewidth=2.5, zorder=3)
        _name(axes, v, place[v], 11)


def _draw_neurons(axes: Any, network: Network, place: Mapping[Any, tuple[float, float]], importance: Any) -> Any:
    """Hidden neurons, coloured; gives what a colour bar needs."""
    hidden = [v for v in network.nodes if v not in {*network.inputs, *network.outputs}]
    xy = np.array([place[v] for v in hidden]).reshape(-1, 2)
    values = [importance.get(v, 0.0) for v in hidden]
    dots = axes.scatter(
        xy[:, 0], xy[:, 1], c=values, s=190, cmap="viridis_r", vmin=0, edgecolor="white", linewidth=1.2, zorder=3
    )
    for v in hidden:
        _name(axes, v, place[v], 8.5)
    return dots


def _name(axes: Any, v: Any, xy: tuple[float, float], size: float) -> None:
    """A neuron's name above it, on a white ground that keeps edges out of the letters."""
    ground = {"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.8}
    above = {"textcoords": "offset points", "ha": "center", "va": "bottom", "weight": "bold"}
    axes.annotate(str(v), xy, (0, 10), fontsize=size, color=INK, zorder=4, bbox=ground, **above)
