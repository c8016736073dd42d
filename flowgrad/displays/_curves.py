"""Figures of a training: loss curve, metrics of a cross-validation, and the network coloured by importance."""

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
    """Make an empty figure of width × height inches, without a display and without matplotlib's global state.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if not find_spec("matplotlib"):
        raise MissingDependencyError("matplotlib", "plot", "a picture")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def loss_curve(path: Path, rows: Sequence[Mapping[str, float]], title: str, best: int | None = None) -> None:
    """Plot loss and, if present, val_loss by epoch to the file `path`, with a mark at the epoch `best`."""
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


def folds(path: Path, figures: Sequence[Mapping[str, Any]], by_fold: Sequence[Mapping[str, Any]], title: str) -> None:
    """Plot each metric on its own axes: one point per fold, and the mean and the pooled value with their intervals.

    `figures` and `by_fold` are results of these methods of `CrossValidation`; `path` is the file to write.
    """
    drawn = figure(max(4.0, 1.9 * len(figures)), 3.6)
    for place, found in enumerate(figures):
        axes = drawn.add_subplot(1, len(figures), place + 1)
        values = [row[found["metric"]] for row in by_fold]
        spread = [0.22 * ((0.618 * k) % 1 - 0.5) for k in range(len(values))]  # horizontal offsets, deterministic
        axes.plot(spread, values, "o", color=TRAINING, alpha=0.45, markersize=4, markeredgewidth=0)
        for at, name, colour in ((0.35, "mean", TRAINING), (0.6, "pooled", VALIDATION)):
            low, high = ("low", "high") if name == "mean" else ("pooled_low", "pooled_high")
            axes.plot([at, at], [found[low], found[high]], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot([at], [found[name]], "o", color=colour, markersize=5)
        axes.set_xlim(-0.25, 0.8)
        axes.set_xticks([0.0, 0.35, 0.6], ["folds", "mean", "all"], fontsize=8)
        axes.tick_params(axis="y", labelsize=8)
        axes.set_title(found["metric"], fontsize=9, color=INK)
        axes.grid(axis="y", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    drawn.suptitle(title, x=0.02, ha="left", color=INK, fontsize=11)
    drawn.savefig(path)


def concept_graph(path: Path, network: Network, importance: Mapping[Any, float], title: str) -> None:
    """Draw the network to the file `path`: neurons coloured by importance, edges blue (+) or orange (−) by weight."""
    network.plot(importance, label="importance", title=title, labels=True).savefig(path, bbox_inches="tight")
