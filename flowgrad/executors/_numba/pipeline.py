"""How Numba compiles kernels: by its own passes less those of no use here, without code of functions that are inlined.

Numba makes a library of optimised machine code of every function. One whose code stands in that of its callers needs
none: it stays the IR that it was lowered to, and is optimised where it is linked into a kernel.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

USELESS = frozenset(
    {"with_lifting", "inline_closure_likes", "dead_branch_prune", "inline_overloads", "nopython_rewrites"}
)
"""Numba's passes, by name, for what no kernel has: `with`, closures, overloads to inline, expressions of arrays; and
that which removes branches, as LLVM does later."""


class KernelCompiler(CompilerBase):  # type: ignore[misc]  # numba has no types
    """Numba's compiler less the passes that are `USELESS`."""

    def define_pipelines(self) -> list[Any]:
        """Return the one pipeline that a function runs through."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [each for each in passes.passes if each[0].name() not in USELESS]
        passes.finalize()
        return [passes]


class InlineCompiler(KernelCompiler):
    """Compiler of functions that are inlined; what it gives has no machine code, and `entry_point` None."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.flags.no_compile = True
        self.state.library = _Linked(self.state.targetctx.codegen(), "inline")


class _Linked(JITCodeLibrary):  # type: ignore[misc]  # numba has no types
    """IR that other libraries take in as it is."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True
