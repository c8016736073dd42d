"""Connect flowgrad to PyTorch: the executor "torch", and conversions between networks and torch modules.

Importing this package does not import torch; the first access to one of its names does.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["GraphModule", "TorchExecutor", "from_sequential", "to_torch"]

_HOME = {"GraphModule": "module", "TorchExecutor": "executor", "from_sequential": "sequential", "to_torch": "plain"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'flowgrad_torch' has no attribute {name!r}")
    return getattr(import_module(f"flowgrad_torch.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
