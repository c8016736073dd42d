"""Test executors: the conformance kit, its oracle, random networks, and the installation of a package from its wheel.

`parametrize_with_executor` for pytest, `conformance` for anything else, `flowgrad conformance NAME` for a shell.
"""

from __future__ import annotations

from flowgrad.testing.conformance import Report, battery, conformance, parametrize_with_executor
from flowgrad.testing.wheels import installed

__all__ = ["Report", "battery", "conformance", "installed", "parametrize_with_executor"]
