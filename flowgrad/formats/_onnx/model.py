"""Build a model to be written: its nodes and constants, and the activations as operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flowgrad.errors import GraphError, MissingDependencyError
from flowgrad.formats._onnx.assembly import Array

OPSET, IR = 20, 9  # Gelu is an operator since 20; read by ONNX 1.15 and onnxruntime 1.17, both of early 2024
LARGEST = 2_000_000_000  # maximal bytes of numbers; a protobuf message is limited to 2 GiB


class Model:
    """Collect nodes and constants; every tensor of floats is of `dtype`."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        try:
            import onnx
        except ImportError:
            raise MissingDependencyError("onnx", "onnx", "writing an ONNX model") from None
        self.onnx, self.dtype, self.prefix = onnx, dtype, ""
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.known: dict[tuple[Any, ...], str] = {}
        self.bytes = 0

    @property
    def wide(self) -> bool:
        """Tell whether `dtype` is float64, for which onnxruntime has fewer operators."""
        return self.dtype == np.float64

    def name(self, kind: str) -> str:
        return f"{self.prefix}{kind}_{len(self.nodes) + len(self.initializers)}"

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; return the name of its first output."""
        name = self.name(kind)
        outs = [name, *(f"{name}_{k}" for k in range(1, outputs))]
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, outs, name, **attributes))
        return name

    def weights(self, values: Array, kind: str) -> str:
        """Add an initializer of floats, weights or biases; return its name.

        Raises:
            GraphError: more numbers than a file of ONNX holds.
        """
        return self._initializer(values.astype(self.dtype), kind)

    def whole(self, values: Any) -> str:
        """Add an initializer of integers; return its name. Equal arrays are added once."""
        array = np.asarray(values, np.int64)
        key = ("whole", array.shape, array.tobytes())
        if key not in self.known:
            self.known[key] = self._initializer(array, "index")
        return self.known[key]

    def _initializer(self, array: Array, kind: str) -> str:
        self.bytes += array.nbytes
        if self.bytes > LARGEST:
            raise GraphError(f"more than {LARGEST:,} bytes of numbers: an ONNX file ends there")
        name = self.name(kind)
        self.initializers.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def fixed(self, values: Any) -> str:
        """Add a Constant node of floats, which are no parameters; return its name. Equal arrays are added once."""
        array = np.asarray(values, self.dtype)
        key = ("fixed", array.shape, array.tobytes())
        if key not in self.known:
            self.known[key] = self.op("Constant", value=self.onnx.numpy_helper.from_array(array))
        return self.known[key]

    # ---- short compositions of operators --------------------------------------------------------------------

    def times(self, z: str, factor: float) -> str:
        return self.op("Mul", z, self.fixed(factor))

    def plus(self, z: str, term: float) -> str:
        return self.op("Add", z, self.fixed(term))

    def clip(self, z: str, limit: float) -> str:
        return self.op("Clip", z, self.fixed(-limit), self.fixed(limit))

    def squared(self, z: str) -> str:
        return self.op("Mul", z, z)

    def expm1_below_0(self, z: str) -> str:
        """Write e^min(z, 0) − 1."""
        return self.plus(self.op("Exp", self.op("Min", z, self.fixed(0.0))), -1.0)

    # ---- activations that onnxruntime lacks in float64, where they are composed of others -------------------

    def leaky_relu(self, z: str) -> str:
        return self.op("Max", z, self.times(z, 0.01)) if self.wide else self.op("LeakyRelu", z, alpha=0.01)

    def elu(self, z: str) -> str:
        return self.op("Add", self.op("Relu", z), self.expm1_below_0(z)) if self.wide else self.op("Elu", z)

    def selu(self, z: str) -> str:
        if not self.wide:
            return self.op("Selu", z)
        low = self.times(self.expm1_below_0(z), 1.6732632423543772)
        return self.times(self.op("Add", self.op("Relu", z), low), 1.0507009873554805)

    def softplus(self, z: str) -> str:
        if not self.wide:
            return self.op("Softplus", z)
        small = self.op("Exp", self.op("Neg", self.op("Abs", z)))
        return self.op("Add", self.op("Relu", z), self.op("Log", self.plus(small, 1.0)))

    def softsign(self, z: str) -> str:
        return self.op("Div", z, self.plus(self.op("Abs", z), 1.0)) if self.wide else self.op("Softsign", z)

    def mish(self, z: str) -> str:
        return self.op("Mul", z, self.op("Tanh", self.softplus(z))) if self.wide else self.op("Mish", z)

    def hard_sigmoid(self, z: str) -> str:
        if not self.wide:
            return self.op("HardSigmoid", z, alpha=1 / 6, beta=0.5)
        return self.op("Clip", self.plus(self.times(z, 1 / 6), 0.5), self.fixed(0.0), self.fixed(1.0))

    def inverse_or_0(self, z: str) -> str:
        """Write 1/z, and 0 at z = 0: 1/(z + o) − o with o = 1 − |sign z|."""
        o = self.plus(self.op("Neg", self.op("Abs", self.op("Sign", z))), 1.0)
        return self.op("Sub", self.op("Reciprocal", self.op("Add", z, o)), o)


def _one(kind: str) -> Callable[[Model, str], str]:
    return lambda m, z: m.op(kind, z)


ACTIVATIONS: Mapping[str, Callable[[Model, str], str]] = {
    "identity": lambda _, z: z,
    "sigmoid": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "relu": _one("Relu"),
    "leaky_relu": Model.leaky_relu,
    "elu": Model.elu,
    "selu": Model.selu,
    "celu": Model.elu,
    "softplus": Model.softplus,
    "softsign": Model.softsign,
    "gelu": _one("Gelu"),
    "silu": lambda m, z: m.op("Mul", z, m.op("Sigmoid", z)),
    "mish": Model.mish,
    "hard_sigmoid": Model.hard_sigmoid,
    "hard_tanh": lambda m, z: m.clip(z, 1.0),
    "arctan": _one("Atan"),
    "erf": _one("Erf"),
    "sin": _one("Sin"),
    "cos": _one("Cos"),
    "gaussian": lambda m, z: m.op("Exp", m.op("Neg", m.squared(z))),
    "step": lambda m, z: m.op("Relu", m.op("Sign", z)),
    "sign": _one("Sign"),
    "abs": _one("Abs"),
    "square": Model.squared,
    "cube": lambda m, z: m.op("Mul", m.squared(z), z),
    "exp": _one("Exp"),
    "log": _one("Log"),
    "sqrt": _one("Sqrt"),
    "reciprocal": _one("Reciprocal"),
    "neat-sigmoid": lambda m, z: m.op("Sigmoid", m.clip(m.times(z, 5.0), 60.0)),
    "neat-tanh": lambda m, z: m.op("Tanh", m.times(z, 2.5)),
    "neat-sin": lambda m, z: m.op("Sin", m.clip(m.times(z, 5.0), 60.0)),
    "neat-gauss": lambda m, z: m.op("Exp", m.times(m.squared(m.clip(z, 3.4)), -5.0)),
    "neat-lelu": lambda m, z: m.op("Max", z, m.times(z, 0.005)),
    "neat-softplus": lambda m, z: m.times(m.softplus(m.clip(m.times(z, 5.0), 60.0)), 0.2),
    "neat-inv": Model.inverse_or_0,
    "neat-log": lambda m, z: m.op("Log", m.op("Max", z, m.fixed(1e-7))),
    "neat-exp": lambda m, z: m.op("Exp", m.clip(z, 60.0)),
    "neat-hat": lambda m, z: m.op("Relu", m.plus(m.op("Neg", m.op("Abs", z)), 1.0)),
    "wann-sin": lambda m, z: m.op("Sin", m.times(z, np.pi)),
    "wann-cos": lambda m, z: m.op("Cos", m.times(z, np.pi)),
    "wann-gaussian": lambda m, z: m.op("Exp", m.times(m.squared(z), -0.5)),
    "wann-inverse": _one("Neg"),
}


def _reduced(kind: str) -> Callable[[Model, str, int], str]:
    return lambda m, t, _: m.op(kind, t, m.whole([2]), keepdims=0)


def _guarded(aggregation: Callable[[Model, str, int], str]) -> Callable[[Model, str, int], str]:
    """Propagate NaN, which onnxruntime's comparisons ignore: add √(−1) = NaN where an entry is NaN, else √(−0) = −0."""

    def written(m: Model, t: str, n: int) -> str:
        odd = m.op("Cast", m.op("IsNaN", t), to=m.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(m.dtype)))
        any_odd = m.op("ReduceMax", odd, m.whole([2]), keepdims=0)
        return m.op("Add", aggregation(m, t, n), m.op("Sqrt", m.op("Neg", any_odd)))

    return written


