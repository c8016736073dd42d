"""Define the executor "jax". Importing this module does not import JAX."""

from __future__ import annotations

from flowgrad.errors import brief
from flowgrad.executor import Answer, Kernel, Request
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad_jax import info


class JaxExecutor:
    """Compile networks for JAX's default device."""

    info = info()

    def can_run(self, network: Network, request: Request) -> Answer:
        """Return True, or the reason for refusal: `threads` is not None, or an activation has no expression."""
        if request.threads is not None:
            return f"threads={request.threads}: XLA has one number for the whole process; leave threads=None"
        opaque = [sigma.name for sigma in network.columns.activations if sigma.expression is None]
        return f"activation {brief(opaque[0])} has no expression that JAX could trace" if opaque else True

    def compile(self, network: Network, request: Request) -> Kernel:
        """Lower the network to arrays and build its kernel."""
        from flowgrad_jax.kernel import JaxKernel

        return JaxKernel(lower(network), request)


entry = JaxExecutor()
