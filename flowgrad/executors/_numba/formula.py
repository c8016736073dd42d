"""Functions that are no kernels, as values that kernels take: activations, aggregations, losses, ours or a user's own.

A kernel has a parameter for a function and calls `apply(function, z)`; the argument is `formula(f)`. Its Numba type has
a digest of what f computes, so that a kernel is compiled, and kept on disk, for one function: equal ones share it, and
an edited one has its own. f is compiled as it is written, with the plain functions that it calls, as copies whose
globals and closures hold compiled functions where those of the originals hold plain ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from inspect import Parameter
from types import CellType, FunctionType
from typing import Any
from weakref import WeakValueDictionary

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    NativeValue,
    lower_builtin,
    models,
    overload,
    register_model,
    typeof_impl,
    unbox,
)

from flowgrad.errors import ExecutorError, brief
from flowgrad.executors._numba.compiled import entry, inner, kernel, lock
from flowgrad.executors._numba.digests import digest, names_of

Function = Callable[..., Any]

FIRST = Parameter("__formula__", Parameter.POSITIONAL_ONLY)
"""The parameter of `apply` before those of the function."""

NOISE = ("Failed in", "During:", "<source", "This error", "\x1b", "^")
"""Beginnings of lines in Numba's errors that say nothing to the author of a function."""

_known: WeakValueDictionary[str, Formula] = WeakValueDictionary()


class Formula:
    """A function as a value that kernels take; `formula` makes it, one for all functions that compute the same."""

    def __init__(self, f: Function, digest: str) -> None:
        self.f, self.digest = f, digest

    def __repr__(self) -> str:
        return f"Formula({brief(self.f)})"

    def __reduce__(self) -> Any:
        """Write the digest alone: who reads it, a cache, has the function or does not need it."""
        return _recalled, (self.digest,)

    @property
    def type(self) -> FormulaType:
        """Its Numba type, for `entry` and `address`."""
        return FormulaType(self.digest)

    @cached_property
    def compiled(self) -> Any:
        """Numba's dispatcher of the function.

        Raises:
            ExecutorError: it is no plain Python function.
        """
        return _Copies().compiled(self.f)

    @cached_property
    def single(self) -> Any:
        """The dispatcher for results that are arrays without dimensions, as of `numpy.where`: their one number."""
        compiled = self.compiled
        return inner(lambda *args: compiled(*args)[()])


def formula(f: Function) -> Formula:
    """Return the one Formula of a function, and of all that compute the same, for as long as somebody holds it."""
    key = digest(f)
    found = _known.get(key)
    return _known.setdefault(key, Formula(f, key)) if found is None else found


def _recalled(digest: str) -> Formula:
    return _known.get(digest) or Formula(_forgotten, digest)


def _forgotten(*_: Any) -> Any:
    raise ExecutorError("of this function only the digest was kept")


def apply(formula: Formula, *args: Any) -> Any:
    """Return what a Formula's function returns for these arguments; kernels call it compiled."""
    return formula.f(*args)


def check(f: Formula, what: str, *types: Any) -> None:
    """Raise ExecutorError, whose message begins with `what`, where Numba cannot compile a function for such arguments.

    Args:
        types: Numba's, of the arguments: float64, of which the function makes a number; or arrays of float64: of one it
            makes a number, and of two it fills the second.
    """
    fills = len(types) == 2 and isinstance(types[0], numba.types.Array)
    try:
        if fills:
            entry(fill, f.type, *types)
        else:
            entry(number, f.type, numba.types.Tuple(types))
    except Exception as error:  # Numba's, and whatever the code that it runs at compile time raises
        raise ExecutorError(f"{what} cannot be compiled by Numba: {reason(_cause(f, types, error))}") from error


def reason(error: Exception) -> str:
    """Return the lines of a Numba error that say what is wrong, without those of source."""
    said, source = [], False
    for line in map(str.strip, str(error).splitlines()):
        source = line.startswith('File "') or (source and not line.startswith("^"))
        if line and not source and not line.startswith(NOISE):
            said.append(line)
    return " ".join(said[:3]) or type(error).__name__


def _cause(f: Formula, types: tuple[Any, ...], error: Exception) -> Exception:
    """Return the error that the function meets alone, where it meets one: it tells more than that of its caller."""
    try:
        with lock:
            f.compiled.get_call_template(types, {})
    except Exception as own:
        return own
    return error


@kernel
def number(formula: Any, args: Any) -> Any:
    """Return a function's number."""
    return float(apply(formula, *args))


@kernel
def fill(formula: Any, t: Any, d: Any) -> None:
    """Let a function fill d."""
    apply(formula, t, d)


class FormulaType(numba.types.Type):  # type: ignore[misc]
    """The Numba type of a Formula: one type for a digest."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(name=f"Formula({digest})")

    @property
    def formula(self) -> Formula:
        """The Formula, which somebody holds."""
        return _known[self.digest]


def typeof_formula(value: Formula, context: Any) -> FormulaType:
    """Return the type of a Formula that is an argument."""
    return value.type


def unbox_formula(typ: Any, value: Any, context: Any) -> Any:
    """Hand nothing over: all is in the type."""
    return NativeValue(context.context.get_dummy_value())


register_model(FormulaType)(models.OpaqueModel)
typeof_impl.register(Formula)(typeof_formula)
unbox(FormulaType)(unbox_formula)


@infer_global(apply)
class TypeApply(AbstractTemplate):  # type: ignore[misc]
    """Types `apply` by compiling the function."""

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature of a call; None where the first argument is no Formula."""
        if not args or not isinstance(args[0], FormulaType):
            return None
        return typed(args[0].formula, args, kws)


def lower_apply(context: Any, builder: Any, call: Any, values: Any) -> Any:
    """Call the compiled function."""
    return lowered(call.args[0].formula, context, builder, call, values)


lower_builtin(apply, FormulaType, numba.types.VarArg(numba.types.Any))(lower_apply)


def typed(f: Formula, args: Any, kws: Any) -> Any:
    """Compile a function for Numba types; return the signature of a call that has one more argument before its own."""
    for dispatcher in (f.compiled, f.single):
        _, pysig, types, _ = dispatcher.get_call_template(args[1:], kws)
        result = dispatcher.overloads[types].signature.return_type
        if not (isinstance(result, numba.types.Array) and result.ndim == 0):
            break
    parameters = [FIRST, *pysig.parameters.values()]
    return signature(result, args[0], *types).replace(pysig=pysig.replace(parameters=parameters))


def lowered(f: Formula, context: Any, builder: Any, call: Any, values: Any) -> Any:
    """Write the LLVM IR of a call that `typed` gave the signature of."""
    results = [dispatcher.overloads.get(call.args[1:]) for dispatcher in (f.compiled, f.single)]
    result = next(each for each in results if each and each.signature.return_type == call.return_type)
    context.add_linking_libs([result.library])
    return context.call_internal(builder, result.fndesc, result.signature, values[1:])


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
    """`numpy.where` of single numbers, too, where a formula has it as a name of its own."""
    return np.where(c, x, y)


def overload_choose(c: Any, x: Any, y: Any) -> Any:
    """Choose by a branch where all are numbers."""
    if any(isinstance(each, numba.types.Array) for each in (c, x, y)):
        return lambda c, x, y: np.where(c, x, y)
    return lambda c, x, y: x if c else y


overload(choose, strict=False)(overload_choose)


CHOOSE = inner(lambda c, x, y: choose(c, x, y))
