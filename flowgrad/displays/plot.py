"""`Network.plot`: a network as a matplotlib figure, with levels from left to right and values as colours."""

from __future__ import annotations

import io
import reprlib
from collections.abc import Hashable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, MissingDependencyError, ShapeError, UnknownNameError, suggest
from flowgrad.plan import Plan, lower
from flowgrad.viewer.layout import Layout, layout
from flowgrad.viewer.palette import ABOVE, BELOW, GREY, INK, PAPER

if TYPE_CHECKING:
    from flowgrad.network import Network

NAMED = 80  # nodes up to which names are drawn by default
CURVED = 4000  # edges up to which they are curves; beyond, straight lines, rasterized in vector formats
INCH = 2.2  # units of the layout's x in one inch of width
TIGHT = 0.3  # inches of height for one unit of its y; figures larger than 11 inches are scaled down to it

Floats = npt.NDArray[np.float64]


def plot(
    network: Network,
    values: Any = None,
    *,
    edge_values: Any = None,
    labels: bool | None = None,
    label: str = "",
    edge_label: str = "",
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw a network with matplotlib; arguments, result and errors are those of `Network.plot`."""
    plan = lower(network)
    ids = [network.columns.ids[k] for k in plan.nodes.tolist()]
    shade = None if values is None else _of_nodes(values, ids)
    strength = plan.weight if edge_values is None else _of_edges(edge_values, ids, plan)
    if labels is None:
        labels = len(ids) <= NAMED
    elif not isinstance(labels, (bool, np.bool_)):
        raise ConfigError(f"labels={reprlib.repr(labels)}: must be True, False or None")
    place = layout(plan)
    figure, axes = _canvas(place, plan, ids if labels else None, ax)
    picture = _Picture(axes, plan, place, ids)
    picture.edges(strength)
    dots = picture.nodes(shade)
    picture.legend(strength, edge_label or ("weight" if edge_values is None else "edge value"))
    if dots is not None:
        bar = figure.colorbar(dots, ax=axes, shrink=0.6, pad=0.02, aspect=28, extend=_beyond(shade))
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, color=GREY, labelcolor=INK, length=2)
        bar.set_label(label, color=INK, fontsize=8)
    if title:
        axes.set_title(title, loc="left", color=INK, fontsize=10)
    if labels:
        picture.names(shade)
    return figure


entry = plot


# ---- arguments --------------------------------------------------------------------------------------------------


def _of_nodes(values: Any, ids: list[Hashable]) -> Floats:
    """Return (V,) one number per node, NaN where a mapping has none."""
    if not isinstance(values, Mapping):
        array = _numbers(values, "values")
        if array.shape != (len(ids),):
            raise ShapeError(f"values has shape {array.shape}: must be ({len(ids)},), in the order of net.nodes")
        return array
    known = set(ids)
    for name in values:
        if name not in known:
            raise UnknownNameError(f"values: {reprlib.repr(name)} is no node of the network{suggest(name, ids)}")
    found = np.array([_number(values[v], f"values[{reprlib.repr(v)}]") if v in values else np.nan for v in ids])
    if np.isnan(found).all():
        raise ConfigError("values holds no number for any node")
    return found


def _of_edges(values: Any, ids: list[Hashable], plan: Plan) -> Floats:
    """Return (E,) one number per edge, 0 where a mapping has none."""
    pairs = [(ids[u], ids[v]) for u, v in zip(plan.in_source.tolist(), plan.in_target.tolist(), strict=True)]
    if not isinstance(values, Mapping):
        array = _numbers(values, "edge_values")
        if array.shape != (len(pairs),):
            raise ShapeError(f"edge_values has shape {array.shape}: must be ({len(pairs)},), as grads.weight.array")
        return array
    known = set(pairs)
    for pair in values:
        if pair not in known:
            raise UnknownNameError(f"edge_values: there is no edge {reprlib.repr(pair)}: give (source, target)")
    return np.array(
        [_number(values[pair], f"edge_values[{reprlib.repr(pair)}]") if pair in values else 0.0 for pair in pairs]
    )


def _number(value: Any, what: str) -> float:
    if np.ndim(value) != 0:
        raise ShapeError(f"{what} has shape {np.shape(value)}: give one number, such as that of one sample, or a mean")
    return float(_numbers(value, what))


def _numbers(values: Any, what: str) -> Floats:
    """Convert values to float64; raise ConfigError where they are not numbers."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{what}={reprlib.repr(values)}: must be numbers, or a mapping to numbers") from None


