"""ONNX in: the published models, every operator against ONNX's own evaluator and onnxruntime, what is refused."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import FileError

onnx = pytest.importorskip("onnx", reason="ONNX models are read by the library onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 (after importorskip)
from onnx.reference import ReferenceEvaluator  # noqa: E402 (after importorskip)

TYPES = {np.float64: TensorProto.DOUBLE, np.float32: TensorProto.FLOAT}


def model(nodes: list, inputs: dict, constants: dict | None = None, dtype: Any = np.float64, opset: int = 20) -> Any:
    """A model of nodes (operator, inputs, output, attributes); its output is the last node's."""
    kind = TYPES[dtype]
    made = [
        helper.make_node(op, ins.split(), [out], f"node {k}", **attrs) for k, (op, ins, out, attrs) in enumerate(nodes)
    ]
    given = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    fixed = []
    for name, value in (constants or {}).items():
        array = np.asarray(value)
        fixed.append(numpy_helper.from_array(array if array.dtype.kind == "i" else array.astype(dtype), name))
    out = helper.make_empty_tensor_value_info(made[-1].output[0])
    graph = helper.make_graph(made, "test", given, [out], fixed)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def saved(path: Path, proto: Any) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def by_reference(proto: Any, feeds: dict) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(ReferenceEvaluator(proto).run(None, feeds)[0])


def by_runtime(proto: Any, feeds: dict) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(4)
    return runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]


# ---- published models ---------------------------------------------------------------------------------------

PUBLISHED = ["Linear", "Linear_no_bias", "ReLU", "Sigmoid", "Softmax", "Tanh", "operator_addmm"]


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_stored_outputs_are_reached(data: Path, executor: str, name: str) -> None:
    folder = data / "onnx_backend" / f"test_{name}"
    stored = json.loads((folder / "data.json").read_text())
    arrays = {k: np.array(v["data"]).reshape(v["shape"]) for k, v in stored.items()}
    ins = [arrays[k] for k in sorted(arrays) if k.startswith("input")]
    X = ins[0].reshape(len(ins[0]), -1) if len(ins) == 1 else np.concatenate([v.ravel() for v in ins])[None]
    got = fg.compile(fg.load(folder / "model.onnx"), executor=executor).predict(X)
    np.testing.assert_allclose(got.ravel(), arrays["output_0"].ravel(), rtol=1e-5, atol=1e-6)  # stored as float32


# ---- every operator -----------------------------------------------------------------------------------------

N = "N"  # the open batch axis
ROW = {"x": (N, 6)}
IMAGE = {"x": (N, 2, 6, 5)}
W, B, K = numbers(1, 6, 4), numbers(2, 4), numbers(3, 4, 2, 3, 2)
PLAIN = ["Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "Abs", "Sign", "Exp", "Reciprocal", "Sin", "Cos",
         "Atan", "Identity", "Neg", "LeakyRelu", "Elu", "Selu", "Gelu", "HardSigmoid", "Softmax",
         "LogSoftmax"]  # fmt: skip
MORE = ["ReduceMean", "ReduceMin", "ReduceProd"]
Case = tuple[list, dict, dict]


def one(op: str, ins: str = "x", inputs: dict = ROW, constants: dict | None = None, **attributes: Any) -> Case:
    return [(op, ins, "y", attributes)], inputs, constants or {}


