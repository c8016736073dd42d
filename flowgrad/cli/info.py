"""`flowgrad info`: what a network is like, from its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import flowgrad as fg
from flowgrad.cli import _options
from flowgrad.cli._console import say, table
from flowgrad.cli._model import open_network
from flowgrad.errors import listing
from flowgrad.inspection.local import reached
from flowgrad.plan import lower


def entry(
    network: _options.Model,
    read_as: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Left out: by the suffix.", show_default=False)
    ] = None,
) -> None:
    """Say what a network is like: size, depth, widths of levels, fan-in, functions, parameters, dead ends."""
    net = open_network(network).network if read_as is None else fg.load(Path(network), format=read_as)
    say(repr(net))
    table(("", ""), [(name, value) for name, value in facts(net).items()])


def facts(net: fg.Network) -> Mapping[str, str]:
    """What the command says, by name."""
    c, plan = net.columns, lower(net)
    fan_in, fan_out = np.diff(plan.in_ptr), np.diff(plan.out_ptr)
    skips = plan.level[np.repeat(np.arange(plan.n_nodes), fan_in)] - plan.level[plan.in_source] > 1
    weights = len(np.unique(plan.weight_slot[plan.weight_slot >= 0]))
    frozen = int((plan.weight_slot < 0).sum())
    neurons = plan.activation >= 0
    idle = np.flatnonzero(neurons & ~reached(plan))
    return {
        "nodes": f"{plan.n_nodes:,}: {len(plan.inputs):,} inputs, {int(neurons.sum()):,} neurons",
        "edges": f"{plan.n_edges:,}, {int(skips.sum()):,} of them skip a level",
        "depth": f"{net.depth:,}",
        "neurons a level": _counts(np.bincount(plan.level).tolist()),
        "fan-in": _histogram(fan_in[neurons]),
        "fan-out": _histogram(fan_out),
        "sources, sinks": f"{int((fan_in == 0).sum()):,}, {int((fan_out == 0).sum()):,}",
        "activations": _used(plan.activation[neurons], [f.name for f in plan.activations]),
        "aggregations": _used(plan.aggregation[neurons], [f.name for f in plan.aggregations]),
        "parameters": f"{plan.n_parameters:,}: {weights:,} weights, {plan.n_parameters - weights:,} biases",
        "frozen weights": f"{frozen:,}",
        "shared weights": f"{int((c.param >= 0).sum()):,} edges under {len(c.params):,} names",
        "without effect on any output": f"{len(idle):,} neurons" + _some(net, plan, idle),
    }


def _some(net: fg.Network, plan: Any, rows: Any) -> str:
    ids = net.columns.ids
    return f": {listing(ids[plan.nodes[k]] for k in rows.tolist())}" if len(rows) else ""


def _counts(values: list[int], most: int = 16) -> str:
    said = ", ".join(f"{n:,}" for n in values[:most])
    return said + (f", … ({len(values)} levels)" if len(values) > most else "")


def _histogram(values: Any, most: int = 12) -> str:
    sizes, counts = np.unique(values, return_counts=True)
    pairs: Iterable[tuple[int, int]] = zip(sizes.tolist(), counts.tolist(), strict=True)
    said = [f"{n:,} × {size:,}" for size, n in pairs]
    return ", ".join(said[:most]) + (f", … up to {int(sizes[-1]):,}" if len(said) > most else "")


def _used(codes: Any, names: list[str]) -> str:
    count = np.bincount(codes, minlength=len(names)).tolist()
    return ", ".join(f"{n:,} {name}" for n, name in sorted(zip(count, names, strict=True), reverse=True) if n)
