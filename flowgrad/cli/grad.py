"""`flowgrad grad`: print the gradients of the loss, by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import numpy as np
import typer

import flowgrad as fg
from flowgrad.cli import _options
from flowgrad.cli._answers import is_data, show
from flowgrad.cli._opened import opened
from flowgrad.model import column_name


class Of(StrEnum):
    """The variables by which the loss is differentiated."""

    parameters = "parameters"
    neurons = "neurons"
    inputs = "inputs"


@_options.with_tables
def entry(
    network: _options.Network,
    data: _options.Data,
    of: Annotated[
        Of, typer.Option(help="Gradient by weights and biases, or by each z or input (one column each).")
    ] = Of.parameters,
    out: _options.Out = None,
    top: _options.Rows = None,
    loss: _options.Loss = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Compute the gradients of the loss on the samples, which must hold the targets.

    By parameters: one row per edge and bias, largest gradient first, each the mean over the samples. By neurons or
    inputs: ∂L/∂z or ∂L/∂x, one row per sample.
    """
    _options.check_apart(out, network, data, tables["labels"])
    o = opened(
        network, data, "needed", loss=loss, executor=executor, read_as=read_as, option=option, ignore=ignore,
        quiet=is_data(out), tables=tables,
    )  # fmt: skip
    grads = o.program.backward(o.program.forward(o.X), o.T)
    if of is Of.parameters:
        columns = by_parameter(o.program, grads)
    else:
        of_each: Any = grads.dz if of is Of.neurons else grads.input
        columns = {column_name(v): of_each[v] for v in of_each}
    show(columns, out, top)


def by_parameter(program: fg.Program, grads: fg.Gradients) -> dict[str, Any]:
    """Make columns kind, source, target, value, gradient of every weight and bias, largest gradient first."""
    plan, labels = program.plan, program.labels
    weight, bias = plan.parameters(program.theta)
    neurons = np.flatnonzero(plan.activation >= 0)
    ends = [(column_name(u), column_name(v)) for u, v in labels.edges]
    ends += [("", column_name(labels.nodes[k])) for k in neurons.tolist()]
    gradient = np.concatenate([grads.weight.array, grads.bias.array[neurons]])
    order = np.argsort(-np.abs(gradient), kind="stable")
    kinds = ["weight"] * len(labels.edges) + ["bias"] * len(neurons)
    return {
        "kind": [kinds[k] for k in order],
        "source": [ends[k][0] for k in order],
        "target": [ends[k][1] for k in order],
        "value": np.concatenate([weight, bias[neurons]])[order],
        "gradient": gradient[order],
    }
