"""`flowgrad importance`: rank neurons by their effect on an output, by one reverse pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flowgrad.cli import _options
from flowgrad.cli._console import bar, console, say, table
from flowgrad.cli._opened import Opened, opened, reading_for
from flowgrad.errors import ConfigError, UnknownNameError, brief, suggest
from flowgrad.inspection import Importance, node_importance
from flowgrad.inspection.importance import LOSS
from flowgrad.model import column_name
from flowgrad.tables.table import Table, write

KINDS = ("input", "hidden", "output")
CLASSES = 4  # classes that the printed table has room for


@_options.with_tables
def entry(
    network: _options.Network,
    data: _options.Data,
    output: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the output; default: the first output.", show_default=False),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Importance for this loss instead of an output; the samples must hold the targets."
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Also report each class; name of the column of classes.")
    ] = None,
    integrated: Annotated[
        bool, typer.Option("--integrated", help="Also report integrated gradients, from inputs of 0 (after scaling).")
    ] = False,
    kind: Annotated[str | None, typer.Option(help=f"One of {', '.join(KINDS)}; default: all.")] = None,
    top: _options.Top = 20,
    out: _options.Out = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Rank neurons by their effect on an output, |a · ∂y/∂a|, as the mean over the samples.

    One forward pass and one backward pass per output give it for all neurons. With --out every neuron, output and
    class is written: the gradient, gradient × activation, their spread over the samples, and integrated gradients
    (of hidden neurons: their conductance).
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError(f"unknown kind {brief(kind)}{suggest(kind, KINDS)}")
    if loss is not None and output is not None:
        raise ConfigError("--loss and --output exclude each other: importance is for the loss, or for an output")
    _options.check_apart(out, network, data, tables["labels"])
    classes = Table(data, reading_for(network, data, tables)).text(by) if by is not None else None
    o = opened(
        network, data, "needed" if loss is not None else "none", loss=loss, executor=executor, read_as=read_as,
        option=option, ignore=ignore, tables=tables, by=by,
    )  # fmt: skip
    wanted = None if loss is not None else _wanted(o, output)
    found = node_importance(o.program, o.X, o.T, wanted, classes=classes, integrated=integrated)
    if out is not None:
        _write(out, found)
        return
    _print(found, kind, top)


def _wanted(o: Opened, output: str | None) -> list[Any]:
    names = {column_name(v): v for v in o.model.network.outputs}
    if output is not None and output not in names:
        raise UnknownNameError(f"{brief(output)} is no output{suggest(output, names)}")
    return list(names.values()) if output is None else [names[output]]


def _print(found: Importance, kind: str | None, top: int) -> None:
    """Print the most important neurons for the first output, in 80 characters where names are not long."""
    rows = found.top(top, kind)
    most = max((row["strength"] for row in rows), default=0.0)
    for_loss = found.outputs == (LOSS,)
    title = "for the loss" if for_loss else f"for {column_name(found.outputs[0])}"
    integrated = ["integrated"] if found.integrated is not None else []
    more = [[r[name] for name in integrated] for r in rows]
    if found.classes:
        place = {v: k for k, v in enumerate(found.nodes)}
        shown = list(found.classes)[:CLASSES]
        columns = ("neuron", "kind", "importance", *integrated, *(f"if {column_name(c)}" for c in shown))
        by_class = [[float(found.classes[c].strength[0, place[r["node"]]]) for c in shown] for r in rows]
        table(columns, [(column_name(r["node"]), r["kind"], r["strength"], *m, *b)
                        for r, m, b in zip(rows, more, by_class, strict=True)], title)  # fmt: skip
    else:
        columns = ("neuron", "kind", "importance", "∂L/∂a" if for_loss else "∂y/∂a", *integrated, "")
        bars = [bar(r["strength"] / most if most else 0.0, 16) for r in rows]
        table(columns, [(column_name(r["node"]), r["kind"], r["strength"], r["gradient"], *m, b)
                        for r, m, b in zip(rows, more, bars, strict=True)], title)  # fmt: skip
    if found.gap is not None:
        what = "L(x) − L(0)" if for_loss else "y(x) − y(0)"
        say(f"of the inputs, integrated adds up to {what} within {found.gap[0]:.1e} at every sample")
    hidden = len(found.classes) - CLASSES
    if hidden > 0:
        say(f"{hidden} more classes: --out FILE")
    if len(found.outputs) > 1 and console().is_terminal:
        say(f"{len(found.outputs) - 1} more outputs: --output NAME, or --out FILE for all")


def _write(out: Path, found: Importance) -> None:
    """Write every record to a CSV; in rows over all samples the class is empty."""
    records = found.records()

    def cell(key: str, value: Any) -> Any:
        if key == "class" and value is None:
            return ""
        return column_name(value) if key in ("output", "node", "class") else value

    write(out, {key: [cell(key, record[key]) for record in records] for key in records[0]})
    say(f"{len(records):,} rows: {out}")