CASES: dict[str, Case] = {
    **{op: one(op) for op in PLAIN},
    "LeakyRelu 0.3": one("LeakyRelu", alpha=0.25),
    "LeakyRelu by 2": one("LeakyRelu", alpha=2.0),
    "Elu 1.5": one("Elu", alpha=1.5),
    "Selu by others": one("Selu", alpha=1.25, gamma=0.75),
    "HardSigmoid by others": one("HardSigmoid", alpha=0.25, beta=0.25),
    "Log, Sqrt": ([("Abs", "x", "a", {}), ("Log", "a", "l", {}), ("Sqrt", "a", "s", {}),
                   ("Add", "l s", "y", {})], ROW, {}),
    "Clip": one("Clip", "x lo hi", constants={"lo": np.array(-0.5), "hi": np.array(0.75)}),
    "Clip to ±1": one("Clip", "x lo hi", constants={"lo": np.array(-1.0), "hi": np.array(1.0)}),
    "Clip from 0": one("Clip", "x lo", constants={"lo": np.array(0.0)}),
    "Add": one("Add", "x b", constants={"b": numbers(4, 6)}),
    "Add itself": one("Add", "x x"),
    "Add a scalar": one("Add", "b x", constants={"b": np.array(0.5)}),
    "Sub": one("Sub", "x b", constants={"b": numbers(4, 1, 6)}),
    "Sub from": one("Sub", "b x", constants={"b": numbers(4, 6)}),
    "Sub itself": one("Sub", "x x"),
    "Mul": one("Mul", "x b", constants={"b": numbers(4, 6)}),
    "Mul itself": one("Mul", "x x"),
    "Div": one("Div", "x b", constants={"b": numbers(4, 6)}),
    "Div into": one("Div", "b x", constants={"b": numbers(4, 6)}),
    "of two inputs": ([("Sub", "a b", "s", {}), ("Mul", "s a", "m", {}), ("Div", "m b", "y", {})],
                      {"a": (N, 3), "b": (N, 3)}, {}),
    "broadcast": ([("Add", "a b", "y", {})], {"a": (N, 1, 3), "b": (N, 2, 1)}, {}),
    "Max, Min": ([("Max", "x c", "m", {}), ("Min", "m x d", "y", {})], ROW, {"c": np.array(0.25), "d": numbers(5, 6)}),
    "Softmax over 1": one("Softmax", inputs={"x": (N, 3, 4)}, axis=1),
    "LogSoftmax over 1": one("LogSoftmax", inputs={"x": (N, 3, 4)}, axis=1),
    "Gemm": one("Gemm", "x W B", constants={"W": W, "B": B}),
    "Gemm, all attributes": one("Gemm", "x W B", constants={"W": W.T, "B": B[:1]}, transB=1, alpha=0.5, beta=-2.0),
    "Gemm without C": one("Gemm", "x W", constants={"W": W}),
    "MatMul": one("MatMul", "x W", constants={"W": W}),
    "MatMul by a vector": one("MatMul", "x W", constants={"W": numbers(4, 6)}),
    "MatMul, from the left": one("MatMul", "W x", inputs={"x": (N, 3, 2)}, constants={"W": numbers(4, 4, 3)}),
    "MatMul of two inputs": ([("MatMul", "a b", "y", {})], {"a": (N, 2, 3), "b": (N, 3, 2)}, {}),
    "Flatten": ([("Flatten", "x", "f", {}), ("MatMul", "f W", "y", {})], {"x": (N, 2, 3)}, {"W": W}),
    "Reshape": ([("Reshape", "x s", "y", {})], ROW, {"s": np.array([-1, 3, 2])}),
    "Reshape, 0": ([("Reshape", "x s", "y", {})], {"x": (N, 3, 4)}, {"s": np.array([0, -1])}),
    "Transpose": one("Transpose", inputs={"x": (N, 2, 3)}, perm=[0, 2, 1]),
    "Squeeze, Unsqueeze": ([("Unsqueeze", "x a", "u", {}), ("Squeeze", "u a", "y", {})], ROW, {"a": np.array([2])}),
    "Concat": ([("Exp", "x", "e", {}), ("Concat", "e x e", "y", {"axis": -1})], ROW, {}),
    "Concat, twice the same": ([("Concat", "x x", "c", {"axis": 1}), ("Softmax", "c", "y", {})], ROW, {}),
    "Slice": one("Slice", "x s e a t", constants={"s": np.array([5]), "e": np.array([-(2**63)]), "a": np.array([1]),
                                                  "t": np.array([-2])}),
    "Slice of the middle": one("Slice", "x a e a", constants={"a": np.array([1]), "e": np.array([-1])}),
    "Gather": one("Gather", "x i", constants={"i": np.array([[0, -1], [2, 2]])}, axis=1),
    "Pad": one("Pad", "x p v", constants={"p": np.array([0, 1, 0, 2]), "v": np.array(1.5)}),
    "Conv": one("Conv", "x K B", IMAGE, {"K": K, "B": B}),
    "Conv, strides and pads": one("Conv", "x K", IMAGE, {"K": K}, strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
    "Conv, groups": one("Conv", "x K B", IMAGE, {"K": K[:, :1], "B": B}, group=2),
    "Conv, same": one("Conv", "x K", IMAGE, {"K": K}, auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv, same below": one("Conv", "x K", IMAGE, {"K": K}, auto_pad="SAME_LOWER"),
    "Conv of a row": one("Conv", "x K", {"x": (N, 2, 7)}, {"K": K[..., 0]}),
    "MaxPool": one("MaxPool", inputs=IMAGE, kernel_shape=[2, 2], strides=[2, 2], pads=[1, 0, 0, 1]),
    "MaxPool, rounded up": one("MaxPool", inputs=IMAGE, kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
    "AveragePool": one("AveragePool", inputs=IMAGE, kernel_shape=[2, 3], pads=[1, 1, 1, 1]),
    "AveragePool, pads counted": one("AveragePool", inputs=IMAGE, kernel_shape=[2, 3], pads=[1, 1, 1, 1],
                                     count_include_pad=1),
    "GlobalAveragePool": one("GlobalAveragePool", inputs=IMAGE),
    "GlobalMaxPool": one("GlobalMaxPool", inputs=IMAGE),
    **{op: one(op, "x a", {"x": (N, 2, 3)}, {"a": np.array([2])}, keepdims=0) for op in ("ReduceSum", "ReduceMax")},
    **{op: one(op, "x a", {"x": (N, 2, 3)}, {"a": np.array([1, 2])}) for op in MORE},
    **{op: one(op) for op in ("HardSwish", "Celu", "ThresholdedRelu")},
    "Gelu by tanh": one("Gelu", approximate="tanh"),
    "Pow": one("Pow", "x p", constants={"p": np.array(3.0)}),
    "PRelu": one("PRelu", "x s", constants={"s": numbers(4, 6)}),
    "LayerNormalization": one("LayerNormalization", "x s b", constants={"s": numbers(4, 6), "b": numbers(5, 6)}),
    "Split": ([("Split", "x n", "y", {"axis": 1})], ROW, {"n": np.array([6])}),
    "Where, Greater": ([("Greater", "x c", "g", {}), ("Where", "g x d", "y", {})], ROW,
                       {"c": np.array(0.25), "d": numbers(4, 6)}),
    "constants are folded": ([("Mul", "W c", "v", {}), ("Transpose", "v", "t", {}),
                              ("Gemm", "x t B", "z", {"transB": 1}), ("Neg", "c", "d", {}),
                              ("Mul", "z d", "y", {})], ROW, {"W": W, "B": B, "c": np.array(0.5)}),
    "a mixture": ([("MatMul", "x W", "m", {}), ("Add", "m B", "z", {}), ("Relu", "z", "h", {}), ("Add", "h z", "r", {}),
                   ("Concat", "r x", "k", {"axis": 1}), ("Softmax", "k", "y", {})], ROW, {"W": W, "B": B}),
}  # fmt: skip


ROUNDED = ("Gelu by tanh", "LeakyRelu", "Selu", "HardSigmoid", "Gelu", "HardSwish", "LayerNormalization")
"""Those whose constants are of 32 bits in ONNX, or that ONNX' evaluator computes in 32 bits."""


def case(name: str, dtype: Any) -> tuple[Any, dict, np.ndarray]:
    """The model, what is fed to it, and X."""
    nodes, inputs, constants = CASES[name]
    feeds = {k: (1.5 * numbers(9 + i, 5, *shape[1:])).astype(dtype) for i, (k, shape) in enumerate(inputs.items())}
    X = np.concatenate([v.reshape(5, -1) for v in feeds.values()], axis=1)
    return model(nodes, inputs, constants, dtype), feeds, X


@pytest.mark.parametrize("name", CASES)
def test_every_operator_is_what_onnx_says(tmp_path: Path, name: str) -> None:
    proto, feeds, X = case(name, np.float64)
    net = fg.load(saved(tmp_path / "net.onnx", proto))
    got = fg.compile(net, executor="python").predict(X)
    assert len(set(net.nodes)) == len(net.nodes)
    exact = name not in ROUNDED
    wanted = by_reference(proto, feeds).reshape(5, -1)
    np.testing.assert_allclose(got, wanted, rtol=1e-12 if exact else 1e-6, atol=1e-12 if exact else 1e-7)


@pytest.mark.parametrize("name", CASES)
def test_every_operator_is_what_onnxruntime_does(tmp_path: Path, name: str) -> None:
    proto, feeds, X = case(name, np.float32)
    got = fg.compile(fg.load(saved(tmp_path / "net.onnx", proto)), executor="python").predict(X)
    np.testing.assert_allclose(got, by_runtime(proto, feeds).reshape(5, -1), rtol=2e-5, atol=2e-6)


# ---- what becomes of what ------------------------------------------------------------------------------------


def test_a_perceptron_is_one_neuron_for_each_of_its_own(tmp_path: Path) -> None:
    """Gemm and Relu, and MatMul, Add and Tanh, are one layer each."""
    nodes = [("Gemm", "x W B", "z", {}), ("Relu", "z", "h", {}), ("MatMul", "h V", "m", {}), ("Add", "m C", "s", {}),
             ("Tanh", "s", "y", {})]  # fmt: skip
    constants = {"W": W, "B": B, "V": numbers(6, 4, 3), "C": numbers(7, 3)}
    net = fg.load(saved(tmp_path / "net.onnx", model(nodes, ROW, constants)))
    assert net.nodes == (*[f"x[{k}]" for k in range(6)], *[f"h[{k}]" for k in range(4)], *[f"y[{k}]" for k in range(3)])
    assert (net.columns.n_edges, net.depth) == (6 * 4 + 4 * 3, 2)
    program = fg.compile(net, executor="python")
    assert len(program.theta) == 24 + 4 + 12 + 3
    assert (program.theta[program.theta_index.weight["x[2]", "h[1]"]], net.columns.params) == (W[2, 1], ())


def test_a_convolution_shares_its_weights_and_biases(tmp_path: Path) -> None:
    nodes = [
        ("Conv", "x K B", "c", {}),
        ("AveragePool", "c", "p", {"kernel_shape": [2, 2]}),
        ("Softmax", "p", "y", {"axis": 1}),
    ]
    net = fg.load(saved(tmp_path / "net.onnx", model(nodes, {"x": (N, 2, 4, 3)}, {"K": K, "B": B})))
    program = fg.compile(net, executor="python", loss="squared_error")
    assert len(program.theta) == K.size + B.size  # pooling and softmax hold none
    assert {"K[0,1,2,1]", "B[3]"} <= set(net.columns.params)
    assert fg.gradcheck(program, numbers(1, 1, len(net.inputs)), numbers(2, 1, len(net.outputs))).passed


def test_tied_weights_stay_tied_and_constants_stay_as_they_are(tmp_path: Path) -> None:
    nodes = [("MatMul", "x W", "h", {}), ("Transpose", "W", "T", {}), ("MatMul", "h T", "r", {}),
             ("Constant", "", "c", {"value": numpy_helper.from_array(np.array(2.0))}), ("Mul", "r c", "s", {}),
             ("Exp", "s", "y", {})]  # fmt: skip
    net = fg.load(saved(tmp_path / "net.onnx", model(nodes, ROW, {"W": W})))
    program = fg.compile(net, executor="python")
    assert len(program.theta) == W.size
    assert program.theta_index.weight["x[5]", "h[3]"] == program.theta_index.weight["h[3]", "r[5]"]
    assert not net.columns.edge_trainable[net.columns.index["y[0]"] == net.columns.target].any()


def test_all_lengths_given_the_first_axis_is_the_batch_where_inputs_agree(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", model([("Exp", "x", "y", {})], {"x": (4, 3)}))
    assert len(fg.load(path).inputs) == 3
    assert len(fg.load(path, batch=False).inputs) == 12
    saved(path, model([("Transpose", "x", "y", {})], {"x": (4, 3)}))
    with pytest.raises(
        fg.FlowgradError, match=r"node 0', operator Transpose: works across .* the batch: .*batch=False"
    ):
        fg.load(path)
    assert fg.load(path, batch=False).outputs[:2] == ("x[0,0]", "x[1,0]")
    saved(path, model([("Exp", "x", "y", {})], {"x": (3,)}))
    assert fg.load(path).inputs == ("x[0]", "x[1]", "x[2]")
    saved(path, model([("Exp", "x", "y", {})], {"x": ("N",)}))
    assert fg.load(path).inputs == ("x",)


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 12])
def test_older_opsets_mean_what_they_meant(tmp_path: Path, opset: int) -> None:
    """Softmax over all axes from its own on, axes and bounds as attributes."""
    nodes = [("Unsqueeze", "x", "u", {"axes": [1]}), ("Softmax", "u", "s", {"axis": 1})]
    nodes.append(
        ("Slice", "s", "y", {"starts": [1], "ends": [3], "axes": [2]}) if opset < 10 else ("Exp", "s", "y", {})
    )
    proto = model(nodes, {"x": (N, 3, 2)}, opset=opset)
    X = numbers(3, 5, 6)
    got = fg.compile(fg.load(saved(tmp_path / "net.onnx", proto)), executor="python").predict(X)
    e = np.exp(X.reshape(5, -1)) / np.exp(X).sum(axis=1, keepdims=True)
    wanted = e.reshape(5, 3, 2)[:, 1:3].reshape(5, -1) if opset < 10 else np.exp(e)
    np.testing.assert_allclose(got, wanted, rtol=1e-13)


def test_before_opset_7_the_second_input_is_broadcast_on_demand(tmp_path: Path) -> None:
    constants = {"b": numbers(1, 3)}
    path = saved(
        tmp_path / "net.onnx",
        model([("Add", "x b", "y", {"broadcast": 1, "axis": 1})], {"x": (N, 3, 2)}, constants, opset=6),
    )
    X = numbers(2, 4, 6)
    got = fg.compile(fg.load(path), executor="python").predict(X)
    np.testing.assert_array_equal(got, (X.reshape(4, 3, 2) + constants["b"][:, None]).reshape(4, 6))
    saved(path, model([("Add", "x b", "y", {})], {"x": (N, 3, 2)}, constants, opset=6))
    with pytest.raises(fg.FlowgradError, match="it does not broadcast"):
        fg.load(path)


# ---- what is refused ----------------------------------------------------------------------------------------

external = numpy_helper.from_array(np.ones((6, 4)), "W")
external.data_location = TensorProto.EXTERNAL
external.external_data.add(key="location", value="/etc/passwd")
REFUSED: dict[str, tuple[Case, str]] = {
    "unknown": (one("Relux"), r"node 'node 0', operator Relux: is not read: did you mean 'Relu'"),
    "no neuron": (one("DeformConv"), "node 'node 0', operator DeformConv: is not read"),
    "control flow": (one("If", then_branch=helper.make_graph([], "t", [], [])), "operator If: is not read"),
    "domain": (one("Gelu", domain="com.microsoft"), "operator Gelu: of the domain com.microsoft is not read"),
    "attribute": (one("Relu", slope=2.0), "operator Relu: attribute slope is not read"),
    "attribute's type": (one("Elu", alpha=2), "operator Elu: attribute alpha is of another type than float"),
    "no such fit": (one("Gelu", approximate="erf"), "approximate 'erf': 'none' and 'tanh' are read"),
    "no such tensor": (one("Relu", "z"), "reads z, which nothing before it gives"),
    "inputs": (one("Relu", "x x"), "2 inputs: takes 1"),
    "batch": (one("Softmax", axis=0), "operator Softmax: works across the first axis, the batch"),
    "batch sum": (one("MatMul", "W x", constants={"W": numbers(1, 3, 4)}), "operator MatMul: works across"),
    "batch reshaped": (one("Reshape", "x s", constants={"s": np.array([3, -1])}), "mixes samples"),
    "batch flattened": (one("Flatten", inputs={"x": (N, 2, 3)}, axis=2), "operator Flatten: works across"),
    "batch grown": (one("Add", "x b", constants={"b": numbers(1, 3, 6)}), "sets samples apart"),
    "open axis": (one("Relu", inputs={"x": (N, "width")}), "input x: axis 1 is width: only the first axis, the batch"),
    "shapes": (one("Gemm", "x W", constants={"W": W.T}), r"operator Gemm: shapes \(1, 6\) and \(4, 6\) do not fit"),
    "not broadcast": (one("Add", "x b", constants={"b": numbers(1, 5)}), "operator Add: shapes or values do not fit"),
    "not finite": (one("Add", "x b", constants={"b": np.full(6, np.nan)}), "initializer b: holds nan: must be finite"),
    "divides by 0": (one("Div", "x b", constants={"b": np.zeros(6)}), "operator Div: divides by 0"),
    "kernel of signals": (([("Conv", "x x", "y", {})], IMAGE, {}), "the kernel depends on the input of the network"),
    "padding alone": (one("MaxPool", inputs=IMAGE, kernel_shape=[1, 1], pads=[1, 1, 1, 1]), "lies in the padding"),
    "a list for a number": (one("Gather", "x i", constants={"i": np.array([7])}, axis=1), "entry 7 of 6"),
    "too large": (one("Pad", "x p", constants={"p": np.array([0, 0, 0, 10**12])}), "Pad: more than 50,000,000"),
    "second output": (([("TopK", "x", "y", {})], ROW, {}), "operator TopK: is not read"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_not_read_is_refused_by_node_and_operator(tmp_path: Path, why: str) -> None:
    ((nodes, inputs, constants), words) = REFUSED[why]
    path = saved(tmp_path / "net.onnx", model(nodes, inputs, constants))
    with pytest.raises(fg.FlowgradError, match=words) as caught:
        fg.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_doubling_that_never_ends_is_stopped(tmp_path: Path) -> None:
    """Fifty concatenations of a tensor with itself: 6 · 2^50 entries out of 2 KB."""
    names = ["x", *(f"t{k}" for k in range(50))]
    nodes = [("Concat", f"{a} {a}", b, {"axis": 1}) for a, b in pairwise(names)]
    with pytest.raises(fg.FlowgradError, match="more than 50,000,000 neurons, edges and numbers: too large to unroll"):
        fg.load(saved(tmp_path / "net.onnx", model(nodes, ROW)))


CLAIMS: dict[str, tuple[Case, str]] = {
    "input": (one("Relu", inputs={"x": (N, 20_000_000)}), r"input x: 20,000,000 .* take about 6\.4 GB of memory"),
    "vast input": (one("Relu", inputs={"x": (N, 2**40, 2**40)}), "input x: more than 50,000,000 neurons"),
    "copies": (one("Relu", inputs={"x": (N, 2_000_000)}), r"operator Relu: 4,000,000 neurons, .* max_bytes=\d+ allows"),
    "products": (
        ([("MatMul", "x t", "y", {})], {"x": (N, 3000, 1), "t": (N, 1, 3000)}, {}),
        r"operator MatMul: .* neurons, edges and numbers take about",
    ),
    "softmax": (one("Softmax", inputs={"x": (N, 1_500_000)}), r"operator Softmax: .* take about"),
    "windows": (
        one("AveragePool", inputs={"x": (N, 1, 1000, 1000)}, kernel_shape=[5, 5]),
        r"operator AveragePool: .*(take about|more than)",
    ),
}


@pytest.mark.parametrize("why", CLAIMS)
def test_a_few_bytes_claim_no_gigabytes(tmp_path: Path, why: str) -> None:
    """What shapes ask for is counted before it is taken, and the message says how to allow it."""
    ((nodes, inputs, constants), words) = CLAIMS[why]
    path = saved(tmp_path / "net.onnx", model(nodes, inputs, constants))
    assert path.stat().st_size < 200
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=words) as caught:
            fg.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1_200_000_000
    finally:
        tracemalloc.stop()
    assert "max_bytes=" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_a_model_may_ask_for_is_said_by_its_reader(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", model(*one("Relu", inputs={"x": (N, 1000)})))
    with pytest.raises(FileError, match=r"take about 0\.0 GB .* may ask for 0\.0 GB: max_bytes=\d+ allows more"):
        fg.load(path, max_bytes=100_000)
    assert fg.load(path, max_bytes=1_000_000).columns.n_edges == 1000
    with pytest.raises(fg.FlowgradError, match=r"^max_bytes=0: must be"):
        fg.load(path, max_bytes=0)


def test_no_other_file_is_opened(tmp_path: Path) -> None:
    proto = model([("Gemm", "x W", "y", {})], ROW)
    proto.graph.initializer.append(external)
    with pytest.raises(fg.FlowgradError, match="initializer W: its data are in /etc/passwd: only a file in the same"):
        fg.load(saved(tmp_path / "net.onnx", proto))


def changed(change: Callable[[Any], Any]) -> Any:
    proto = model([("Relu", "x", "y", {})], ROW)
    change(proto)
    return proto


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.ClearField("graph"), "it has no graph"),
        (lambda m: m.graph.ClearField("output"), "no graph with outputs"),
        (lambda m: m.ClearField("opset_import"), "opset : 6 to 28 are read"),
        (lambda m: setattr(m.opset_import[0], "version", 99), "opset 99: 6 to 28 are read"),
        (lambda m: setattr(m.opset_import[0], "version", 5), "opset 5: 6 to 28 are read"),
        (lambda m: setattr(m.graph.output[0], "name", "z"), "output z: nothing gives it"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 7), "input x: is of type 7"),
        (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), "input x: is no tensor of a shape"),
        (lambda m: m.graph.node.append(m.graph.node[0]), "tensor y is given twice"),
        (lambda m: m.graph.sparse_initializer.add(), "sparse initializers are not read"),
        (lambda m: m.metadata_props.add(key="flowgrad", value="{"), "metadata 'flowgrad' is no valid JSON"),
        (
            lambda m: m.metadata_props.add(key="flowgrad", value='{"inputs":[],"outputs":[],"tensors":{}}'),
            "metadata name 0 inputs, and",
        ),
        (lambda m: m.metadata_props.add(key="flowgrad", value='{"inputs":[]}'), "one object with lists inputs"),
    ],
)
def test_a_model_that_is_none_is_refused(tmp_path: Path, change: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(saved(tmp_path / "net.onnx", changed(change)))


@pytest.mark.parametrize("data", [b"", b"\x00", b"hello", b"\xff" * 100, b'{"a": 1}'])
def test_bytes_that_are_no_model_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(fg.FlowgradError, match=r"net\.onnx is no ONNX model"):
        fg.load(tmp_path / "net.onnx")


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "net.onnx", model([("Relu", "x", "y", {})], ROW))
    monkeypatch.setitem(sys.modules, "onnx", None)
    for act in (lambda: fg.load(path), lambda: fg.save(fg.topologies.layered([1, 1]), path)):
        with pytest.raises(fg.errors.MissingDependencyError, match=r"pip install 'flowgrad\[onnx\]'"):
            act()


@pytest.mark.parametrize("name", [b"node 0", b"Relu", b"slope", b"flowgrad", b"batch"])
def test_names_that_are_no_text_are_refused(tmp_path: Path, name: bytes) -> None:
    """protobuf gives them as bytes, wherever they stand."""
    proto = model([("Relu", "x", "y", {"slope": 1.0})], {"x": ("batch", 2)})
    proto.metadata_props.add(key="flowgrad", value="{}")
    data = proto.SerializeToString()
    assert name in data
    (tmp_path / "net.onnx").write_bytes(data.replace(name, name[:-1] + b"\xff"))
    with pytest.raises(fg.FlowgradError, match="is no UTF-8 text"):
        fg.load(tmp_path / "net.onnx")


def test_what_is_left_out_among_inputs_is_refused(tmp_path: Path) -> None:
    proto = model([("Concat", "x x", "y", {"axis": 1})], ROW)
    proto.graph.node[0].input[1] = ""
    with pytest.raises(fg.FlowgradError, match="operator Concat: an input is left out"):
        fg.load(saved(tmp_path / "net.onnx", proto))
