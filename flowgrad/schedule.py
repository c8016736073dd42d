"""Deprecated alias of `flowgrad.schedules`; importing it gives a DeprecationWarning."""

from __future__ import annotations

import warnings

from flowgrad.schedules import Schedule, constant, cosine, entries, exponential, schedule_for, step, warmup

__all__ = ["Schedule", "constant", "cosine", "entries", "exponential", "schedule_for", "step", "warmup"]

warnings.warn("flowgrad.schedule is called flowgrad.schedules now", DeprecationWarning, stacklevel=2)
