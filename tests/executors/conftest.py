"""What tests of executors share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

import flowgrad as fg


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """How the battery runs: by its smallest cases, and whole in a nightly run."""
    return not request.config.getoption("--soak")


@pytest.fixture(scope="session", autouse=True)
def _stamped() -> None:
    """Kernels on disk are of the package as it is: its stamp is taken before a test changes a constant of a module.

    A stamp taken after that would fit no other process, and each would overwrite what the other has compiled.
    """
    if fg.executors()["numba"] is True:
        from flowgrad.executors._numba.compiled import package_stamp

        package_stamp()


@pytest.fixture
def empty_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool of threads without helpers; those that the test starts end with it."""
    from flowgrad.executors._numba import threads

    def leave(_: int) -> None:
        raise SystemExit

    monkeypatch.setattr(threads, "_helpers", {})
    monkeypatch.setattr(threads, "_tasks", SimpleQueue())
    yield
    end = time.monotonic() + 30
    while threads._helpers:
        assert time.monotonic() < end, "a helper is stuck"
        if threads._tasks.empty():
            threads._tasks.put(leave)
        time.sleep(0.001)
