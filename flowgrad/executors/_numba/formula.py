"""Scalar functions in kernels: activations, aggregations, losses, ours or a user's own.

A kernel's `Spec` has a function as `formula(f)` under a role, and the kernel calls it by `called(role)`. The type of
the Spec has a digest of what f computes, so that a kernel is compiled, and kept on disk, for one function: equal ones
share it, and an edited one has its own. f is compiled as it is written, with the plain functions that it calls, as
copies whose globals and closures hold compiled functions where those of the originals hold plain ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import CellType, FunctionType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numba.core import types
from numba.core.dispatcher import Dispatcher
from numba.extending import overload

from flowgrad.errors import ExecutorError, brief
from flowgrad.executors._numba.across import lanes_at, with_lane
from flowgrad.executors._numba.compiled import entry, inner, kernel, lock
from flowgrad.executors._numba.digests import digest, names_of
from flowgrad.executors._numba.simd import lanes_of
from flowgrad.executors._numba.spec import Spec, SpecType, Vector

Function = Callable[..., Any]

NOISE = ("Failed in", "During:", "<source", "This error", "\x1b", "^")
"""Beginnings of lines in Numba's errors that say nothing to the author of a function."""

_known: WeakValueDictionary[str, Formula] = WeakValueDictionary()


class Formula:
    """A function as a Spec has it; `formula` makes it, one for all functions that compute the same."""

    def __init__(self, f: Function, digest: str) -> None:
        self.f, self.digest = f, digest

    def __repr__(self) -> str:
        return f"Formula({brief(self.f)})"

    def __reduce__(self) -> Any:
        """Write the digest alone: who reads it, a cache, has the function or does not need it."""
        return _recalled, (self.digest,)

    @cached_property
    def compiled(self) -> Any:
        """Numba's dispatcher of the function.

        Raises:
            ExecutorError: it is no plain Python function.
        """
        return _Copies().compiled(self.f)

    def for_types(self, kinds: tuple[Any, ...]) -> Any:
        """A dispatcher for arguments of these Numba types; of an array without dimensions it gives the one number."""
        compiled = self.compiled
        _, _, kinds, _ = compiled.get_call_template(kinds, {})
        result = compiled.overloads[kinds].signature.return_type
        if isinstance(result, types.Array) and result.ndim == 0:  # as of `numpy.where`
            return inner(lambda *arguments: compiled(*arguments)[()])
        return compiled


def formula(f: Function) -> Formula:
    """Return the one Formula of a function, and of all that compute the same, for as long as somebody holds it."""
    key = digest(f)
    found = _known.get(key)
    return _known.setdefault(key, Formula(f, key)) if found is None else found


def _recalled(digest: str) -> Formula:
    return _known.get(digest) or Formula(_forgotten, digest)


def _forgotten(*_: Any) -> Any:
    raise ExecutorError("of this function only the digest was kept")


def called(role: str) -> Function:
    """The function that calls a spec's formula of a role: g(spec, …) is what the formula gives for the others."""

    def run(spec: Any, *arguments: Any) -> Any:
        return spec.functions[role].f(*arguments)

    by_formula(run, role)
    return run


def by_formula(function: Function, role: str) -> None:
    """Make g(spec, …) a call of the spec's formula in kernels, where it has the role; of rows, lane by lane."""

    def implementation(spec: Any, *arguments: Any) -> Any:
        found = dict(spec.functions).get(role) if isinstance(spec, SpecType) else None
        if found is None:
            return None
        if not any(isinstance(kind, Vector) for kind in arguments):
            plain = found.for_types(arguments)
            return lambda spec, *arguments: plain(*arguments)
        number = found.for_types((types.float64,) * len(arguments))

        def of_rows(spec: Any, *arguments: Any) -> Any:
            row = arguments[0]
            for k in range(lanes_of(spec)):
                row = with_lane(row, k, float(number(*lanes_at(k, *arguments))))
            return row

        return of_rows

    overload(function, strict=False)(implementation)  # which would compare annotations, too