# ---- drawing ----------------------------------------------------------------------------------------------------


def _canvas(place: Layout, plan: Plan, names: list[Hashable] | None, ax: Any) -> tuple[Any, Any]:
    """Return figure and axes: new, in proportion to the layout, or those of the given `ax`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingDependencyError("matplotlib", "plot", "a picture") from None

    class Picture(Figure):
        """A figure that a notebook shows without pyplot."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", bbox_inches="tight")
            return buffer.getvalue()

    if ax is None:
        width, height = np.ptp(place.x) + 1, np.ptp(place.y) + 1
        inches = np.array([width / INCH, height * TIGHT])
        inches *= min(1.0, 11.0 / inches.max())
        inches = np.maximum(inches, (3.2, 2.0))
        if names is not None:  # room on both sides for the names
            inches[0] += 0.075 * sum(max(map(_length, side), default=0) for side in _sides(plan, names))
        figure = Picture(figsize=tuple(inches.tolist()), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
    elif not hasattr(ax, "scatter"):
        raise ConfigError(f"ax={reprlib.repr(ax)}: must be axes of matplotlib")
    ax.set_axis_off()
    ys = [*place.y.tolist(), *(y for points in place.bends.values() for _, y in points)]
    room = 0.9 + 0.02 * (max(ys) - min(ys))
    ax.set_ylim(max(ys) + room, min(ys) - room)
    ax.set_xlim(place.x.min() - 0.5, place.x.max() + 0.5)
    return ax.figure, ax


def _sides(plan: Plan, names: list[Hashable]) -> tuple[list[Hashable], list[Hashable]]:
    return [names[k] for k in plan.inputs.tolist()], [names[k] for k in plan.outputs.tolist()]


def _length(name: Hashable) -> int:
    return min(len(str(name)), 30)


class _Picture:
    """Drawing of edges, nodes, names and legend on given axes."""

    def __init__(self, axes: Any, plan: Plan, place: Layout, ids: list[Hashable]) -> None:
        self.axes, self.plan, self.place, self.ids = axes, plan, place, ids
        low, high = sorted(axes.get_ylim())
        self.unit = axes.figure.get_size_inches()[1] * 72 / (high - low)  # points between two rows
        self.size = float(np.clip(0.5 * self.unit, 1.2, 14.0))
        self.kind = np.zeros(plan.n_nodes, int)
        self.kind[plan.inputs] = 1
        self.kind[plan.outputs] = 2

    def edges(self, value: Floats) -> None:
        """Draw the edges, coloured by the sign of their values (E,), wider and more opaque with their size."""
        from matplotlib.collections import LineCollection, PathCollection
        from matplotlib.colors import to_rgb

        E, p = self.plan.n_edges, self.place
        finite = np.where(np.isfinite(value), value, 0.0)
        share = np.abs(finite) / (np.abs(finite).max(initial=0.0) or 1.0)
        order = np.argsort(share, kind="stable")  # the strongest on top
        colour = np.empty((E, 4))
        colour[:, :3] = np.where(finite[:, None] >= 0, to_rgb(ABOVE), to_rgb(BELOW))
        faint = float(np.clip(500.0 / (E + 1), 0.006, 0.2))
        colour[:, 3] = faint + (0.9 - faint) * share ** (0.8 if E < 400 else 1.2)
        width = (0.35 + 2.0 * share) * float(np.clip(6.0 / np.sqrt(E + 1) + 0.3, 0.3, 1.0))
        ends = [
            list(zip(p.x[v].tolist(), p.y[v].tolist(), strict=True)) for v in (self.plan.in_source, self.plan.in_target)
        ]
        lines = [[ends[0][e], *p.bends.get(e, ()), ends[1][e]] for e in order.tolist()]
        style: dict[str, Any] = {"colors": colour[order], "linewidths": width[order], "zorder": 1}
        if E > CURVED:
            self.axes.add_collection(LineCollection(lines, rasterized=True, **style))
            return
        style["edgecolors"] = style.pop("colors")
        paths = [self._curve(points) for points in lines]
        self.axes.add_collection(PathCollection(paths, facecolors="none", **style))

    def _curve(self, points: list[tuple[float, float]]) -> Any:
        """Make a path through the points, horizontal at each of them."""
        from matplotlib.path import Path

        vertices, codes = [points[0]], [Path.MOVETO]
        for (x0, y0), (x1, y1) in pairwise(points):
            middle = (x0 + x1) / 2
            vertices += [(middle, y0), (middle, y1), (x1, y1)]
            codes += [Path.CURVE4] * 3
        return Path(vertices, codes)

    def nodes(self, value: Floats | None) -> Any:
        """Draw inputs as squares, others as discs, outputs with a thick rim; return the artist for the colour bar."""
        found = None
        colours = _colours(value) if value is not None else None
        for kind, marker, rim in ((1, "s", 0.6), (0, "o", 0.6), (2, "o", 1.8)):
            mask = self.kind == kind
            look: dict[str, Any] = {"facecolor": GREY if kind == 1 else PAPER[2]}
            if value is not None and colours is not None:
                known = mask & np.isfinite(value)
                self._dots(mask & ~known, marker, rim, look)
                mask, look = known, {"c": value[known], **colours}
            drawn = self._dots(mask, marker, rim, look)
            found = drawn if value is not None and drawn is not None else found
        return found

    def _dots(self, mask: Any, marker: str, rim: float, look: dict[str, Any]) -> Any:
        if not mask.any():
            return None
        p, area = self.place, self.size**2 * (0.45 if marker == "s" else 1.0)
        scale = min(1.0, self.size / 6)
        return self.axes.scatter(
            p.x[mask], p.y[mask], s=area, marker=marker, edgecolor=INK, linewidth=rim * scale, zorder=3, **look
        )

    def legend(self, value: Floats, what: str) -> None:
        """Add a legend below the picture: colour and value of largest size for each sign of the edge values (E,)."""
        from matplotlib.lines import Line2D

        known = value[np.isfinite(value)]
        handles = []
        for colour, side, some in ((ABOVE, "above", known[known > 0]), (BELOW, "below", known[known < 0])):
            if len(some):
                said = f"{what} {side} 0, to {float(some[np.argmax(np.abs(some))]):.3g}"
                handles.append(Line2D([], [], color=colour, linewidth=1.6, label=said.replace("-", "−")))
        if handles:
            look: dict[str, Any] = {"frameon": False, "fontsize": 6, "labelcolor": INK, "handlelength": 1.6}
            self.axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=2, borderaxespad=0, **look)

    def names(self, value: Floats | None) -> None:
        """Write names where they have room: first of the outputs, then of the others by decreasing size of value.

        Names of inputs are to the left, of outputs to the right, others above, or to the right in a dense column; where
        this overlaps a neuron or another name, a second side is tried, and then the name is left out.
        """
        points = float(np.clip(self.size * 0.75, 5.0, 8.0))
        away, dense = self.size / 2 + 3, self._dense(points)
        left, right, above = (-away, 0, "right", "center"), (away, 0, "left", "center"), (0, away, "center", "bottom")
        sides = {1: (left, right), 2: (right, above)}
        beside = [
            sides.get(int(k), (right, above) if d else (above, right)) for k, d in zip(self.kind, dense, strict=True)
        ]
        texts = [self._name(v, beside[v][0], points) for v in range(len(self.ids))]
        self.axes.figure.draw_without_rendering()  # computes the positions that follow
        size = np.zeros(len(texts)) if value is None else np.abs(np.nan_to_num(value))
        room = self._taken()
        for v in np.lexsort((np.arange(len(texts)), -size, self.kind != 2)).tolist():
            for side in beside[v]:
                self._put(texts[v], side)
                box = texts[v].get_window_extent().extents
                if not _covers(box, np.delete(room[: len(texts)], v, axis=0)) and not _covers(box, room[len(texts) :]):
                    room = np.vstack([room, box])
                    break
            else:
                texts[v].remove()

    def _name(self, v: int, side: tuple[float, float, str, str], points: float) -> Any:
        ground = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75}
        kind = int(self.kind[v])
        text = self.axes.annotate(
            _short(self.ids[v]),
            (self.place.x[v], self.place.y[v]),
            (0, 0),
            textcoords="offset points",
            fontsize=points,
            color=INK,
            zorder=4,
            bbox=ground if kind != 2 else None,
            weight="bold" if kind == 2 else "normal",
        )
        self._put(text, side)
        return text

    def _put(self, text: Any, side: tuple[float, float, str, str]) -> None:
        dx, dy, ha, va = side
        text.set(position=(dx, dy), horizontalalignment=ha, verticalalignment=va)

    def _taken(self) -> Floats:
        """Return (V, 4) left, bottom, right, top of every node, in pixels."""
        centre = self.axes.transData.transform(np.stack([self.place.x, self.place.y], axis=1))
        half = np.where(self.kind == 1, 0.34, 0.5) * self.size * self.axes.figure.dpi / 72
        return np.hstack([centre - half[:, None], centre + half[:, None]])

    def _dense(self, points: float) -> Any:
        """Return (V,) bool: nodes of columns without room for a name between each two nodes."""
        p, found = self.place, np.zeros(len(self.ids), bool)
        for x in np.unique(p.x).tolist():
            here = p.x == x
            gaps = np.diff(np.sort(p.y[here]))
            found[here] = bool((gaps * self.unit < 1.5 * points + self.size).any())
        return found


