"""Checks of arguments that hold samples, and the selection of one sample."""

from __future__ import annotations

from typing import Any

from flowgrad import batch
from flowgrad.arguments import one, row
from flowgrad.errors import ConfigError
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.results import Activations, Gradients


def samples(function: str, **given: object) -> None:
    """Check that no argument, given by name, is a Network, Program, Activations or Gradients.

    Raises:
        ConfigError: an argument is one of these; the message names `function` and the argument.
    """
    for name, value in given.items():
        if isinstance(value, (Network, Program, Activations, Gradients)):
            raise ConfigError(f"{function} wants an array or a data frame for {name}, not {one(type(value).__name__)}")


def chosen(program: Program, sample: int | None, X: Any, T: Any = None) -> tuple[Any, Any]:
    """Select X (1, I) and T (1, O) of one sample; return both unchanged where `sample` is None.

    Raises:
        DataError: sample is out of range, or T is given and the program has no loss.
        ConfigError: T is given and the program's loss depends on all samples together (cox).
        ShapeError, DataError, UnknownNameError: X or T does not fit, as in `Program.forward` and `Program.backward`.
    """
    if sample is None:
        return X, T
    x = program._x(X)
    k = row("sample", sample, len(x))
    if T is not None:
        T = batch.targets_of(k, T, program.outputs, len(x), program._need_loss(), program.dtype)
    return x[k : k + 1], T
