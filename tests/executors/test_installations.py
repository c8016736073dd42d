"""Kernels on disk of every kind of installation: found on the second start, and compiled anew after an edit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from compileall import compile_dir
from pathlib import Path

import pytest

import flowgrad

PACKAGE = Path(flowgrad.__file__).parent


def files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


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