def _covers(box: Floats, others: Floats) -> bool:
    """Whether a box (left, bottom, right, top) overlaps any of the others (N, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return bool((low < high).all(axis=1).any())


def _short(name: Hashable) -> str:
    """Format an id as a label of at most 30 characters; `$` is escaped, so that matplotlib parses no formula."""
    text = " ".join(str(name).split())
    return (text if len(text) <= 30 else f"{text[:29]}…").replace("$", r"\$")


def _limit(value: Floats) -> float:
    """Return the end of the colour ramp: max |value|, or of ≥ 100 values the 98th percentile if below a third of it."""
    known = np.abs(value[np.isfinite(value)])
    most, usual = float(known.max(initial=0.0)), float(np.percentile(known, 98)) if len(known) else 0.0
    return (usual if len(known) >= 100 and 0 < usual < most / 3 else most) or 1.0


def _beyond(value: Floats | None) -> str:
    if value is None:
        return "neither"
    known, limit = value[np.isfinite(value)], _limit(value)
    low, high = bool((known < -limit).any()), bool((known > limit).any())
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[low, high]


def _colours(value: Floats) -> dict[str, Any]:
    """Return colormap and limits: the ramp centred on 0 where a value is below 0, else its half above 0."""
    from matplotlib.colors import LinearSegmentedColormap

    limit, signed = _limit(value), bool((value < 0).any())
    ramp = LinearSegmentedColormap.from_list("flowgrad", PAPER if signed else PAPER[2:])
    return {"cmap": ramp, "vmin": -limit if signed else 0.0, "vmax": limit}
