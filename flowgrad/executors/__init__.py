"""Executors, one file each; the file's name is the name the user types, its `entry` the executor.

The package shares its name with the public function `flowgrad.executors()`, and importing it would hide that
function. So the package can be called too, and both spellings give the same answer, whichever came first.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Literal


class _CallablePackage(ModuleType):
    def __call__(self) -> dict[str, Literal[True] | str]:
        from flowgrad.choice import executors

        return executors()


sys.modules[__name__].__class__ = _CallablePackage
