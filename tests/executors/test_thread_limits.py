"""The number of threads that a call may use where its user names none. `docs/threads.md` lists the limits."""

from __future__ import annotations

import math
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from flowgrad.executors._numba import threads


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 processors where nobody has limited anything."""
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.delitem(sys.modules, "numba.np.ufunc.parallel", raising=False)
    monkeypatch.setattr(threads, "_processors", lambda: 64)
    monkeypatch.setattr(threads, "_quota", lambda: math.inf)


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    ("said", "want"), [("3", 3), ("64", 64), ("500", 64), ("1", 1), ("0", 1), ("-2", 1), ("", 64), ("many", 64)]
)
def test_the_environment_limits(said: str, want: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", said)
    assert threads.available() == want


@pytest.mark.usefixtures("unlimited")
def test_what_numba_was_told_limits_once_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace(config=SimpleNamespace(NUMBA_NUM_THREADS=7)))
    assert threads.available() == 7
    parallel = SimpleNamespace(_is_initialized=False, get_num_threads=lambda: 5)
    monkeypatch.setitem(sys.modules, "numba.np.ufunc.parallel", parallel)
    assert threads.available() == 7  # to ask would start its threads
    parallel._is_initialized = True
    assert threads.available() == 5
    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace())  # while another thread imports it
    assert threads.available() == 5


QUOTAS: dict[str, tuple[str, dict[str, str], float]] = {
    "version 2": ("0::/a/b", {"a/b/cpu.max": "300000 100000"}, 3),
    "version 2, a part of a CPU": ("0::/a", {"a/cpu.max": "150000 100000"}, 1.5),
    "version 2, no limit": ("0::/a", {"a/cpu.max": "max 100000"}, math.inf),
    "version 2, an outer group's": ("0::/a/b", {"a/b/cpu.max": "800000 100000", "a/cpu.max": "200000 100000"}, 2),
    "version 2, in a container": ("0::/", {"cpu.max": "400000 100000"}, 4),
    "version 2, in a container by the host's path": ("0::/docker/abc", {"cpu.max": "400000 100000"}, 4),
    "version 2, above the namespace": ("0::/../../x", {"cpu.max": "400000 100000"}, 4),
    "version 1": (
        "4:memory:/m\n3:cpu,cpuacct:/a\n0::/a",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "500000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
        5,
    ),
    "version 1, an outer group's": (
        "1:cpu:/a/b",
        {
            "cpu/a/b/cpu.cfs_quota_us": "-1",
            "cpu/a/b/cpu.cfs_period_us": "100000",
            "cpu/a/cpu.cfs_quota_us": "100000",
            "cpu/a/cpu.cfs_period_us": "50000",
        },
        2,
    ),
    "version 1, no limit": ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
    "both": (
        "1:cpu:/\n0::/u",
        {
            "cpu/cpu.cfs_quota_us": "600000",
            "cpu/cpu.cfs_period_us": "100000",
            "unified/u/cpu.max": "500000 100000",
        },
        5,
    ),
    "another group's": ("1:cpuset:/a\n", {"cpuset/a/cpu.max": "100000 100000"}, math.inf),
    "nonsense": ("0::/a", {"a/cpu.max": "", "cpu.max": "1 0"}, math.inf),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_a_quota_of_cgroups_limits(name: str, tmp_path: Path) -> None:
    groups, files, want = QUOTAS[name]
    for place, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert threads._quota(tmp_path) == want


def test_no_cgroups_are_no_limit(tmp_path: Path) -> None:
    assert threads._quota(tmp_path) == math.inf


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(("quota", "want"), [(0.2, 1), (1.0, 1), (1.5, 2), (3.0, 3), (100.0, 64)])
def test_a_part_of_a_cpu_is_a_thread(quota: float, want: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_quota", lambda: quota)
    assert threads.available() == want


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_the_affinity_of_the_thread_limits() -> None:
    found: list[int] = []

    def pinned() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of this thread alone
        found.append(threads.available())

    thread = threading.Thread(target=pinned)
    thread.start()
    thread.join()
    assert found == [1]


def test_python_is_asked_for_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert threads._processors() == 5
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 4}, raising=False)
    assert threads._processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads._processors() == 1
