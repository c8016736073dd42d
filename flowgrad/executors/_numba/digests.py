"""Digests of functions (`digest`) and of modules (`stamp`), used in the keys and checksums of compiled code.

No file is read: a digest describes the loaded code objects, without line numbers, file names and functions' docstrings.
Functions of NumPy, Numba and llvmlite are described by name, since Numba compiles its own versions of them: a key that
contains a digest must contain Numba's version, too.
"""

from __future__ import annotations

import enum
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
BY_NAME = frozenset({"numba", "llvmlite", "numpy"})
"""Top-level packages whose functions are described by name."""
STAMPED = "flowgrad.executors._numba"
"""Package that `stamp` describes; `digest` therefore does not follow the globals that its functions read."""
OPTIMIZED = 0x1
"""CO_OPTIMIZED: flag of a function's code object, absent from a module's or a class's."""

_unknown: dict[int, tuple[Any, str]] = {}
"""id → (value, random description) of values known by identity alone; the reference keeps the id from being reused."""


def digest(function: Any) -> str:
    """Return 32 hexadecimal digits, equal for functions with equal code that read equal values.

    They cover bytecode, constants and names, also of nested functions; defaults; closure cells and the globals read:
    numbers, text, tuples, lists, dicts and arrays by value, plain functions and Numba's dispatchers recursively, cycles
    included; modules by name, with those of their attributes that the function may read and Numba compiles or takes
    as constants.

    >>> digest(lambda z: 2.0 * z) == digest(lambda z: 2.0 * z), digest(lambda z: 2.0 * z) == digest(lambda z: 3.0 * z)
    (True, False)
    """
    return _Walk().of([function])


def stamp(modules: Iterable[ModuleType]) -> str:
    """Return 32 hexadecimal digits that describe the contents of modules: functions, classes and constants.

    Constants are numbers, text, tuples, arrays, lists and dicts. Of a list or dict whose name starts with an
    underscore, which may be mutable state, only module-level functions count. The order of imports does not count. A
    function that cannot be reached from a name in its module is not covered.
    """
    return _Modules().of(sorted(modules, key=lambda module: module.__name__))


def names_of(code: CodeType) -> list[str]:
    """List the names that a code object or those nested in it may look up as globals or attributes, each once."""
    inner = (name for each in code.co_consts if isinstance(each, CodeType) for name in names_of(each))
    return list(dict.fromkeys((*code.co_names, *inner)))


class _Walk:
    """Computes one digest. Values that may refer to themselves are numbered when first met, and described once."""

    forms: tuple[str, ...] = ("py_func", "_defn")
    """Attributes in which dispatchers, ufuncs and intrinsics hold the plain function that they wrap."""

    def __init__(self) -> None:
        self.number: dict[int, int] = {}
        self.found: list[Any] = []

    def of(self, roots: Iterable[Any]) -> str:
        hasher = hashlib.sha256("".join(map(self.numbered, roots)).encode())
        for node in self.found:  # `node` appends to this list
            hasher.update(self.node(node).encode())
        return hasher.hexdigest()[:32]

    def numbered(self, value: Any) -> str:
        if id(value) not in self.number:
            self.number[id(value)] = len(self.found)
            self.found.append(value)
        return f"#{self.number[id(value)]};"

    def value(self, value: Any) -> str:
        """Describe a value; by its number if it may refer to itself."""
        kind = type(value)
        if kind in PLAIN:
            return f"{kind.__name__}:{value!r};"
        if isinstance(value, tuple):
            return f"{_name(kind)}({''.join(map(self.value, value))})"
        if isinstance(value, CodeType):
            return self.code(value)
        if isinstance(value, frozenset):
            return f"frozenset({''.join(sorted(map(self.value, value)))})"
        if isinstance(value, slice):
            return f"slice{self.value((value.start, value.stop, value.step))}"
        if isinstance(value, enum.Enum):
            return f"{_name(kind)}.{value.name}={self.value(value.value)}"
        if isinstance(value, np.generic | np.ndarray) and not value.dtype.hasobject:
            return self.array(value)
        if isinstance(value, ModuleType):
            return f"module {value.__name__};"
        if isinstance(value, FunctionType | list | dict | MappingProxyType) or self.inner(value) is not None:
            return self.numbered(value)
        return self.other(value)

    def node(self, node: Any) -> str:
        """Describe the content of a numbered value."""
        if isinstance(node, FunctionType):
            return self.function(node)
        if isinstance(node, list):
            return f"[{''.join(map(self.value, node))}]"
        if isinstance(node, Mapping):
            return f"{{{''.join(map(self.value, node.items()))}}}"
        if (inner := self.inner(node)) is not None:
            options = sorted(getattr(node, "targetoptions", {}).items())
            return f"{_name(type(node))}{options!r}{self.value(inner)}"
        return self.other(node)

    def inner(self, value: Any) -> FunctionType | None:
        """Return the plain function in a dispatcher, a ufunc or an intrinsic of Numba's; None for other values."""
        if isinstance(value, type):
            return None
        value = getattr(value, "_dispatcher", value)
        found = (getattr(value, name, None) for name in self.forms)
        return next((each for each in found if isinstance(each, FunctionType)), None)

    def array(self, value: Any) -> str:
        content = hashlib.sha256(value.tobytes()).hexdigest()
        layout = (value.flags.c_contiguous, value.flags.f_contiguous, value.flags.writeable)
        return f"{_name(type(value))}{value.dtype!r}{value.shape}{layout}{content};"

    def code(self, code: CodeType) -> str:
        constants = code.co_consts
        if constants and isinstance(constants[0], str) and code.co_flags & OPTIMIZED:
            constants = (None, *constants[1:])  # its docstring
        arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        text = f"{code.co_code.hex()} {code.co_exceptiontable.hex()} {arguments} {names}"
        return f"code {text} {''.join(map(self.value, constants))};"

    def function(self, f: FunctionType) -> str:
        module = f.__module__ or ""
        if module.partition(".")[0] in BY_NAME:
            return f"function {_name(f)};"
        parts = [self.code(f.__code__), self.value(f.__defaults__), self.value(f.__kwdefaults__)]
        parts += [self.cell(each) for each in f.__closure__ or ()]
        if not module.startswith(STAMPED):
            parts += map(self.value, self.globals(f))
        return "".join(parts)

    def cell(self, cell: CellType) -> str:
        try:
            return self.value(cell.cell_contents)
        except ValueError:
            return "empty;"

    def globals(self, f: FunctionType) -> list[tuple[Any, ...]]:
        """List (name, value) of the globals that a function may read, and of modules' attributes (see `by_value`)."""
        names = names_of(f.__code__)
        read = [(name, f.__globals__[name]) for name in names if name in f.__globals__]
        modules = [value for _, value in read if isinstance(value, ModuleType)]
        inside = [(name, vars(each)[name]) for each in modules for name in names if name in vars(each)]
        return read + [(name, value) for name, value in inside if self.by_value(value)]

    def by_value(self, value: Any) -> bool:
        """Return whether Numba treats an attribute of a module as a constant, or compiles it."""
        kinds = (*PLAIN, tuple, np.generic, np.ndarray, ModuleType)
        return isinstance(value, kinds) or self.inner(value) is not None

    def other(self, value: Any) -> str:
        """Describe a value of any other type by name, by Numba's pickle of it, or, if that fails, by identity."""
        if isinstance(value, type | BuiltinFunctionType | np.ufunc):
            return f"{_name(type(value))} {_name(value)}{getattr(value, '_fields', '')};"
        if type(value).__module__.startswith("numba.core.types"):
            return f"{_name(type(value))} {value!r};"
        from numba.core.serialize import dumps

        try:
            content = hashlib.sha256(dumps(value)).hexdigest()
        except Exception:  # pickling may raise anything
            content = _unknown.setdefault(id(value), (value, uuid.uuid4().hex))[1]
        return f"{_name(type(value))} {content};"


