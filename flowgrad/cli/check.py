"""`flowgrad check`: compare gradients with finite differences, and executors with each other."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

import flowgrad as fg
from flowgrad.cli import _options
from flowgrad.cli._console import say, table
from flowgrad.cli._opened import open_network, reading_for, with_samples
from flowgrad.maths.losses import Loss
from flowgrad.model import Model
from flowgrad.registry import find

AGREE = {"float64": 1e-9, "float32": 1e-4}  # tolerance between executors, relative to the largest component


@_options.with_tables
def entry(
    network: _options.Network,
    data: _options.MaybeData = None,
    samples: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of samples to draw, or to take from the file.")
    ] = 16,
    loss: _options.Loss = None,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="float32 or float64.")] = "float64",
    slots: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of parameters to check by finite differences.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed by which samples and parameters are drawn.")] = 0,
    top: _options.Top = 10,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    *,
    tables: _options.Tables,
) -> int:
    """Check the gradients of a network: backward against finite differences, and every executor against the definition.

    The exit code is 1 if a result differs.
    """
    model = open_network(network, read_as=read_as, option=option, ignore=ignore)
    name = loss or model.record.name
    if data is None:
        X, T = _drawn(model, samples, name, seed)
    else:
        model, X, T = with_samples(model, data, "needed", reading_for(network, data, tables))
        X, T = X[:samples], T[:samples]
    known = fg.executors()
    reached = [e for e, answer in known.items() if answer is True]
    programs = {e: fg.compile(model.network, executor=e, dtype=dtype, loss=name) for e in reached}
    agreed = executors_agree(programs, X, T)
    for e, answer in known.items():
        if e not in reached:
            say(f"{e} was not checked: {answer}")
    fastest = fg.compile(model.network, dtype=dtype, loss=name)
    found = fg.gradcheck(fastest, X, T, slots=slots, seed=seed)
    rows = [(s.label, s.analytic, s.numeric, f"{s.error:.1e}", s.verdict) for s in found.slots[:top]]
    title = f"∂L/∂θ on the {fastest.executor} executor beside differences of the loss, worst first"
    table(("parameter", "analytic", "numeric", "error", ""), rows, title)
    say(
        f"{found.checked} of {found.parameters} parameters: {'passed' if found.passed else 'FAILED'}, "
        f"worst error {found.worst_error:.1e}, allowed {found.tolerance:.0e}"
    )
    return 0 if found.passed and agreed else 1


def _drawn(model: Model, n: int, loss: str, seed: int) -> tuple[Any, Any]:
    """Draw samples X and targets T in the domain of the loss."""
    rng = np.random.default_rng(seed)
    X, O = rng.standard_normal((n, len(model.network.inputs))), len(model.network.outputs)
    record: Loss = find("losses", loss)
    if record.coupled:
        return X, rng.integers(0, O, n)
    if record.domain is None:
        return X, rng.standard_normal((n, O))
    least, largest = record.domain
    drawn = rng.poisson(2.0, (n, O)) if np.isinf(largest) else (largest - least) * rng.integers(0, 2, (n, O))
    return X, least + drawn.astype(float)


def executors_agree(programs: dict[str, fg.Program], X: Any, T: Any) -> bool:
    """Print each executor's distance from the Python executor; return whether all are within `AGREE`."""
    exact = programs["python"]
    _, g = exact.value_and_grad(exact.theta, X, T)
    y, size = exact.predict(X), float(np.abs(g).max(initial=0.0)) or 1.0
    allowed, rows, good = AGREE[exact.dtype.name], [], True
    for name, program in programs.items():
        value, mine = program.value_and_grad(program.theta, X, T)
        error = float(np.abs(mine - g).max(initial=0.0)) / size
        apart = float(np.abs(program.predict(X) - y).max() / (np.abs(y).max() or 1.0))
        same = bool(error <= allowed and apart <= allowed)
        good = good and same
        rows.append((name, f"{value:.12g}", f"{apart:.1e}", f"{error:.1e}", "agrees" if same else "DIFFERS"))
    title = "each executor beside the Python one, as a share of the largest component"
    table(("executor", "loss", "outputs", "gradient", ""), rows, title)
    return good
