"""`flowgrad export`: write a network, with values of both passes, to a file for another program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

import flowgrad as fg
from flowgrad.arguments import row
from flowgrad.cli import _options
from flowgrad.cli._console import say, share_shown
from flowgrad.cli._followed import losses, own_samples
from flowgrad.cli._missing import fitted
from flowgrad.cli._opened import open_network, reading_for, with_samples
from flowgrad.errors import ConfigError, listing
from flowgrad.files import format_of
from flowgrad.format import Format
from flowgrad.model import Model
from flowgrad.registry import find, names
from flowgrad.tables.table import Reading, Table

BATCH = 1024  # samples at a time, for which z and a of every neuron are in memory


@_options.with_tables
def entry(
    network: _options.Network,
    to: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.", show_default=False)],
    format: _options.Format = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Samples whose values are written.", show_default=False)
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(help="Row of the samples, from 0; default: the mean over all.", show_default=False),
    ] = None,
    loss: _options.Loss = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Write a network for another program, with the values and gradients of samples on its nodes and edges.

    With --data every node gets z and a; if the samples hold the targets, also dz and da (∂L/∂z, ∂L/∂a) and the
    gradient of its bias, and every edge the gradient of its weight. --to net.html writes the interactive page; for
    a run it shows the run's own samples and its training. The network of a run is written as one that takes the raw
    columns: the scaling of its inputs is part of its weights.

    flowgrad list formats lists the formats.
    """
    chosen = format_of(to, format, "write")
    _options.check_apart(to, network, data, tables["labels"])
    trained = open_network(network, read_as=read_as, option=option, ignore=ignore)
    told: dict[str, Any] = {}
    if "history" in takes(chosen):  # a run's page shows the run's samples and training history
        told = {"history": losses(network)}
        data = data if data is not None else own_samples(network)
    reading = Reading() if data is None else reading_for(network, data, tables)
    if data is not None:
        trained = fitted(trained, Table(data, reading))
    scaled = trained.scaling is not None or trained.target_scaling is not None
    model = replace(trained, network=trained.folded(), scaling=None, target_scaling=None) if scaled else trained
    options = told | _values(model, chosen, data, reading, sample, loss, executor)
    with share_shown(f"writing {to.name}") as progress:
        given = model.network if chosen.write_model is None else trained
        fg.save(given, to, chosen.name, progress=progress, **options)
    said = ", ".join(name for key in ("node_values", "edge_values") for name in options.get(key, ()))
    say(f"written: {to}" + (f", with {said}" if said else ""))
    scaling = _options.folded_into(trained, chosen)
    if scaling:
        say(scaling)


def _values(
    model: Model,
    chosen: Format,
    data: Path | None,
    reading: Reading,
    sample: int | None,
    loss: str | None,
    executor: str,
) -> dict[str, Any]:
    """Build the writer's options for values of samples: by node and edge, or the samples themselves."""
    if data is None:
        if sample is not None or loss is not None:
            raise ConfigError("--sample and --loss speak of samples: give --data too")
        return {}
    places = {"node_values", "edge_values", "X"} & takes(chosen)
    if not places:
        able = [f for f in names("formats") if _has_attributes(find("formats", f))]
        raise ConfigError(f"format {chosen.name!r} has no place for values of samples; these have: {listing(able)}")
    model, X, T = with_samples(model, data, "if there", reading)
    first = None if sample is None else row("sample", sample, len(X))
    reduction: Literal["mean", "sum"] = "mean" if "X" in places else "sum"
    program = fg.compile(model.network, executor=executor, loss=loss or model.record, reduction=reduction)
    if "X" in places:
        return {"program": program, "X": X, "T": T, "sample": first or 0}
    if first is not None:
        X, T = X[first : first + 1], None if T is None else T[first : first + 1]
    found = means(program, X, T)
    return {key: found[key] for key in ("node_values", "edge_values") if key in places}


def takes(format: Format) -> set[str]:
    """Return the names of the parameters of the format's writer."""
    return set() if format.write is None else set(signature(format.write).parameters)


def _has_attributes(format: Format) -> bool:
    return bool({"edge_values", "X"} & takes(format))


def means(program: fg.Program, X: Any, T: Any) -> dict[str, dict[str, Any]]:
    """Compute means over the samples, as arrays in the order of the network's columns, as writers take them.

    `node_values`: z, a, and with targets dz, da, (V,) each, and bias_gradient, a dict by neuron; `edge_values`:
    gradient (E,).
    """
    plan, total = program.plan, dict[str, Any]()
    for rows in _batches(len(X)):
        acts = program.forward(X[rows])
        found = {"z": acts.z.array.sum(axis=1), "a": acts.a.array.sum(axis=1)}
        if T is not None:
            grads = program.backward(acts, T[rows])
            found |= {"dz": grads.dz.array.sum(axis=1), "da": grads.da.array.sum(axis=1)}
            found |= {"bias_gradient": grads.bias.array, "gradient": grads.weight.array}
        total = {name: total.get(name, 0.0) + value for name, value in found.items()}
    values: dict[str, dict[str, Any]] = {"node_values": {}, "edge_values": {}}
    for name, value in total.items():
        key, to = ("edge_values", plan.edges) if name == "gradient" else ("node_values", plan.nodes)
        values[key][name] = np.empty(len(value))
        values[key][name][to] = np.asarray(value, np.float64) / len(X)
    of_node, c = values["node_values"], program.labels.columns
    if "bias_gradient" in of_node:  # an input has none
        neurons = np.flatnonzero(~c.is_input).tolist()
        of_node["bias_gradient"] = {c.ids[k]: of_node["bias_gradient"][k] for k in neurons}
    return values


def _batches(n: int) -> Iterator[slice]:
    return (slice(first, first + BATCH) for first in range(0, n, BATCH))
