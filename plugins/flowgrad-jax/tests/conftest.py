"""XLA compiles a function for nearly every test, without its optimizations: in three quarters of the time."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # before jax is imported
