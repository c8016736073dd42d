"""Test executors: conformance checks, their oracle, random networks, and the installation of a package from its wheel.

Run the checks by `parametrize_with_executor` in pytest, by `conformance` in other Python code, and by
`flowgrad conformance NAME` on the command line.
"""

from __future__ import annotations

from flowgrad.testing.conformance import Report, battery, conformance, parametrize_with_executor
from flowgrad.testing.wheels import installed

__all__ = ["Report", "battery", "conformance", "installed", "parametrize_with_executor"]
