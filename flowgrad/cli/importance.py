"""`flowgrad importance`: which neurons move an output, by one reverse pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import flowgrad as fg
from flowgrad.cli import _data, _options
from flowgrad.cli._console import bar, console, say, table
from flowgrad.cli._model import column_name, open_network
from flowgrad.cli._tables import Table, write
from flowgrad.errors import ConfigError, UnknownNameError, suggest
from flowgrad.inspection import node_importance

KINDS = ("input", "hidden", "output")


def entry(
    network: _options.Model,
    data: _options.Data,
    output: Annotated[
        str | None, typer.Option(metavar="NAME", help="Left out: the first output.", show_default=False)
    ] = None,
    kind: Annotated[str | None, typer.Option(help=f"One of {', '.join(KINDS)}; left out: all.")] = None,
    top: Annotated[int, typer.Option(help="Neurons to show.")] = 20,
    out: _options.Out = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
) -> None:
    """Rank neurons by how much of what they say reaches an output: |a · ∂y/∂a|, mean over the samples.

    One forward and one reverse pass an output give it for every neuron at once. With --out every neuron and
    output is written, with the plain gradient too.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError(f"unknown kind {kind!r}{suggest(kind, KINDS)}")
    if top < 1:
        raise ConfigError(f"--top {top}: must be a whole number, 1 or more")
    model = open_network(network, ignore or ())
    names = {column_name(v): v for v in model.network.outputs}
    if output is not None and output not in names:
        raise UnknownNameError(f"{output!r} is no output{suggest(output, names)}")
    samples = _data.read(Table(data), model.roles, answers=False)
    program = fg.compile(model.network, executor=executor)
    wanted = list(names.values()) if output is None else [names[output]]
    found = node_importance(program, model.scaled(samples.X), wanted)
    if out is not None:
        _write(out, found.records())
        return
    rows = found.top(top, kind)
    most = max((row["strength"] for row in rows), default=0.0)
    shown = [
        (column_name(r["node"]), r["kind"], r["strength"], r["gradient"], bar(r["strength"] / most if most else 0.0))
        for r in rows
    ]
    table(("neuron", "kind", "importance", "∂y/∂a", ""), shown, title=f"for {column_name(found.outputs[0])}")
    if len(wanted) > 1 and console().is_terminal:
        say(f"{len(wanted) - 1} more outputs: --output NAME, or --out FILE for all")


def _write(out: Path, records: list[dict[str, Any]]) -> None:
    columns = {
        key: [column_name(r[key]) if key in ("output", "node") else r[key] for r in records] for key in records[0]
    }
    write(out, columns)
    say(f"{len(records):,} rows: {out}")