def by_lane(f: Function, *rows: Any) -> Any:
    """What a function gives for each lane of rows."""
    return np.array([float(f(*numbers)) for numbers in zip(*rows, strict=True)])


f = called("f")


@kernel
def number(spec: Any, arguments: Any) -> Any:
    """Return a function's number."""
    return float(f(spec, *arguments))


@kernel
def fill(spec: Any, t: Any, d: Any) -> None:
    """Let a function fill d."""
    f(spec, t, d)


def check(given: Formula, what: str, *kinds: Any) -> None:
    """Raise ExecutorError, whose message begins with `what`, where Numba cannot compile a function for such arguments.

    Args:
        kinds: Numba's types of the arguments: float64, of which the function makes a number; or arrays of float64: of
            one it makes a number, and of two it fills the second.
    """
    spec = Spec(np.dtype(np.float64), 1, f=given).type
    try:
        if len(kinds) == 2 and isinstance(kinds[0], types.Array):
            entry(fill, spec, *kinds)
        else:
            entry(number, spec, types.Tuple(kinds))
    except Exception as error:  # Numba's, and whatever the code that it runs at compile time raises
        raise ExecutorError(f"{what} cannot be compiled by Numba: {reason(_cause(given, kinds, error))}") from error


def reason(error: Exception) -> str:
    """Return the lines of a Numba error that say what is wrong, without those of source."""
    said, source = [], False
    for line in map(str.strip, str(error).splitlines()):
        source = line.startswith('File "') or (source and not line.startswith("^"))
        if line and not source and not line.startswith(NOISE):
            said.append(line)
    return " ".join(said[:3]) or type(error).__name__


def _cause(given: Formula, kinds: tuple[Any, ...], error: Exception) -> Exception:
    """Return the error that the function meets alone, where it meets one: it tells more than that of its caller."""
    try:
        with lock:
            given.compiled.get_call_template(kinds, {})
    except Exception as own:
        return own
    return error


class _Copies:
    """Dispatchers of functions and of all that they call, one for each, so that cycles end."""

    def __init__(self) -> None:
        self.made: dict[FunctionType, Any] = {}

    def compiled(self, f: Any) -> Any:
        """Return a dispatcher of a function: the user's, where it is one."""
        if isinstance(f, Dispatcher):
            return f
        if f is np.where:
            return CHOOSE
        if not isinstance(f, FunctionType):
            raise ExecutorError(f"{brief(f)} is no plain Python function")
        return self.made[f] if f in self.made else self.copied(f)

    def copied(self, f: FunctionType) -> Any:
        """Return a dispatcher of a copy, whose module is this one: loading it from disk imports no other."""
        scope: dict[str, Any] = {"__builtins__": f.__globals__.get("__builtins__"), "__name__": __name__}
        cells = tuple(CellType() for _ in f.__closure__ or ())
        copy = FunctionType(f.__code__, scope, f.__name__, f.__defaults__, cells)
        copy.__kwdefaults__ = f.__kwdefaults__
        self.made[f] = dispatcher = inner(copy)
        names = set(names_of(f.__code__))
        scope.update({name: self.resolved(value) for name, value in f.__globals__.items() if name in names})
        for mine, theirs in zip(cells, f.__closure__ or (), strict=True):
            mine.cell_contents = self.resolved(theirs.cell_contents)
        return dispatcher

    def resolved(self, value: Any) -> Any:
        """Return what a copy has in place of a global or a closure's value."""
        return self.compiled(value) if isinstance(value, FunctionType) or value is np.where else value


def choose(c: Any, x: Any, y: Any) -> Any:
    """`numpy.where`, where a formula has it as a name of its own: of single numbers a number, which math takes."""
    return np.where(c, x, y)


def overload_choose(c: Any, x: Any, y: Any) -> Any:
    """Choose by a branch where all are numbers."""
    if any(isinstance(each, types.Array) for each in (c, x, y)):
        return lambda c, x, y: np.where(c, x, y)
    return lambda c, x, y: x if c else y


overload(choose, strict=False)(overload_choose)


CHOOSE = inner(lambda c, x, y: choose(c, x, y))
