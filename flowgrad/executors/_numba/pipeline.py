"""Numba compilers for kernels, without passes that they do not need, and for inlined functions, without machine code.

Numba optimises every function and makes machine code of it. For a function that is inlined into its callers this is
skipped: its LLVM IR stays as lowered, and is optimised together with each kernel that it is linked into.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

USELESS = frozenset(
    {"with_lifting", "inline_closure_likes", "dead_branch_prune", "inline_overloads", "nopython_rewrites"}
)
"""Names of Numba's passes for constructs that no kernel contains (`with` blocks, closures, overloads to be inlined,
array expressions), and of the one that prunes dead branches, which LLVM does later."""


class KernelCompiler(CompilerBase):  # type: ignore[misc]  # numba has no types
    """Numba's compiler without the passes in `USELESS`."""

    def define_pipelines(self) -> list[Any]:
        """Return a list of one pipeline: Numba's nopython pipeline without these passes."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [each for each in passes.passes if each[0].name() not in USELESS]
        passes.finalize()
        return [passes]


class InlineCompiler(KernelCompiler):
    """Compiler of inlined functions; its results have no machine code, and their `entry_point` is None."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.flags.no_compile = True
        self.state.library = _Linked(self.state.targetctx.codegen(), "inline")


class _Linked(JITCodeLibrary):  # type: ignore[misc]  # numba has no types
    """A code library that stays unoptimised IR, for other libraries to link in."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True
