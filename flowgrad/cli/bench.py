"""`flowgrad bench`: measure the workloads on this machine, beside the rivals that are installed."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from flowgrad.atomic import put
from flowgrad.benchmarks.measure import OURS, Result
from flowgrad.benchmarks.rivals import cores
from flowgrad.benchmarks.workloads import WORKLOADS, scaling
from flowgrad.cli._console import say, table
from flowgrad.errors import ConfigError, MissingDependencyError, UnknownNameError, brief, suggest
from flowgrad.viewer.palette import ABOVE, BELOW, INK


def entry(
    workloads: Annotated[
        list[str] | None,
        typer.Argument(help=f"Any of {', '.join(WORKLOADS)}; default: all but executors.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Number of threads of flowgrad and of its rivals; default: all cores.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Number of measured rounds, of which the median is reported.")] = 9,
    large: Annotated[bool, typer.Option("--large", help="Extend w5 to ten million edges (3 GB of memory).")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all medians to this CSV file.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Draw the ratios to this PNG file.")] = None,
) -> None:
    """Measure flowgrad and its installed rivals, in turn, on this machine; a ratio below 1 means that it is faster."""
    wanted = workloads or [name for name in WORKLOADS if name != "executors"]  # some executors are slow
    for name in wanted:
        if name not in WORKLOADS:
            raise UnknownNameError(f"unknown workload {brief(name)}{suggest(name, WORKLOADS)}")
    for option, value in (("--threads", threads), ("--rounds", rounds)):
        if value is not None and value < 1:
            raise ConfigError(f"{option} {value}: must be an integer, 1 or more")
    used = threads or cores()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # else idle OpenMP threads spin while others are timed
    results: list[Result] = []
    for name in wanted:
        say(f"{name}: {(WORKLOADS[name].__doc__ or '').splitlines()[0].partition(': ')[2]}")
        more = {"largest": 10_000_000} if large and name == "w5" else {}
        results += scaling(used, rounds, **more) if name == "w5" else WORKLOADS[name](used, rounds)
    _show(results, used)
    if csv_file is not None:
        put(csv_file, [_csv(results).encode()])
        say(f"medians: {csv_file}")
    if png is not None:
        _draw(results, png)
        say(f"picture: {png}")


def _show(results: list[Result], threads: int) -> None:
    rows = []
    for r in results:
        ours = r.seconds[OURS]
        rows.append((r.name, r.what, OURS, f"{ours * 1e3:.3f}", "", r.note))
        for rival, seconds in r.seconds.items():
            if rival != OURS:
                rows.append(("", "", rival, f"{seconds * 1e3:.3f}", f"{r.ratio(rival):.3g}", ""))
        rows += [("", "", rival, "absent", "", reason) for rival, reason in r.absent.items()]
    table(("workload", "what", "who", "ms", "flowgrad / rival", "note"), rows)
    policy = os.environ["OMP_WAIT_POLICY"].lower()
    say(f"medians of one run on {threads} threads, OpenMP's idle ones {policy}; a ratio below 1: flowgrad is faster")


def _csv(results: list[Result]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["workload", "what", "who", "seconds", "ratio"])
    for r in results:
        for who, seconds in r.seconds.items():
            writer.writerow([r.name, r.what, who, repr(seconds), repr(r.ratio(who))])
    return out.getvalue()


def _draw(results: list[Result], path: Path) -> None:
    """Draw each rival's time as a multiple of flowgrad's, on a logarithmic axis."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingDependencyError("matplotlib", "plot", "a picture") from None
    bars: list[tuple[str, float]] = [
        (f"{r.name}: {rival}", 1 / r.ratio(rival)) for r in results for rival in r.seconds if not rival.startswith(OURS)
    ]
    if not bars:
        raise ConfigError("--png: no rival was measured, so there is nothing to compare")
    figure: Any = Figure(figsize=(8, 1 + 0.4 * len(bars)), layout="constrained")
    axes = figure.subplots()
    names, values = zip(*bars[::-1], strict=True)
    colours = [ABOVE if v >= 1 else BELOW for v in values]
    axes.barh(names, [v - 1 for v in values], left=1, color=colours)
    axes.axvline(1.0, color=INK, linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}×")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("the rival's time as a multiple of flowgrad's (right of the line: flowgrad is faster)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for k, v in enumerate(values):
        sign = 1 if v >= 1 else -1
        place = {"xytext": (4 * sign, 0), "textcoords": "offset points", "ha": "left" if v >= 1 else "right"}
        axes.annotate(f"{v:.2f}×", (v, k), va="center", **place)
    axes.margins(x=0.15)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format=path.suffix[1:] or "png")
    put(path, [picture.getvalue()])
