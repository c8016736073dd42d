"""For authors of executors: the conformance kit, the oracle it asks, and random networks.

`parametrize_with_executor` for pytest, `conformance` for anything else, `flowgrad conformance NAME` for a shell.
"""

from __future__ import annotations

from flowgrad.testing.conformance import Report, battery, conformance, parametrize_with_executor

__all__ = ["Report", "battery", "conformance", "parametrize_with_executor"]
