"""Everything flowgrad raises on purpose: one family, each error also the builtin that fits it.

A message names the value, the node, edge, file or line, the rule, and the nearest valid name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from difflib import get_close_matches


class FlowgradError(Exception):
    """The root of every error that flowgrad raises on purpose."""


class GraphError(FlowgradError, ValueError):
    """The graph, or a value on one of its nodes or edges, is not a network."""


class CycleError(GraphError):
    """The graph has a directed cycle, which is in `.cycle`: node ids, the first one not repeated.

    `where` begins the message: the file that the graph comes from.
    """

    def __init__(self, cycle: Sequence[Hashable], where: str = "") -> None:
        self.cycle, self.where = tuple(cycle), where
        path = " → ".join(map(show, (*self.cycle, self.cycle[0])))
        super().__init__(f"{where}the graph has a cycle, and a feed-forward network has none: {path}")

    def __reduce__(self) -> tuple[type[CycleError], tuple[Sequence[Hashable], str]]:
        return CycleError, (self.cycle, self.where)


class UnknownNameError(FlowgradError, LookupError):
    """A name that stands for nothing here: node, edge, activation, executor, column, …"""


class ShapeError(FlowgradError, ValueError):
    """An array has another shape than the network asks for."""


class DataError(FlowgradError, ValueError):
    """A value in the data or in an argument breaks a rule: class index, empty batch, dtype, …"""


class ConfigError(FlowgradError, ValueError):
    """A setting, in a TOML file or an argument, has a wrong name, type or range."""


class FileError(FlowgradError, OSError):
    """A file is missing, unreadable, truncated, altered or not of the format."""


class ExecutorError(FlowgradError, RuntimeError):
    """An executor cannot run this network or this request."""


class MissingDependencyError(FlowgradError, ImportError):
    """An optional library is needed and absent; the message names the extra that installs it."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        self.arguments = (library, extra, purpose)
        super().__init__(f"{purpose} needs {library}: pip install 'flowgrad[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, ...]]:
        return MissingDependencyError, self.arguments


class NonFiniteError(FlowgradError, ArithmeticError):
    """Training met inf or NaN; the message names the neuron, the step and the batch."""


class BoundedOutputWarning(UserWarning):
    """A loss takes logits, and an output's activation is bounded on both sides, so that it can be no certain one."""


class FileWarning(FlowgradError, UserWarning):
    """A reader has left out what says nothing, as a gene that its set names twice; the message says what and where.

    Also a `FlowgradError`: where warnings are errors, it is one of the family.
    """


def show(value: object) -> str:
    """A name as a message prints it: text bare where it is one plain word, all else by repr."""
    if isinstance(value, str) and value and value.isprintable() and not any(c in value for c in " ,→'\""):
        return value
    return repr(value)


def listing(values: Iterable[object], limit: int = 10) -> str:
    """`a, b, c … (12 more)`: at most `limit` of the values.

    >>> listing("abc"), listing(range(12), limit=3)
    ('a, b, c', '0, 1, 2 … (9 more)')
    """
    items = list(values)
    more = f" … ({len(items) - limit} more)" if len(items) > limit else ""
    return ", ".join(map(show, items[:limit])) + more


def suggest(name: object, valid: Iterable[object]) -> str:
    """`: did you mean 'sigmoid'?`, or the valid names where none is near; to end a message with.

    >>> suggest("sigmiod", ["tanh", "sigmoid"])
    ": did you mean 'sigmoid'?"
    >>> suggest("x", ["tanh", "sigmoid"])
    '; known: tanh, sigmoid'
    """
    candidates = list(valid)
    named = {str(c): c for c in candidates}
    near = get_close_matches(str(name), named, n=1) if len(named) <= 50_000 else []
    if near:
        return f": did you mean {named[near[0]]!r}?"
    return f"; known: {listing(candidates)}" if candidates else ""
