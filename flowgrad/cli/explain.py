"""`flowgrad explain`: one neuron's equations with the numbers put in."""

from __future__ import annotations

from typing import Annotated

import typer

import flowgrad as fg
from flowgrad.cli import _data, _options
from flowgrad.cli._console import say
from flowgrad.cli._model import column_name, open_network
from flowgrad.cli._tables import Table
from flowgrad.errors import UnknownNameError, brief, suggest
from flowgrad.inspection import explain


def entry(
    network: _options.Model,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The neuron, by name.", show_default=False)],
    data: _options.Data,
    sample: Annotated[int, typer.Option(help="Which row of the samples, from 0.")] = 0,
    most: Annotated[int, typer.Option(help="Terms that a sum lists.")] = 12,
    loss: _options.Loss = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
) -> None:
    """Explain one neuron at one sample: where its z came from, and which cached gradients it reused.

    Every line is an equation of the maths with the numbers put in. The backward half is there where the samples
    hold the targets.
    """
    model = open_network(network, ignore or ())
    names = {column_name(v): v for v in model.network.nodes}
    if node not in names:
        raise UnknownNameError(f"{brief(node)} is no node of the network{suggest(node, names)}")
    samples, roles = Table(data), model.roles
    answers = _data.answered(samples, roles)
    known = _data.read(samples, roles, answers=answers)
    program = fg.compile(model.network, executor=executor, loss=loss or model.loss or "squared_error")
    say(explain(program, model.scaled(known.X), known.T, names[node], sample=sample, most=most))
