"""Scalar Python functions in kernels: activations, aggregations and losses without a vector form, mostly users' own.

A kernel's `Spec` holds a function as `formula(f)` under a role, for example "df"; the kernel calls it by
`called(role)`. The Spec's type contains a digest of f, so kernels are compiled, and cached on disk, per function: equal
functions share a compilation, an edited one gets its own. f and the plain functions that it calls are compiled as
copies, whose globals and closure cells hold dispatchers in place of plain functions.
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
"""Prefixes of lines of Numba's error messages that `reason` leaves out: Numba's internals, not the cause."""

_known: WeakValueDictionary[str, Formula] = WeakValueDictionary()


class Formula:
    """A scalar function and its digest, as held by a Spec; made by `formula`, one instance per digest."""

    def __init__(self, f: Function, digest: str) -> None:
        self.f, self.digest = f, digest

    def __repr__(self) -> str:
        return f"Formula({brief(self.f)})"

    def __reduce__(self) -> Any:
        """Pickle the digest alone; unpickling finds the live instance, else gives one whose function raises."""
        return _recalled, (self.digest,)

    @cached_property
    def compiled(self) -> Any:
        """Numba's dispatcher of the function.

        Raises:
            ExecutorError: the function is neither a plain Python function nor a dispatcher.
        """
        return _Copies().compiled(self.f)

    def for_types(self, kinds: tuple[Any, ...]) -> Any:
        """Return a dispatcher for arguments of these Numba types; it unwraps a 0-dimensional array to a number."""
        compiled = self.compiled
        _, _, kinds, _ = compiled.get_call_template(kinds, {})
        result = compiled.overloads[kinds].signature.return_type
        if isinstance(result, types.Array) and result.ndim == 0:  # as of `numpy.where`
            return inner(lambda *arguments: compiled(*arguments)[()])
        return compiled


def formula(f: Function) -> Formula:
    """Return the Formula of a function; functions with equal digests share it while it is referenced."""
    key = digest(f)
    found = _known.get(key)
    return _known.setdefault(key, Formula(f, key)) if found is None else found


def _recalled(digest: str) -> Formula:
    return _known.get(digest) or Formula(_forgotten, digest)


def _forgotten(*_: Any) -> Any:
    raise ExecutorError("of this function only the digest was kept")


def called(role: str) -> Function:
    """Return a function g for kernels: g(spec, *arguments) calls the Spec's formula of this role."""

    def run(spec: Any, *arguments: Any) -> Any:
        return spec.functions[role].f(*arguments)

    by_formula(run, role)
    return run


def by_formula(function: Function, role: str) -> None:
    """Make function(spec, …) call the Spec's formula of a role in kernels, if it has one; float64 rows lane by lane."""

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

    overload(function, strict=False)(implementation)  # strict mode would compare annotations, too


def by_lane(f: Function, *rows: Any) -> Any:
    """Return f of each lane of NumPy rows, a float64 row: the definition of a formula over rows."""
    return np.array([float(f(*numbers)) for numbers in zip(*rows, strict=True)])


f = called("f")


@kernel
def number(spec: Any, arguments: Any) -> Any:
    """Return f(*arguments) as a float64; compiled by `check` alone."""
    return float(f(spec, *arguments))


@kernel
def fill(spec: Any, t: Any, d: Any) -> None:
    """Call f(t, d), which fills d; compiled by `check` alone."""
    f(spec, t, d)


def check(given: Formula, what: str, *kinds: Any) -> None:
    """Raise ExecutorError, its message beginning with `what`, if Numba cannot compile a function for these types.

    Args:
        kinds: Numba types of the arguments: float64 or one array of float64, for a function that returns a number; two
            arrays of float64, for a function that fills the second.
    """
    spec = Spec(np.dtype(np.float64), 1, f=given).type
    try:
        if len(kinds) == 2 and isinstance(kinds[0], types.Array):
            entry(fill, spec, *kinds)
        else:
            entry(number, spec, types.Tuple(kinds))
    except Exception as error:  # Numba's own errors, and any that code run at compile time raises
        raise ExecutorError(f"{what} cannot be compiled by Numba: {reason(_cause(given, kinds, error))}") from error


def reason(error: Exception) -> str:
    """Return the first three lines of a Numba error that state the cause, without source lines and locations."""
    said, source = [], False
    for line in map(str.strip, str(error).splitlines()):
        source = line.startswith('File "') or (source and not line.startswith("^"))
        if line and not source and not line.startswith(NOISE):
            said.append(line)
    return " ".join(said[:3]) or type(error).__name__


def _cause(given: Formula, kinds: tuple[Any, ...], error: Exception) -> Exception:
    """Return the error of compiling the function by itself, which is clearer than the kernel's; else `error`."""
    try:
        with lock:
            given.compiled.get_call_template(kinds, {})
    except Exception as own:
        return own
    return error


class _Copies:
    """Makes dispatchers of a function and of those that it calls, one for each, so that recursion terminates."""

    def __init__(self) -> None:
        self.made: dict[FunctionType, Any] = {}

    def compiled(self, f: Any) -> Any:
        """Return a dispatcher of a function; a dispatcher is returned unchanged."""
        if isinstance(f, Dispatcher):
            return f
        if f is np.where:
            return CHOOSE
        if not isinstance(f, FunctionType):
            raise ExecutorError(f"{brief(f)} is no plain Python function")
        return self.made[f] if f in self.made else self.copied(f)

    def copied(self, f: FunctionType) -> Any:
        """Return a dispatcher of a copy of f whose module is this one: loading it from disk imports no user module."""
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
        """Return the replacement, in a copy, of the value of a global or a closure cell."""
        return self.compiled(value) if isinstance(value, FunctionType) or value is np.where else value


def choose(c: Any, x: Any, y: Any) -> Any:
    """Replace a `numpy.where` that a formula has as a global or in a closure; of numbers a number, not a 0-d array."""
    return np.where(c, x, y)


def overload_choose(c: Any, x: Any, y: Any) -> Any:
    """Implement `choose` by a branch if all arguments are numbers, else by `numpy.where`."""
    if any(isinstance(each, types.Array) for each in (c, x, y)):
        return lambda c, x, y: np.where(c, x, y)
    return lambda c, x, y: x if c else y


overload(choose, strict=False)(overload_choose)


CHOOSE = inner(lambda c, x, y: choose(c, x, y))
