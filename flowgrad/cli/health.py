"""`flowgrad health`: find what is wrong with a network on some data."""

from __future__ import annotations

from flowgrad.cli import _options
from flowgrad.cli._examined import examined
from flowgrad.cli._opened import opened


@_options.with_tables
def entry(
    network: _options.Network,
    data: _options.Data,
    top: _options.Top = 12,
    loss: _options.Loss = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> int:
    """Diagnose a network on samples with their targets.

    The report shows the gradients by depth, and problems: dead, saturated and unreached neurons, weights without
    effect, gradients that vanish or explode. The exit code is 1 if there is any problem.
    """
    o = opened(
        network, data, "needed", loss=loss, executor=executor, read_as=read_as, option=option, ignore=ignore,
        tables=tables,
    )  # fmt: skip
    return examined(o, top)
