"""What a function is given for samples: said so where it is an object of flowgrad's own."""

from __future__ import annotations

from flowgrad.arguments import one
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