def _max_abs(m: Model, t: str, _: int) -> str:
    """Write the first entry of largest magnitude, with its sign."""
    winner = m.op("ArgMax", m.op("Abs", t), axis=2, keepdims=1)
    return m.op("Squeeze", m.op("GatherElements", t, winner, axis=2), m.whole([2]))


def _median(m: Model, t: str, n: int) -> str:
    """Write the median of n entries: of the n // 2 + 1 smallest, sorted, the last, or the mean of the last two."""
    low = m.op("TopK", t, m.whole([n // 2 + 1]), outputs=2, axis=2, largest=0, sorted=1)
    middle = m.op("Slice", low, m.whole([n // 2 - 1 + n % 2]), m.whole([n // 2 + 1]), m.whole([2]))
    return m.op("ReduceMean", middle, m.whole([2]), keepdims=0)


AGGREGATIONS: Mapping[str, Callable[[Model, str, int], str]] = {
    "sum": _reduced("ReduceSum"),
    "mean": _reduced("ReduceMean"),
    "product": _reduced("ReduceProd"),
    "max": _guarded(_reduced("ReduceMax")),
    "min": _guarded(_reduced("ReduceMin")),
    "max_abs": _guarded(_max_abs),
    "median": _guarded(_median),
}
"""Aggregation → function that writes it: (model, name of the terms (N, n, K), K) → name of the result (N, n)."""
