"""Checks of arguments that hold samples, and the selection of one sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.arguments import one, row
from flowgrad.errors import ConfigError
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.results import Activations, Gradients


def samples(function: str, **given: object) -> None:
    """Check that none of these arguments, given by name, is a Network, Program, Activations or Gradients.

    Raises:
        ConfigError: one is; the message names it.
    """
    for name, value in given.items():
        if isinstance(value, (Network, Program, Activations, Gradients)):
            raise ConfigError(f"{function} wants an array or a data frame for {name}, not {one(type(value).__name__)}")


def chosen(program: Program, sample: int | None, X: Any, T: Any = None) -> tuple[Any, Any]:
    """Select X (1, I) and T (1, O) of one sample; return both unchanged where `sample` is None.

    Raises:
        DataError: no such sample. As `program.forward` and `backward` where X or T does not fit.
    """
    if sample is None:
        return X, T
    x = program._x(X)
    k = row("sample", sample, len(x))
    if T is not None:
        T = batch.targets(T, program.outputs, len(x), program._need_loss(), program.dtype, np.array([k]))
    return x[k : k + 1], T
