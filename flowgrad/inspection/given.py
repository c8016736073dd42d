"""What a function is given: a Network or a Program, said so where it is the other one."""

from __future__ import annotations

from flowgrad.errors import ConfigError
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.results import Activations, Gradients


def a_network(given: object, function: str) -> None:
    """Check that a function was given a Network.

    Raises:
        ConfigError: it is something else; the message names what would be right.
    """
    if not isinstance(given, Network):
        raise ConfigError(f"{function} wants a flowgrad Network, not {_what(given)}{_remedy(given)}")


def a_program(given: object, function: str) -> None:
    """Check that a function was given a Program.

    Raises:
        ConfigError: it is something else; the message names what would be right.
    """
    if not isinstance(given, Program):
        remedy = ": compile it first, flowgrad.compile(network)" if isinstance(given, Network) else _remedy(given)
        raise ConfigError(f"{function} wants a flowgrad Program, not {_what(given)}{remedy}")


def samples(function: str, **given: object) -> None:
    """Check that none of these arguments, by name, is an object of flowgrad's own where samples stand.

    Raises:
        ConfigError: one is; the message names it.
    """
    for name, value in given.items():
        if isinstance(value, (Network, Program, Activations, Gradients)):
            raise ConfigError(f"{function} wants an array or a data frame for {name}, not {_what(value)}")


def _what(given: object) -> str:
    kind = type(given).__name__[:60]
    return f"an {kind}" if kind[:1] in "AEIOUaeiou" else f"a {kind}"


def _remedy(given: object) -> str:
    match given:
        case Program():
            return ": give the network that was compiled, or program.network()"
        case Activations() | Gradients():
            return ": give what made it"
    return ""
