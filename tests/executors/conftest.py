"""What tests of executors share."""

from __future__ import annotations

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
