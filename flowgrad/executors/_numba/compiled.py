"""Kernels from Python to machine code by Numba, and kept on disk: the next process loads what this one compiled.

`kernel` makes one of a function, `inner` makes a function that kernels call. The cache has one file for a kernel, the
types of its arguments and a processor, in the folder NUMBA_CACHE_DIR or in the user's cache folder, never beside the
package. The file begins with a checksum of its content, of Numba's version and of the code of this package and of
`flowgrad.maths` as they are loaded: what is stale or damaged is compiled again and overwritten. A cache that cannot be
read or written changes nothing but the time.

A first compilation loads Numba's registries, 0.5 s; code from the disk runs without them. Each of the two wrappers by
which Python and C call a function takes Numba 30 ms and 0.3 MB, so every function has those that it needs alone.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numba
from llvmlite import binding as llvm
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys
from numba.core.serialize import dumps, loads
from numba.misc.appdirs import AppDirs

from flowgrad.executors._numba.digests import digest, stamp
from flowgrad.executors._numba.pipeline import InlineCompiler, KernelCompiler
from flowgrad.locks import reentrant_lock

Function = Callable[..., Any]

lock = reentrant_lock(awaited=True)
"""Whoever compiles holds it."""
PACKAGES = ("flowgrad.executors._numba", "flowgrad.maths")
"""Packages whose code decides what a kernel does, with all of their modules."""
OPTIONS = {"nopython": True, "nogil": True, "error_model": "numpy"}
INNER = {**OPTIONS, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}
CHECKSUM = hashlib.sha256().digest_size

_uncompiled: list[Function] = []


def kernel(py_func: Function) -> Any:
    """Return Numba's dispatcher of a function: without the GIL, with NumPy's division by zero, cached on disk.

    It is compiled by a call, by `entry` or by `address`, for the types of the arguments. `.py_func` is the function.
    """
    return py_func if config.DISABLE_JIT else _cached(py_func, "no_cfunc_wrapper")


def inner(py_func: Function) -> Any:
    """Return a dispatcher, as `kernel` does, of a function that kernels call: kept in their files, without an entry.

    Called by Python, it runs uncompiled.
    """
    return py_func if config.DISABLE_JIT else _Inner(py_func, targetoptions=INNER)


def inline(py_func: Function) -> Any:
    """Return a dispatcher as `inner` does, whose code stands wherever a kernel calls it."""
    if config.DISABLE_JIT:
        return py_func
    return _Inner(py_func, targetoptions={**INNER, "forceinline": True}, pipeline_class=InlineCompiler)


def entry(dispatcher: Any, *types: Any) -> Any:
    """Return a kernel compiled for arguments of exactly these Numba types; called, it looks at no argument's type."""
    if config.DISABLE_JIT:
        return dispatcher
    with lock:
        return dispatcher.compile(types)


def address(dispatcher: Any, *types: Any) -> int:
    """Return the address by which C calls a kernel, compiled for int64 and float64 arguments of these Numba types.

    The code stays there for as long as the process lives.
    """
    if config.DISABLE_JIT:
        _uncompiled.append(partial(dispatcher, types[0].spec()))
        return len(_uncompiled)
    return _address(dispatcher.py_func, types)


def uncompiled(place: int) -> Function:
    """Return what `address` gave this for an address, where NUMBA_DISABLE_JIT leaves all functions as they are."""
    return _uncompiled[place - 1]


@cache
def _address(py_func: Function, types: tuple[Any, ...]) -> int:
    of_c = _of_c(py_func)
    entry(of_c, *types)
    result = of_c.overloads[types]  # which the dispatcher, and so this cache, keeps alive
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name))


@cache
def _of_c(py_func: Function) -> Any:
    return _cached(py_func, "no_cpython_wrapper")


def _cached(py_func: Function, without: str) -> Any:
    dispatcher = CPUDispatcher(py_func, targetoptions={**OPTIONS, without: True}, pipeline_class=KernelCompiler)
    dispatcher._cache = DiskCache(py_func, without)
    return dispatcher