class _Modules(_Walk):
    """Computes one stamp. The globals of functions are not followed: their modules describe them."""

    forms = ("py_func", "_defn", "__wrapped__", "__func__", "fget", "func")

    def node(self, node: Any) -> str:
        if isinstance(node, ModuleType):
            items = sorted(vars(node).items())
            return f"module {node.__name__} {''.join(self.member(*item) for item in items)};"
        if isinstance(node, type):
            items = sorted(vars(node).items())
            bases = [_name(each) for each in node.__bases__]
            return f"class {_name(node)} {bases} {''.join(self.member(*item) for item in items)};"
        if is_dataclass(node):
            return "".join(f"{each.name}={self.value(getattr(node, each.name))}" for each in fields(node))
        if isinstance(node, dict) and not any(type(key) in PLAIN for key in node):
            # the order of a table of functions depends on the order in which this process imported modules
            node = dict(sorted(node.items(), key=lambda item: _name(item[0])))
        return super().node(node)

    def member(self, name: str, value: Any) -> str:
        """Describe a global or class attribute; of private lists and dicts, and of dunder names, functions alone."""
        if name.startswith("__") and self.inner(value) is None and not isinstance(value, FunctionType):
            return ""
        if name.startswith("_") and isinstance(value, list | dict):
            held = value.values() if isinstance(value, dict) else value
            functions = [
                each for each in held if isinstance(each, FunctionType) and "<locals>" not in each.__qualname__
            ]
            return "".join(map(self.value, functions))
        return f"{name}={self.value(value)}"

    def function(self, f: FunctionType) -> str:
        if not f.__module__.startswith("flowgrad."):
            return f"function {_name(f)};"
        cells = [each.cell_contents for each in f.__closure__ or ()]
        functions = [each for each in cells if isinstance(each, FunctionType) or self.inner(each) is not None]
        return "".join(map(self.value, (f.__code__, f.__defaults__, f.__kwdefaults__, *functions)))

    def other(self, value: Any) -> str:
        if isinstance(value, type) and value.__module__.startswith("flowgrad."):
            return self.numbered(value)
        if is_dataclass(value) and not isinstance(value, type):
            return self.numbered(value)
        if isinstance(value, type | BuiltinFunctionType | np.ufunc):
            return f"{_name(type(value))} {_name(value)};"
        return f"{_name(type(value))};"


def _name(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return f"{getattr(value, '__module__', None)}.{name}"
