"""Compilation of kernels by Numba, and a disk cache from which later processes load the machine code.

`kernel` marks a function that Python or C calls, `inner` one that kernels call. The cache has one file per kernel,
argument types, processor and Python version, in NUMBA_CACHE_DIR or in the user's cache folder, never in the package's.
A file begins with a checksum of its content, Numba's version and the loaded code of the kernel, of this package and of
`flowgrad.maths`; a stale or damaged file is compiled again and overwritten. A cache that cannot be read or written
costs time only.

The first compilation of a process loads Numba's registries, which takes 0.5 s; cached code runs without them. Numba's
wrappers for calls from Python and from C cost 30 ms and 0.3 MB each, so a function gets only those it needs.
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
"""Held while `entry` compiles or loads a kernel. A fork waits until no other thread holds it (`flowgrad.locks`)."""
PACKAGES = ("flowgrad.executors._numba", "flowgrad.maths")
"""Packages whose modules determine the machine code of kernels: `package_stamp` is a digest of them."""
OPTIONS = {"nopython": True, "nogil": True, "error_model": "numpy"}
INNER = {**OPTIONS, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}
CHECKSUM = hashlib.sha256().digest_size

_uncompiled: list[Function] = []


def kernel(py_func: Function) -> Any:
    """Return a Numba dispatcher of a function: cached on disk, releases the GIL, raises nothing on division by zero.

    A call, `entry` or `address` compiles it for their arguments' types. `.py_func` is the function.
    """
    return py_func if config.DISABLE_JIT else _cached(py_func, "no_cfunc_wrapper")


def inner(py_func: Function) -> Any:
    """Return a dispatcher of a function that kernels call; its machine code is part of their files, without wrappers.

    A call from Python runs the plain function, uncompiled.
    """
    return py_func if config.DISABLE_JIT else _Inner(py_func, targetoptions=INNER)


def inline(py_func: Function) -> Any:
    """Return a dispatcher as `inner` does, of a function that LLVM inlines at every call."""
    if config.DISABLE_JIT:
        return py_func
    return _Inner(py_func, targetoptions={**INNER, "forceinline": True}, pipeline_class=InlineCompiler)


def entry(dispatcher: Any, *types: Any) -> Any:
    """Compile a kernel for exactly these Numba types and return its entry point, which does no dispatch on types."""
    if config.DISABLE_JIT:
        return dispatcher
    with lock:
        return dispatcher.compile(types)


def address(dispatcher: Any, *types: Any) -> int:
    """Compile a kernel and return the address of its wrapper for calls from C, valid until the process ends.

    The first of the Numba types is a Spec's, for which C passes a pointer that is not read; others: int64 or float64.
    """
    if config.DISABLE_JIT:
        _uncompiled.append(partial(dispatcher, types[0].spec()))
        return len(_uncompiled)
    return _address(dispatcher.py_func, types)


def uncompiled(place: int) -> Function:
    """Return the Python function, its Spec bound, for an "address" of `address` under NUMBA_DISABLE_JIT."""
    return _uncompiled[place - 1]


@cache
def _address(py_func: Function, types: tuple[Any, ...]) -> int:
    of_c = _of_c(py_func)
    entry(of_c, *types)
    result = of_c.overloads[types]  # kept alive by the dispatcher, which the cache of `_of_c` holds
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name))


@cache
def _of_c(py_func: Function) -> Any:
    return _cached(py_func, "no_cpython_wrapper")


def _cached(py_func: Function, without: str) -> Any:
    dispatcher = CPUDispatcher(py_func, targetoptions={**OPTIONS, without: True}, pipeline_class=KernelCompiler)
    dispatcher._cache = DiskCache(py_func, without)
    return dispatcher


class _Inner(CPUDispatcher):  # type: ignore[misc]  # numba has no types
    """A dispatcher whose compiled functions have no wrapper for calls from Python."""

    def add_overload(self, cres: Any) -> None:
        """Register a compiled function for kernels only, not in the C table that dispatches calls from Python."""
        if cres.entry_point is None:  # of inlined functions; Numba needs any object as the key of its target context
            cres = cres._replace(entry_point=object())
            cres.target_context.insert_user_function(cres.entry_point, cres.fndesc, [cres.library])
        self.overloads[tuple(cres.signature.args)] = cres

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        return self.py_func


class DiskCache(NullCache):  # type: ignore[misc]  # numba has no types
    """Disk cache of one function's compilations, with a file per signature; in place of Numba's own cache.

    Args:
        form: distinguishes dispatchers of one function; the name of the wrapper that is left out.
    """

    def __init__(self, py_func: Function, form: str) -> None:
        self._function, self._form = py_func, form

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the cached result for a signature; None if there is no file, or it is stale, damaged or unusable."""
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
        except Exception:  # reading and unpickling may raise anything: the kernel is compiled again
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the result for a signature to disk, unless it contains addresses of this process.

        Nor is it written if a symbol has no address: of mutually recursive functions Numba links only one.
        """
        path = self._path(sig, data.target_context)
        if path is None or data.library.has_dynamic_globals:
            return
        try:
            reduced = data._replace(type_annotation="")._reduce()  # formatting it would read the source file
            symbols = _symbols(data.library)
            if not all(map(llvm.address_of_symbol, symbols)):
                return
            content = dumps((sig, symbols, reduced))
            _write(path, self._checksum(content) + content)
        except Exception:  # a full disk, or a constant that cannot be pickled: the compiled code works without a file
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
    """Return the folder of this installation's files; None if the user has no cache folder.

    After an upgrade of this package or of Numba files are overwritten. Each installation path has its own folder.
    """
    base = config.CACHE_DIR or AppDirs(appname="numba", appauthor=False).user_cache_dir
    if not config.CACHE_DIR and not os.path.isabs(base):
        return None
    installation = hashlib.sha256(os.path.dirname(__file__).encode()).hexdigest()[:16]
    return Path(base) / "flowgrad" / installation


@cache
def package_stamp() -> str:
    """Return a digest of the code of all modules in `PACKAGES`; those not yet loaded are imported."""
    packages = [import_module(name) for name in PACKAGES]
    names = [f"{package.__name__}.{info.name}" for package in packages for info in iter_modules(package.__path__)]
    return stamp((*packages, *map(import_module, names)))


def _symbols(library: Any) -> list[str]:
    """List the external symbols of a compiled library, without LLVM's intrinsics."""
    module = library._final_module
    values = (*module.functions, *module.global_variables)
    return [each.name for each in values if each.is_declaration and not each.name.startswith("llvm.")]


def _provided(symbols: Iterable[str], target_context: Any) -> bool:
    """Load no more of Numba than gives every symbol an address: nothing, its runtime, or all of its registries.

    Return whether all have one: a call of a symbol without address would crash the process.
    """
    for load in (rtsys.initialize, type(target_context).refresh):
        if all(map(llvm.address_of_symbol, symbols)):
            return True
        load(target_context)
    return all(map(llvm.address_of_symbol, symbols))


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically: concurrent readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
