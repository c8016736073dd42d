"""What a function is given for samples: said so where it is an object of flowgrad's own; one sample of many."""

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
    """Check that none of these arguments, by name, is an object of flowgrad's own where samples stand.

    Raises:
        ConfigError: one is; the message names it.
    """
    for name, value in given.items():
        if isinstance(value, (Network, Program, Activations, Gradients)):
            raise ConfigError(f"{function} wants an array or a data frame for {name}, not {one(type(value).__name__)}")


def chosen(program: Program, sample: int | None, X: Any, T: Any = None) -> tuple[Any, Any]:
    """X and T of one sample alone, (1, I) and (1, O); as they are where `sample` is None.

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
