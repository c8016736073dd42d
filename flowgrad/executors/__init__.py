"""Executors, one module each: the module's name is the executor's public name, its `entry` the executor.

The package has the same name as the public function `flowgrad.executors()`, and importing it replaces that function.
So the package is callable and returns the same result, whichever of the two the name refers to.
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
