"""Pictures of a training: the loss curve, and the network with its neurons coloured by a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flowgrad.errors import MissingDependencyError
from flowgrad.network import Network
from flowgrad.viewer.palette import INK, SERIES

TRAINING, VALIDATION = SERIES


def figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, drawn without a display and without matplotlib's global state."""
    if not find_spec("matplotlib"):
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
    for name, label, colour in (("loss", "training", TRAINING), ("val_loss", "validation", VALIDATION)):
        if rows and name in rows[0]:
            axes.plot(epochs, [row[name] for row in rows], color=colour, label=label, linewidth=1.8)
    if rows and best is not None and "val_loss" in rows[0]:
        least = next(row["val_loss"] for row in rows if row["epoch"] == best)
        axes.plot([best], [least], "o", color=VALIDATION, markersize=6, label=f"best epoch: {best}")
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


def concept_graph(path: Path, network: Network, importance: Mapping[Any, float], title: str) -> None:
    """The network from left to right; neurons coloured by importance, edges blue (+) and orange (−) by weight."""
    network.plot(importance, label="importance", title=title, labels=True).savefig(path, bbox_inches="tight")
