"""Define the executor "torch": torch operators on the CPU or on a CUDA device. Importing it does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowgrad.executor import Answer, ExecutorInfo, Request
from flowgrad.plan import lower
from flowgrad_torch.table import ACTIVATIONS

if TYPE_CHECKING:
    from flowgrad.network import Network
    from flowgrad_torch.kernel import TorchKernel

AGGREGATIONS = "sum mean product max min median max_abs"

INFO = ExecutorInfo(
    "torch",
    "torch operators, level by level, on the CPU or a CUDA device",
    needs=("torch",),
    install="pip install flowgrad-torch",
    devices=("cpu", "cuda"),
    activations=frozenset(ACTIVATIONS),
    aggregations=frozenset(AGGREGATIONS.split()),
    custom_functions=False,
    dropout=True,
    deterministic=False,
    protocol=2,
)


def info() -> ExecutorInfo:
    """Return the capabilities of the executor "torch", without importing torch."""
    return INFO


class TorchExecutor:
    """Compute networks with torch operators on one device.

    The name "torch" stands for an executor on the CPU. For another device, pass `TorchExecutor("cuda")` or
    `TorchExecutor("cuda:1")` itself to `flowgrad.compile`. Arguments and results of the program are NumPy arrays.

    Args:
        device: name of a torch device, "cpu", "cuda" or "cuda:N".

    >>> TorchExecutor("cuda:1")
    TorchExecutor('cuda:1')
    """

    info = INFO

    def __init__(self, device: str = "cpu") -> None:
        self.device = str(device)

    def can_run(self, network: Network, request: Request) -> Answer:
        """Return True, or the reason for refusal: the device is unavailable, or `threads` differs from torch's."""
        import torch

        kind = self.device.partition(":")[0]
        if kind not in INFO.devices:
            return f"device {self.device!r} is not among its {', '.join(INFO.devices)}"
        if kind == "cuda" and not torch.cuda.is_available():
            return f"device {self.device!r}: this torch ({torch.__version__}) finds no CUDA device"
        set_to = torch.get_num_threads()
        if request.threads not in (None, set_to):
            return (
                f"threads={request.threads}: torch has one number for the whole process, now {set_to}; "
                f"call torch.set_num_threads({request.threads}), or leave threads=None"
            )
        return True

    def compile(self, network: Network, request: Request) -> TorchKernel:
        """Lower the network to tensors on the device and build its kernel."""
        from flowgrad_torch.kernel import TorchKernel

        return TorchKernel(lower(network), request, self.device)

    def __repr__(self) -> str:
        return f"TorchExecutor({self.device!r})"


entry = TorchExecutor()
