"""Kernels on disk: found by the next process, never stale, and of no harm where the disk is."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import float64, int64, njit
from numba.core import config

import flowgrad
from flowgrad.executors._numba import compiled
from flowgrad.executors._numba.compiled import address, entry, folder, inline, inner, kernel
from flowgrad.executors._numba.digests import _Modules
from flowgrad.executors._numba.pipeline import USELESS

PACKAGE = Path(flowgrad.__file__).parent


def added(x: float, y: float) -> float:
    return x + 2.0 * y


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for the test."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


def hits(py_func: Callable[..., Any] = added) -> int:
    """Run a function by a dispatcher that has compiled nothing yet; whether it was on disk."""
    fresh = kernel(py_func)
    assert fresh(1.0, 3.0) == py_func(1.0, 3.0)
    return sum(fresh.stats.cache_hits.values())


def test_what_was_compiled_is_found_again(place: Path) -> None:
    assert [hits(), hits(), hits()] == [0, 1, 1]
    assert len(files(place)) == 1


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def removed(path: Path) -> None:
    shutil.rmtree(path.parent)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [garbage, truncated, empty, flipped, removed, a_folder])
def test_a_damaged_file_is_compiled_again(place: Path, damage: Callable[[Path], None]) -> None:
    hits()
    (path,) = files(place)
    damage(path)
    assert hits() == 0
    assert hits() == (damage is not a_folder)  # which is not ours to remove
    assert not list(place.rglob("*.tmp"))


def test_a_file_of_another_signature_is_not_taken(place: Path) -> None:
    one, two = kernel(added), kernel(added)
    one(1.0, 3.0)
    (first,) = files(place)
    one(1, 3.0)
    (second,) = set(files(place)) - {first}
    second.write_bytes(first.read_bytes())
    assert two(1, 3.0) == 7.0
    assert not two.stats.cache_hits


def test_a_folder_that_cannot_be_made_is_done_without(place: Path) -> None:
    place.write_text("a file in its place")
    assert [hits(), hits()] == [0, 0]


def test_a_full_disk_is_done_without(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert [hits(), hits()] == [0, 0]
    assert not files(place)


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", "")
    place = folder()
    assert place is not None
    assert place.is_absolute()
    assert not place.is_relative_to(PACKAGE)
    monkeypatch.setattr(compiled, "AppDirs", lambda **_: types.SimpleNamespace(user_cache_dir="~/.cache/numba"))
    assert folder() is None
    assert [hits(), hits()] == [0, 0]


SIZES = np.arange(100_000.0)


def test_what_holds_addresses_of_its_process_is_not_kept(place: Path) -> None:
    """Without a warning, too: those are errors here."""

    def looked_up(x: float, y: float) -> float:
        return SIZES[int(x)] + y

    table = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(lambda x: 2.0 * x)

    def asked(x: float, y: float) -> float:
        return table(x) + y

    assert hits(asked) == hits(asked) == 0
    assert not files(place)
    assert hits(looked_up) == 0


def test_an_upgrade_overwrites(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hits()
    before = files(place)
    for name, value in (("numba.__version__", "0.0"), (f"{compiled.__name__}.package_stamp", lambda: "another")):
        monkeypatch.setattr(name, value)
        assert [hits(), hits()] == [0, 1]
    assert files(place) == before


@inner
def doubled(x: float) -> float:
    return 2.0 * x


def of_doubled(x: float, y: float) -> float:
    return doubled(x) + y


def test_inner_functions_are_in_the_files_of_kernels(place: Path) -> None:
    fresh = kernel(of_doubled)
    assert fresh(1.0, 3.0) == 5.0
    assert len(files(place)) == 1
    assert [doubled(1.0), kernel(of_doubled).py_func(1.0, 3.0)] == [2.0, 5.0]  # uncompiled


@inline
def tripled(x: float) -> float:
    return 3.0 * x


@inline
def summed(x: float, n: int) -> float:
    total = 0.0
    for _ in range(n):
        total += tripled(x)
    return total


def of_summed(x: float, n: int) -> float:
    return summed(x, n) + tripled(x)


def of_tripled(x: float, n: int) -> float:
    return tripled(x) - n


def test_inlined_functions_have_no_machine_code_of_their_own(place: Path) -> None:
    """Compiled once, they stand in every kernel that calls them, also where the next process reads it."""
    for f, wanted in ((of_summed, 15.0), (of_tripled, -1.0)):
        assert [kernel(f)(1.0, 4), kernel(f)(1.0, 4)] == [wanted, wanted]
    assert len(files(place)) == 2
    for f in (tripled, summed):
        (result,) = f.overloads.values()
        assert result.library.get_pointer_to_function(result.fndesc.llvm_func_name) == 0


def passes(dispatcher: Any) -> set[str]:
    """Names of the passes by which Numba has compiled a function."""
    (result,) = dispatcher.overloads.values()
    (times,) = result.metadata["pipeline_times"].values()
    return {name.partition("_")[2] for name in times}


def test_the_passes_that_kernels_do_without_are_numbas(place: Path) -> None:
    ours, theirs = kernel(added), njit(added)
    assert ours(1.0, 3.0) == theirs(1.0, 3.0) == 7.0
    assert passes(theirs) - passes(ours) == USELESS


def called_by_address(x: float, k: int) -> float:
    return x * k


def test_an_address_is_called_as_c_calls(place: Path) -> None:
    dispatcher = kernel(called_by_address)
    of_c = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)
    assert of_c(address(dispatcher, float64, int64))(1.5, 4) == 6.0
    assert entry(dispatcher, float64, int64)(1.5, 4) == 6.0
    assert len(files(place)) == 2
    compiled._of_c.cache_clear()
    before = {path: path.stat().st_mtime_ns for path in files(place)}
    assert of_c(address(kernel(called_by_address), float64, int64))(1.5, 4) == 6.0
    assert {path: path.stat().st_mtime_ns for path in files(place)} == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_children_compile_while_another_thread_does(place: Path) -> None:
    stop = threading.Event()

    def compile() -> None:
        while not stop.is_set():
            shutil.rmtree(place, ignore_errors=True)
            hits()

    thread = threading.Thread(target=compile)
    thread.start()
    try:
        for _ in range(6):
            child = os.fork()
            if not child:
                try:
                    hits(called_by_address)
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()


def test_the_stamp_sees_all_functions_of_the_packages() -> None:
    """One that no name leads to, as a second `def _`, could be edited unseen: give it a name of its own."""
    compiled.package_stamp()
    modules = [
        module
        for name, module in sys.modules.items()
        if f"{name}.".startswith(tuple(f"{p}." for p in compiled.PACKAGES))
    ]
    walk = _Modules()
    walk.of(modules)
    seen = {code for each in walk.found if isinstance(each, types.FunctionType) for code in within(each.__code__)}
    for module in modules:
        top = compile(Path(module.__file__).read_text(), module.__file__, "exec", dont_inherit=True)
        assert not [code for code in functions_of(top) if code not in seen], module.__name__


def within(code: types.CodeType) -> set[types.CodeType]:
    inside = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return {code}.union(*map(within, inside))


COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")  # which run when the module is imported


def functions_of(code: types.CodeType) -> list[types.CodeType]:
    """Functions of a module and of its classes; not those inside functions, which are constants of these."""
    inside = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    functions = [each for each in inside if each.co_flags & 1 and each.co_name not in COMPREHENSIONS]
    return functions + [each for one in inside if not one.co_flags & 1 for each in functions_of(one)]
