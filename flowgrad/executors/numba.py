"""Numba executor: machine code compiled once for all graphs; bit-identical results for any number of threads.

Numba is imported when the first network is compiled; the kernels are in `_numba/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowgrad.errors import ExecutorError
from flowgrad.executor import Answer, ExecutorInfo, Kernel, Request
from flowgrad.plan import lower
from flowgrad.registry import is_own

if TYPE_CHECKING:
    from flowgrad.network import Network


class NumbaExecutor:
    """Executor whose kernels are compiled by Numba."""

    info = ExecutorInfo(
        "numba",
        "machine code compiled once for every graph; threads, float32 and float64",
        needs=("numba",),
        install="pip install numba",
        dropout=True,
        auto=20,
    )

    def can_run(self, network: Network, request: Request) -> Answer:
        """Return True, or the reason why a user's own function cannot be compiled by Numba."""
        c, loss = network.columns, request.loss
        kinds = (("activations", c.activations), ("aggregations", c.aggregations), ("losses", (loss,) if loss else ()))
        if all(is_own(kind, each) for kind, used in kinds for each in used):
            return True
        from flowgrad.executors._numba.kernel import check_functions

        try:
            check_functions(c.activations, c.aggregations, loss)
        except ExecutorError as error:
            return str(error)
        return True

    def compile(self, network: Network, request: Request) -> Kernel:
        from flowgrad.executors._numba.kernel import NumbaKernel

        return NumbaKernel(lower(network), request)


entry = NumbaExecutor()
