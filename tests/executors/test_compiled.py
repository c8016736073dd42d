"""Kernels on disk: found by the next process, never stale, and of no harm where the disk is."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import types
import zipfile
from collections.abc import Callable
from compileall import compile_dir
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


PROBE = """
    from numba.extending import intrinsic
    from numba import float64
    from flowgrad.executors._numba.compiled import inner, kernel
    from flowgrad.executors._numba.formula import called
    from flowgrad.maths.probe import shifted

    FACTOR = 2.0
    f = called("f")

    @inner
    def part(x):
        return 10.0 * x

    @kernel
    def scaled(spec, x):
        return FACTOR * f(spec, x)

    @kernel
    def parted(spec, x):
        return part(f(spec, x))
"""
SCRIPT = """
    import sys
    import numpy as np
    from flowgrad.executors._numba import probe
    from flowgrad.executors._numba.compiled import folder
    from flowgrad.executors._numba.formula import formula
    from flowgrad.executors._numba.spec import Spec
    from flowgrad.maths.probe import shifted
    from of_user import own

    if "wait" in sys.argv:
        print("ready", flush=True)
        sys.stdin.readline()
    ours, theirs = (Spec(np.dtype(float), 1, f=formula(each)) for each in (shifted, own))
    print(probe.scaled(ours, 1.0), probe.parted(theirs, 1.0))
    print(sum(sum(k.stats.cache_hits.values()) for k in (probe.scaled, probe.parted)))
"""
IN_THE_PACKAGE = {
    "flowgrad/executors/_numba/probe.py": PROBE,
    "flowgrad/maths/probe.py": "def shifted(x):\n    return x + 1.0\n",
}
OF_THE_USER = {"of_user.py": "def own(x):\n    return 3.0 * x\n", "run.py": SCRIPT}


class Installation:
    """A copy of the package in a folder, a user's files in another, and a cache in a third."""

    def __init__(self, place: Path) -> None:
        self.site, self.user, self.cache = place / "site", place / "user", place / "cache"
        leave_out = shutil.ignore_patterns("__pycache__", "viewer", "cli", "formats", "testing", "benchmarks")
        shutil.copytree(PACKAGE, self.site / "flowgrad", ignore=leave_out)
        self.user.mkdir()
        for root, texts in ((self.site, IN_THE_PACKAGE), (self.user, OF_THE_USER)):
            for name, text in texts.items():
                (root / name).write_text(textwrap.dedent(text))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        env = {**os.environ, "NUMBA_CACHE_DIR": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1"}
        env["PYTHONPATH"] = os.pathsep.join([str(self.site), str(self.user)])
        run = [sys.executable, "-W", "error", str(self.user / "run.py"), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(run, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=self.user)

    def results(self) -> tuple[list[float], int]:
        """What the kernels gave in a process of its own, and how many of them the disk had."""
        return self.told(self.start())

    def told(self, process: subprocess.Popen[str]) -> tuple[list[float], int]:
        said, error = process.communicate("\n", timeout=120)
        assert process.returncode == 0, error
        numbers, found = said.splitlines()[-2:]
        return list(map(float, numbers.split())), int(found)

    def edit(self, path: Path, old: str, new: str) -> None:
        """Edit a file so that neither its size nor its time tells."""
        before, text = path.stat(), path.read_text()
        assert text.count(old) == 1
        assert len(old) == len(new)
        path.write_text(text.replace(old, new))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_processes_that_start_at_once_and_edits_that_neither_size_nor_time_tells(
    installation: Installation, request: pytest.FixtureRequest
) -> None:
    """They fill one cache; the next process hits; an edit gives new numbers, and only what it is of is compiled."""
    package = installation.site / "flowgrad"
    started = [installation.start("wait") for _ in range(4 if request.config.getoption("--soak") else 2)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [installation.told(process)[0] for process in started] == [[4.0, 30.0]] * len(started)
    assert len(files(installation.cache)) == 2
    installation.edit(installation.user / "of_user.py", "3.0", "5.0")
    assert installation.results() == ([4.0, 50.0], 1)
    installation.edit(package / "maths" / "probe.py", "1.0", "6.0")
    installation.edit(package / "executors" / "_numba" / "probe.py", "10.0 * x", "20.0 * x")
    installation.edit(package / "executors" / "_numba" / "probe.py", "FACTOR = 2.0", "FACTOR = 3.0")
    assert installation.results() == ([21.0, 100.0], 0)


def zipped(site: Path) -> None:
    with zipfile.ZipFile(site.with_suffix(".zip"), "w") as archive:
        for path in site.rglob("*"):
            archive.write(path, path.relative_to(site))
    shutil.rmtree(site)
    site.with_suffix(".zip").rename(site)


def read_only_without_sources(site: Path) -> None:
    assert compile_dir(site, quiet=2, legacy=True)
    for path in site.rglob("*.py"):
        path.unlink()
    for path in (site, *site.rglob("*")):
        path.chmod(0o555)


@pytest.mark.parametrize("kind", [zipped, read_only_without_sources])
def test_every_kind_of_installation_hits_on_its_second_start(
    installation: Installation, kind: Callable[[Path], None]
) -> None:
    kind(installation.site)
    before = {path: path.stat().st_mtime_ns for path in files(installation.site.parent)}
    assert installation.results() == ([4.0, 30.0], 0)
    assert installation.results() == ([4.0, 30.0], 2)
    after = {path: path.stat().st_mtime_ns for path in files(installation.site.parent)}
    assert {path: time for path, time in after.items() if installation.cache not in path.parents} == before


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
