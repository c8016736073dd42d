"""What tests of executors share."""

from __future__ import annotations

import pytest


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """How the battery runs: by its smallest cases, and whole in a nightly run."""
    return not request.config.getoption("--soak")
