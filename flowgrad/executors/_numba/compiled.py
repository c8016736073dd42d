"""Kernels from Python to machine code by Numba, which is kept on disk: the next process loads what this one compiled.

A kernel is a function of a module, decorated with `kernel`. The cache has one file for a kernel, the types of its arguments
and a processor, in the folder NUMBA_CACHE_DIR or in the user's cache folder, never beside the package. The file begins with a
checksum of its content, of Numba's version and of the code of this package and of `flowgrad.maths` as they are loaded: what is
stale or damaged is compiled again and overwritten. A cache that cannot be read or written changes nothing but the time.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FunctionType
from typing import Any

import numba
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, _Cache
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps, loads
from numba.misc.appdirs import AppDirs

from flowgrad.executors._numba.digests import digest, stamp
from flowgrad.locks import reentrant_lock

lock = reentrant_lock(awaited=True)
"""Whoever compiles holds it."""
PACKAGES = ("flowgrad.executors._numba", "flowgrad.maths")
"""Packages whose code decides what a kernel does; each of their modules counts."""
CHECKSUM = hashlib.sha256().digest_size

_addressed: list[Any] = []


def kernel(py_func: Callable[..., Any]) -> Any:
    """Return Numba's dispatcher of a function, which releases the GIL, divides as NumPy does, and is cached on disk.

    It is compiled when first called, or by `entry` or `address`, for the types of its arguments. `.py_func` is the
    function itself.
    """
    options = {"nopython": True, "nogil": True, "error_model": "numpy", "boundscheck": None}
    dispatcher = CPUDispatcher(py_func, targetoptions=options)
    dispatcher._cache = DiskCache(py_func)
    return dispatcher


def entry(dispatcher: Any, *types: Any) -> Any:
    """Return the compiled function for arguments of exactly these Numba types: called, it looks at none of them."""
    with lock:
        return dispatcher.compile(types)


def address(dispatcher: Any, *types: Any) -> int:
    """Return the address of the compiled function as C calls it, for arguments of these Numba types.

    Arguments are int64 and float64. The code stays where it is as long as the process lives.
    """
    entry(dispatcher, *types)
    result = dispatcher.overloads[types]
    _addressed.append(result)
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name))


class DiskCache(_Cache):  # type: ignore[misc]
    """What one function was compiled to, a file for the types of its arguments."""

    def __init__(self, py_func: Callable[..., Any]) -> None:
        self._function = py_func
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        """The folder, or None where there is none."""
        place = folder()
        return None if place is None else str(place)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Do nothing: what is stale is overwritten."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was compiled for a signature; None where that is not to be had."""
        target_context.refresh()
        try:
            path = self._path(sig, target_context)
            content = path.read_bytes() if path and self._enabled else b""
            if content[:CHECKSUM] != self._checksum(content[CHECKSUM:]):
                return None
            known, reduced = loads(content[CHECKSUM:])
            return CompileResultCacheImpl.rebuild(None, target_context, reduced) if known == sig else None
        except Exception:  # of whatever the file holds: it is compiled again
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, unless it holds addresses of this process, or there is no room."""
        if not self._enabled or data.library.has_dynamic_globals or any(not each.can_cache for each in data.lifted):
            return
        try:
            path = self._path(sig, data.target_context)
            if path is not None:
                reduced = data._replace(type_annotation="")._reduce()  # which would be made from the source
                content = dumps((sig, reduced))
                _write(path, self._checksum(content) + content)
        except Exception:  # of a full disk, or of a constant that cannot be written
            return

    def _path(self, sig: Any, target_context: Any) -> Path | None:
        f = self._function
        parts = (
            f.__module__,
            f.__qualname__,
            sig,
            target_context.codegen().magic_tuple(),
            sys.implementation.cache_tag,
        )
        name = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        place = folder()
        return None if place is None else place / f"{f.__name__.strip('<>')}-{name}.nbc"

    def _checksum(self, content: bytes) -> bytes:
        parts = f"{numba.__version__} {package_stamp()} {digest(self._function)} "
        return hashlib.sha256(parts.encode() + content).digest()


@cache
def package_stamp() -> str:
    """Return a digest of all that is loaded of the packages in `PACKAGES`; it loads what is not."""
    packages = [import_module(name) for name in PACKAGES]
    inside = [f"{each.__name__}.{info.name}" for each in packages for info in iter_modules(each.__path__)]
    return stamp((*packages, *map(import_module, inside)))


def folder() -> Path | None:
    """Return the folder of this installation's kernels; None where the user has no folder for caches."""
    base = config.CACHE_DIR or AppDirs(appname="numba", appauthor=False).user_cache_dir
    if not config.CACHE_DIR and not os.path.isabs(base):
        return None
    installed = hashlib.sha256(os.path.dirname(__file__).encode()).hexdigest()[:16]
    return Path(base) / "flowgrad" / installed


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place whole; who reads at the same time gets the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
