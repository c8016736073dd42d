"""Errors and warnings of flowgrad. All derive from `FlowgradError`, and each also from a built-in class that fits it.

A message gives the value, its place (node, edge, file or line), the rule that it breaks, and the nearest valid name. It
stays under 500 characters, because values and names are shortened by `brief` and `show`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import accumulate
from reprlib import Repr


class FlowgradError(Exception):
    """Base class of the errors that flowgrad raises deliberately, and of its warnings."""


class GraphError(FlowgradError, ValueError):
    """A graph, or an attribute of a node or edge, is invalid for a network or cannot be held by a file format."""


class CycleError(GraphError):
    """The graph has a directed cycle.

    Attributes:
        cycle: ids of the nodes on the cycle, in order; the first one is not repeated at the end.
        where: beginning of the message, such as the file that holds the graph. Default: "".
    """

    def __init__(self, cycle: Sequence[Hashable], where: str = "") -> None:
        self.cycle, self.where = tuple(cycle), where
        path = " → ".join(map(show, (*self.cycle, self.cycle[0])))
        super().__init__(f"{where}the graph has a cycle, and a feed-forward network has none: {path}")

    def __reduce__(self) -> tuple[type[CycleError], tuple[Sequence[Hashable], str]]:
        return CycleError, (self.cycle, self.where)


class UnknownNameError(FlowgradError, LookupError):
    """A name is not known where it is used, for example the name of a node, edge, activation, executor or column."""


class ShapeError(FlowgradError, ValueError):
    """An array has the wrong shape for the network, or for the other arrays of the call."""


class DataError(FlowgradError, ValueError):
    """A value in the data or in an argument is invalid, for example a class index out of range or an empty batch."""


class ConfigError(FlowgradError, ValueError):
    """A setting, in a TOML file or an argument, has an unknown name, or a value of the wrong type or out of range."""


class FileError(FlowgradError, OSError):
    """A file is missing, truncated, altered or not in its format, or it cannot be read or written."""


class ExecutorError(FlowgradError, RuntimeError):
    """An executor cannot run this network or this request."""


class MissingDependencyError(FlowgradError, ImportError):
    """A required optional library is not installed; the message gives the command that installs it.

    Args:
        library: name of the library.
        extra: extra of the package flowgrad that installs it, as in `pip install 'flowgrad[extra]'`.
        purpose: function that needs the library; it begins the message.
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        self.arguments = (library, extra, purpose)
        super().__init__(f"{purpose} needs {library}: pip install 'flowgrad[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, ...]]:
        return MissingDependencyError, self.arguments


class NonFiniteError(FlowgradError, ArithmeticError):
    """A loss or gradient in training is infinite or NaN.

    The message names the origin, such as a neuron, input or target. `fit` adds the epoch, the step, and the batch
    or that it was in validation.
    """


class CheckpointWarning(FlowgradError, UserWarning):
    """A checkpoint could not be written. Training continues; the message gives the epoch of the last complete one."""


class StopTraining(FlowgradError, StopIteration):
    """Exception that a callback or `on_epoch` raises to end training after the current epoch.

    `fit` then returns normally, with "stopped" as the reason in its History.
    """


class FileWarning(FlowgradError, UserWarning):
    """A file was read or written, but part of the data was left out or may have been misread.

    Readers issue it for entries that they ignore, such as a gene listed twice in one set, and for a first row that may
    be a header. Writers issue it for data that the format cannot hold, such as biases in an edge list.

    It is also a `FlowgradError`, so that `except FlowgradError` catches it where warnings are turned into errors.
    """


class BoundedOutputWarning(FlowgradError, UserWarning):
    """The loss takes logits, but an output's activation is bounded, so that no probability can come near 0 or 1."""


WIDTH = 80
"""Largest number of characters of a value or a name in a message."""
LISTED = 240
"""Approximate maximum length of a list of names in a message; similar names are not searched for longer names."""
MANY = 50_000
"""Largest number of valid names among which a similar one is searched for."""


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
    """Return the repr of a value for an error message, shortened in the middle to at most `WIDTH` characters.

    >>> brief("tanh"), brief(range(3)), len(brief(["a name"] * 100_000)) <= WIDTH
    ("'tanh'", 'range(0, 3)', True)
    """
    said = _brief.repr(value)
    return said if len(said) <= WIDTH else f"{said[: WIDTH // 2]}…{said[1 - WIDTH // 2 :]}"


def show(value: object) -> str:
    """Return a name for an error message: a short printable word as it is, anything else as `brief` does."""
    plain = isinstance(value, str) and value and len(value) < WIDTH and value.isprintable()
    if plain and not any(c in str(value) for c in " ,→'\""):
        return str(value)
    return brief(value)


def listing(values: Iterable[object], limit: int = 10) -> str:
    """Return values as a list for an error message, such as `a, b, c … (12 more)`.

    At most `limit` values are shown, and fewer if they are long.

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
    """Return the end of an error message about an unknown name: a suggestion, or the list of valid names.

    Candidates for the suggestion are, in this order: valid names that differ from `name` only in case, `_`, `-` or
    spaces; valid names that have `name` as an alias; the most similar valid name. Without a candidate the valid names
    are listed; without valid names the result is empty.

    Args:
        name: the unknown name.
        valid: valid names; above `MANY` names, no similar name is searched for.
        aliases: alias, as `folded` returns it → names for which it stands; names that are not in `valid` are ignored.

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
    """Return a name in a form that ignores case, spaces, `_` and `-`, to compare spellings.

    >>> folded("Leaky-ReLU"), folded("leaky_relu")
    ('leakyrelu', 'leakyrelu')
    """
    said = name if isinstance(name, str) else brief(name)
    return said.casefold().replace("_", "").replace("-", "").replace(" ", "") or said
