"""Everything flowgrad raises on purpose: one family, each error also the builtin that fits it.

A message names the value, the node, edge, file or line, the rule, and the nearest valid name. It stays under 500
characters: values and names stand in it as `brief` and `show` write them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import accumulate
from reprlib import Repr


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


class CheckpointWarning(FlowgradError, UserWarning):
    """A checkpoint could not be written; training goes on, and the message says which is the last whole one."""


class StopTraining(FlowgradError, StopIteration):
    """Raised by a callback or `on_epoch` to end a training after the epoch that it was told of."""


class FileWarning(FlowgradError, UserWarning):
    """A reader has left out what says nothing, as a gene that its set names twice; the message says what and where.

    Or a writer has left out what its format does not hold, as biases in a list of edges.

    Also a `FlowgradError`: where warnings are errors, it is one of the family.
    """


class BoundedOutputWarning(FlowgradError, UserWarning):
    """A loss takes logits, and an output's activation is bounded on both sides, so that it can be no certain one."""


WIDTH = 80
"""Most characters of a value or a name in a message."""
LISTED = 240
"""Approximate most characters of a list of names in a message; longer names are not searched for near ones."""
MANY = 50_000
"""Most names that are searched for the nearest one."""


class _Brief(Repr):
    """Abbreviated repr by `reprlib`, which accesses only those entries of a container that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.fillvalue = "…"
        self.maxlevel, self.maxdict, self.maxstring, self.maxother = 2, 3, WIDTH - 20, WIDTH
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = self.maxarray = 4

    def repr_int(self, x: int, level: int) -> str:
        """Write an integer, or its approximate number of digits beyond half of `WIDTH` (Python limits conversion)."""
        digits = int(x.bit_length() * 0.30103) + 1
        return f"an integer of about {digits:,} digits" if digits > WIDTH // 2 else repr(x)

    def repr_instance(self, x: object, level: int) -> str:
        """Write the repr of any other object on one line."""
        return " ".join(line.strip() for line in super().repr_instance(x, level).splitlines())


_brief = _Brief()


def brief(value: object) -> str:
    """Write a value for a message: its repr, cut in the middle to at most `WIDTH` characters.

    >>> brief("tanh"), brief(range(3)), len(brief(["a name"] * 100_000)) <= WIDTH
    ("'tanh'", 'range(0, 3)', True)
    """
    said = _brief.repr(value)
    return said if len(said) <= WIDTH else f"{said[: WIDTH // 2]}…{said[1 - WIDTH // 2 :]}"


def show(value: object) -> str:
    """Write a name for a message: text bare where it is one plain, short word, all else as `brief` does."""
    plain = isinstance(value, str) and value and len(value) < WIDTH and value.isprintable()
    if plain and not any(c in str(value) for c in " ,→'\""):
        return str(value)
    return brief(value)


def listing(values: Iterable[object], limit: int = 10) -> str:
    """Write `a, b, c … (12 more)`: at most `limit` of the values, fewer where they are long.

    >>> listing("abc"), listing(range(12), limit=3)
    ('a, b, c', '0, 1, 2 … (9 more)')
    """
    items = list(values)
    shown = [show(item) for item in items[:limit]]
    ends = accumulate(len(each) + 2 for each in shown)
    shown = [each for k, (each, end) in enumerate(zip(shown, ends, strict=True)) if k == 0 or end <= LISTED]
    more = f" … ({len(items) - len(shown)} more)" if len(items) > len(shown) else ""
    return ", ".join(shown) + more


def suggest(name: object, valid: Iterable[object], aliases: Mapping[str, Sequence[str]] | None = None) -> str:
    """Write `: did you mean 'sigmoid'?`, or the valid names where none is near; to end a message with.

    A name that differs in case, or in `_`, `-` and spaces, comes first; then what others call it; then the nearest.

    Args:
        aliases: other names, folded → the names that they stand for, of which those that are valid count.

    >>> suggest("sigmiod", ["tanh", "sigmoid"]), suggest("TanH", ["tanh", "sigmoid"])
    (": did you mean 'sigmoid'?", ": did you mean 'tanh'?")
    >>> suggest("x", ["tanh", "sigmoid"]), suggest("logistic", ["tanh", "sigmoid"], {"logistic": ["sigmoid"]})
    ('; known: tanh, sigmoid', ": did you mean 'sigmoid'?")
    """
    candidates, typed = list(valid), folded(name)
    few = len(candidates) <= MANY
    near = [each for each in candidates if (few or isinstance(each, str)) and folded(each) == typed]
    meant = {folded(other) for other in (aliases or {}).get(typed, ())}
    if not near and meant:
        near = [each for each in candidates if folded(each) in meant]
    if not near and few and len(typed) <= LISTED:
        named = {folded(each): each for each in candidates}
        near = [named[key] for key in get_close_matches(typed, named, n=1)]
    if near:
        return f": did you mean {' or '.join(map(brief, near[:3]))}?"
    return f"; known: {listing(candidates)}" if candidates else ""


def folded(name: object) -> str:
    """Strip a name of what two spellings of it differ in: case, and separators.

    >>> folded("Leaky-ReLU"), folded("leaky_relu")
    ('leakyrelu', 'leakyrelu')
    """
    said = name if isinstance(name, str) else brief(name)
    return said.casefold().replace("_", "").replace("-", "").replace(" ", "") or said
