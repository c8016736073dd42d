"""For authors of executors: the conformance kit, the oracle it asks, random networks, and a package from its wheel.

`parametrize_with_executor` for pytest, `conformance` for anything else, `flowgrad conformance NAME` for a shell.
"""

from __future__ import annotations

from flowgrad.testing.conformance import Report, battery, conformance, parametrize_with_executor
from flowgrad.testing.wheels import installed

__all__ = ["Report", "battery", "conformance", "installed", "parametrize_with_executor"]
