"""Workspace: the memory of one call, kept for the next one. As many exist as calls ever ran at once."""

from __future__ import annotations

import ctypes
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.code import Code
from flowgrad.executors._numba.frame import FRAME, WORK
from flowgrad.executors._numba.memory import LINE

PLACE = {name: k for k, name in enumerate(FRAME.names or ())}
"""Which word of a frame a field is: all have eight bytes."""
_OPERANDS = struct.Struct("=3q 3q3q3q qd 3q")
"""What differs from call to call, from `theta` to `grad_theta`."""
_THETA, _CHUNKS = 8 * PLACE["theta"], PLACE["chunks"]


def _by_interface(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _by_structure(array: npt.NDArray[Any]) -> int:
    """NumPy's PyArrayObject is Python's head of an object, the pointer to the data, and more."""
    return ctypes.c_void_p.from_address(id(array) + object.__basicsize__).value or 0


_PROBES = (np.zeros(3), np.zeros((4, 4), np.int8)[1:, 2:])
address = _by_structure if all(_by_structure(a) == _by_interface(a) for a in _PROBES) else _by_interface
"""Where an array's data stand; ten times quicker than by its interface, where this Python's objects are as expected."""
ABSENT = (0, 0, 0)


class Phase(NamedTuple):
    """A function, how many items it has, what is done meanwhile, and where words say of each item that it is done."""

    function: int
    items: int
    meanwhile: int = 0
    words: int = 0


Phases = tuple[Phase | None, ...]
"""None stands for one that is not needed."""


def samples(array: npt.NDArray[Any]) -> tuple[int, int, int]:
    """An array of samples: where it is, and its steps in bytes."""
    step, next = array.strides
    return address(array), step, next


class Workspace:
    """A frame, the threads' records, and buffers that grow and never shrink, for kernels of one dtype and tile.

    `use` is what the frame was last filled for: a call of the same kind sets only its operands. `parameters` is where
    w and b are gathered, `gradients` where ∂L/∂w and ∂L/∂b stand before they become ∂L/∂θ; `threads` is how many ran
    it last, 0 if that was for long.
    """

    def __init__(self, code: Code, static: npt.NDArray[np.int64], slots: int) -> None:
        self.code = code
        self._memory = static.copy()
        self.frame: Any = memoryview(self._memory.data)
        self.works = np.zeros(slots, WORK)
        stop, loss = np.zeros(1, np.int64), np.zeros(8)
        self.stop: Any = memoryview(stop.data)
        self.loss: Any = memoryview(loss.data)
        self.use: Any = None
        self.parameters = self.gradients = (0, 0)
        self.threads = 0
        self._phases = np.zeros((len(Phase._fields), 8), np.int64)
        self._buffers: dict[str, npt.NDArray[np.uint8]] = {}
        self.address = address(self._memory)
        self.set(
            works=address(self.works),
            stop=address(stop),
            chunk_loss=address(loss),
            **{f"phase_{name}": address(row) for name, row in zip(Phase._fields, self._phases, strict=True)},
        )

    def set(self, **values: int) -> None:
        """Fields of the frame."""
        for name, value in values.items():
            self.frame[PLACE[name]] = value

    def set_operands(
        self,
        parameters: tuple[int, int, int],
        x: tuple[int, int, int] = ABSENT,
        t: tuple[int, int, int] = ABSENT,
        y: tuple[int, int, int] = ABSENT,
        sample_weight: int = 0,
        scale: float = 1.0,
        gradients: tuple[int, int, int] = ABSENT,
    ) -> None:
        """Addresses of θ, w and b; of samples with their steps, see `samples`; of ∂L/∂w, ∂L/∂b and ∂L/∂θ."""
        _OPERANDS.pack_into(self.frame, _THETA, *parameters, *x, *t, *y, sample_weight, scale, *gradients)

    def get(self, name: str) -> int:
        """A field of the frame."""
        return int(self.frame[PLACE[name]])

    def summed_loss(self) -> float:
        """The chunks' losses added in their order."""
        total = 0.0
        for chunk in range(self.frame[_CHUNKS]):
            total += self.loss[chunk]
        return total

    def run(self, *phases: Phase | None, again: Phases = (), rounds: int = 1, then: Phases = ()) -> None:
        """What to run: phases, others so many times, and others again."""
        first, middle, last = ([p for p in some if p is not None] for some in (phases, again, then))
        wanted = first + middle + last
        self._phases[:, : len(wanted)] = np.array(wanted, np.int64).T
        again_to = len(first) + len(middle)
        self.set(phases=len(wanted), again_from=len(first), again_to=again_to, rounds=rounds)

    def room(self, name: str, size: int) -> int:
        """The address of `size` bytes under that name, on a cache line; zeros when they are new."""
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size + LINE:
            buffer = self._buffers[name] = np.zeros(size + LINE, np.uint8)
        return -(-address(buffer) // LINE) * LINE