class _Inner(CPUDispatcher):  # type: ignore[misc]
    """A dispatcher whose compiled functions have no wrapper by which Python could call them."""

    def add_overload(self, cres: Any) -> None:
        """Keep a result for kernels; the table that Python's calls look into stays empty."""
        if cres.entry_point is None:  # of which callers need no more than that it is a key of its own
            cres = cres._replace(entry_point=object())
            cres.target_context.insert_user_function(cres.entry_point, cres.fndesc, [cres.library])
        self.overloads[tuple(cres.signature.args)] = cres

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        return self.py_func


class DiskCache(NullCache):  # type: ignore[misc]
    """What one function was compiled to, a file for the types of its arguments.

    Args:
        form: distinguishes dispatchers of one function.
    """

    def __init__(self, py_func: Function, form: str) -> None:
        self._function, self._form = py_func, form

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was compiled for a signature; None where the disk does not have it."""
        path = self._path(sig, target_context)
        if path is None:
            return None
        try:
            content = path.read_bytes()
            if content[:CHECKSUM] != self._checksum(content[CHECKSUM:]):
                return None
            known, symbols, reduced = loads(content[CHECKSUM:])
            if known != sig:
                return None
            if not _provided(symbols, target_context):
                return None
            return CompileResultCacheImpl.rebuild(None, target_context, reduced)
        except Exception:  # whatever reading and unpacking may raise: it is compiled again
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, but not where it holds addresses of this process.

        Nor where it calls what no other process has: of functions in a cycle Numba links one alone.
        """
        path = self._path(sig, data.target_context)
        if path is None or data.library.has_dynamic_globals:
            return
        try:
            reduced = data._replace(type_annotation="")._reduce()  # Numba makes the annotation of the source
            symbols = _symbols(data.library)
            if not all(map(llvm.address_of_symbol, symbols)):
                return
            content = dumps((sig, symbols, reduced))
            _write(path, self._checksum(content) + content)
        except Exception:  # a full disk, or a constant that cannot be written: what is compiled is of use without
            return

    def _path(self, sig: Any, target_context: Any) -> Path | None:
        place = folder()
        if place is None:
            return None
        f = self._function
        machine = (target_context.codegen().magic_tuple(), sys.implementation.cache_tag)
        key = repr((f.__module__, f.__qualname__, self._form, sig, machine))
        return place / f"{f.__name__.strip('<>')}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.nbc"

    def _checksum(self, content: bytes) -> bytes:
        code = f"{numba.__version__} {package_stamp()} {digest(self._function)} "
        return hashlib.sha256(code.encode() + content).digest()


def folder() -> Path | None:
    """Return the folder of this installation's files; None where the user has no cache folder.

    An upgrade, of this package or of Numba, overwrites the files; other installations have folders of their own.
    """
    base = config.CACHE_DIR or AppDirs(appname="numba", appauthor=False).user_cache_dir
    if not config.CACHE_DIR and not os.path.isabs(base):
        return None
    installation = hashlib.sha256(os.path.dirname(__file__).encode()).hexdigest()[:16]
    return Path(base) / "flowgrad" / installation


@cache
def package_stamp() -> str:
    """Return a digest of what is loaded of the packages in `PACKAGES`; modules that are not are loaded for it."""
    packages = [import_module(name) for name in PACKAGES]
    names = [f"{package.__name__}.{info.name}" for package in packages for info in iter_modules(package.__path__)]
    return stamp((*packages, *map(import_module, names)))


def _symbols(library: Any) -> list[str]:
    """List the names of what a compiled library takes from elsewhere."""
    module = library._final_module
    values = (*module.functions, *module.global_variables)
    return [each.name for each in values if each.is_declaration and not each.name.startswith("llvm.")]


def _provided(symbols: Iterable[str], target_context: Any) -> bool:
    """Load as much of Numba as gives every symbol an address: nothing, its runtime, or all of its registries.

    Whether all have one then: code that calls what has none ends the process.
    """
    for load in (rtsys.initialize, type(target_context).refresh):
        if all(map(llvm.address_of_symbol, symbols)):
            return True
        load(target_context)
    return all(map(llvm.address_of_symbol, symbols))


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place whole: who reads meanwhile has the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
