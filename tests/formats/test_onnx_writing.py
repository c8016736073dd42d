"""ONNX out: valid, equal to predict in ONNX's own evaluator and in onnxruntime, and read back."""

from __future__ import annotations

from collections import Counter
from operator import mul
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

import flowgrad as fg
from flowgrad.formats._onnx.model import ACTIVATIONS, AGGREGATIONS
from flowgrad.registry import names
from flowgrad.testing.strategies import IDS, networks

onnx = pytest.importorskip("onnx", reason="ONNX models are written by the library onnx")
from onnx.reference import ReferenceEvaluator  # noqa: E402 (after importorskip)

TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
# onnxruntime has no kernel of these in float64, and ONNX's own evaluator works out Gelu in float32
LACKING = {"gelu", "arctan", "erf"}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)


def written(net: fg.Network, folder: Path, dtype: str = "float32") -> Any:
    """The model that is written, checked by ONNX, shapes and types included."""
    fg.save(net, folder / "net.onnx", dtype=dtype)
    model = onnx.load(folder / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(model: Any, X: np.ndarray, dtype: str, runtime: bool = True) -> dict[str, np.ndarray]:
    """What both make of the samples, by their names."""
    feeds = {"x": X.astype(dtype)}
    with np.errstate(all="ignore"):
        found = {"reference": ReferenceEvaluator(model).run(None, feeds)[0]}
    if runtime:
        ort = pytest.importorskip("onnxruntime")
        ort.set_default_logger_severity(4)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found["onnxruntime"] = session.run(None, feeds)[0]
    return found


def assert_equal(got: np.ndarray, wanted: np.ndarray, tolerance: float, who: str) -> None:
    """Of 1 or of the number itself."""
    scale = np.maximum(np.abs(wanted), 1.0)
    worst = np.max(np.abs(got - wanted) / scale, initial=0.0)
    assert worst <= tolerance, f"{who}: {worst:.1e}"


def batch(net: fg.Network, dtype: str, rows: int = 5, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, len(net.inputs))).astype(dtype).astype(np.float64)


# ---- every function -----------------------------------------------------------------------------------------


@pytest.mark.covering(name=ACTIVATIONS.keys(), dtype=["float32", "float64"])
def test_every_activation(tmp_path: Path, dtype: str, name: str) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 1.0}, activation=name)
    X = np.array([0.0, 0.25, -0.25, 1.0, -1.0, 2.5, -2.5, 0.125, -3.5, 5.0, -6.0, 11.0, -12.0])[:, None]
    X = np.abs(X) + 0.25 if name in ("log", "sqrt") else X
    X = X[X[:, 0] != 0] if name == "reciprocal" else X
    X = X[np.abs(X[:, 0]) < 3] if name in ("wann-sin", "wann-cos") else X  # 12π has lost its digits in float32
    model = written(net, tmp_path, dtype)
    wanted = fg.compile(net, executor="python").predict(X)
    lacks = dtype == "float64" and name in LACKING
    for who, got in answers(model, X, dtype, runtime=not lacks).items():
        assert_equal(got, wanted, 1e-6 if lacks else TOLERANCE[dtype], who)
    back = fg.compile(fg.load(tmp_path / "net.onnx"), executor="python").predict(X)
    assert_equal(back, wanted, TOLERANCE[dtype], "read back")


@DTYPES
@pytest.mark.parametrize("name", AGGREGATIONS)
def test_every_aggregation_with_ties_responses_and_constants(tmp_path: Path, dtype: str, name: str) -> None:
    net = fg.Network()
    for k in range(6):
        net.add_input(k)
    net.add_neuron("one", bias=0.5, activation="square")
    for n in (0, 1, 2, 3, 5, 6):
        weights = {k: (-1.0) ** k * (1 + k % 2) for k in range(n)} | ({"one": 3.0} if n == 5 else {})
        net.add_neuron((name, n), weights, activation="identity", aggregation=name, bias=0.25, response=-1.5)
    X = np.random.default_rng(2).choice([0.0, 1.0, -1.0, 0.5, -0.25, 2.0], size=(60, 6))
    wanted = fg.compile(net, executor="python").predict(X)
    for who, got in answers(written(net, tmp_path, dtype), X, dtype).items():
        assert_equal(got, wanted, TOLERANCE[dtype], who)
    back = fg.load(tmp_path / "net.onnx")
    assert_equal(fg.compile(back, executor="python").predict(X), wanted, TOLERANCE[dtype], "read back")
    assert name in {f.name for f in back.columns.aggregations}


def test_there_is_a_form_for_every_function_or_it_is_refused(tmp_path: Path) -> None:
    assert set(ACTIVATIONS) <= set(names("activations"))
    assert set(AGGREGATIONS) <= set(names("aggregations"))
    own = fg.Activation("bump", lambda z: z, lambda z: 1.0)
    for activation in (own, fg.Activation("tanh", own.f, own.df)):
        net = fg.Network()
        net.add_input("x")
        net.add_neuron("h", ["x"], activation=activation)
        with pytest.raises(
            fg.FlowgradError, match=f"neuron 'h': the activation '{activation.name}' has no form in ONNX"
        ):
            fg.save(net, tmp_path / "net.onnx")
        assert not list(tmp_path.iterdir())


def bent(z: float) -> float:
    """min(max(z, 0), 6) and more, for the shape of it."""
    return 1.0 if z != z else 0.0


ODD = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, 6.0, 7.5, -2.0]
BENT = {
    "min(max(z, 0), 6)": lambda z: np.minimum(np.maximum(z, 0), 6),
    "select(z > 0, z, 0.25 * z)": lambda z: np.where(z > 0, z, 0.25 * z),
    "select(z >= 1, 1, select(z <= -1, -1, z))": lambda z: np.clip(z, -1, 1),
    "select(z == 0, 5, 1 - z / 2)": lambda z: np.where(z == 0, 5, 1 - z / 2),
    "select(z != 0, exp(-abs(z)), -z)": lambda z: np.where(z != 0, np.exp(-np.abs(z)), -z),
    "select(z < 0.5, tanh(z) + tanh(z) * tanh(z), sqrt(z))": lambda z: np.where(
        z < 0.5, np.tanh(z) + np.tanh(z) ** 2, np.sqrt(np.abs(z))
    ),
    "log(1 + z * z) - sin(z) * cos(2 * z)": lambda z: np.log(1 + z * z) - np.sin(z) * np.cos(2 * z),
}


@DTYPES
@pytest.mark.parametrize("text", BENT)
def test_an_expression_becomes_operators(tmp_path: Path, dtype: str, text: str) -> None:
    """NaN goes through as in NumPy, and the neurons of a group are written at once."""
    net = fg.Network()
    net.add_input("x")
    for k in range(3):
        net.add_neuron(k, {"x": 1.0}, activation=fg.Activation("bent", bent, bent, expression=(text, "1")))
    X = np.array([*ODD, np.nan])[:, None]
    with np.errstate(all="ignore"):
        wanted = np.repeat(BENT[text](X), 3, axis=1)
    for who, got in answers(written(net, tmp_path, dtype), X, dtype).items():
        assert (np.isnan(got) == np.isnan(wanted)).all(), who
        assert_equal(got[:-1], wanted[:-1], TOLERANCE[dtype], who)


@pytest.mark.parametrize("text", ["expm1(z)", "z + log1p(exp(z))", "erfc(z)", "1"])
def test_an_expression_that_onnx_cannot_compute_exactly_is_refused(tmp_path: Path, text: str) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", ["x"], activation=fg.Activation("bent", bent, bent, expression=(text, "1")))
    with pytest.raises(fg.FlowgradError, match="neuron 'h': the activation 'bent' has no form in ONNX"):
        fg.save(net, tmp_path / "net.onnx")


# ---- networks -----------------------------------------------------------------------------------------------

KEPT = tuple(kind for kind in IDS if kind != "unorderable")
TAME = tuple(f for f in ACTIVATIONS if f not in {*LACKING, "exp", "log", "sqrt", "reciprocal", "cube", "square", "sign",
                                                 "step", "neat-inv", "neat-exp"})  # fmt: skip


@given(net=networks(ids=KEPT, activations=TAME, aggregations=tuple(AGGREGATIONS)))
def test_random_networks_come_back_equal(net: fg.Network, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Network → ONNX → network → ONNX → network, the ids of inputs and outputs with their types."""
    folder = tmp_path_factory.mktemp("onnx")
    X = batch(net, "float64")
    wanted = fg.compile(net, executor="python").predict(X)
    for who, got in answers(written(net, folder, "float64"), X, "float64").items():
        assert_equal(got, wanted, 1e-11, who)
    for _ in range(2):
        back = fg.load(folder / "net.onnx")
        assert (back.inputs, back.outputs) == (net.inputs, net.outputs)
        assert list(map(type, back.inputs + back.outputs)) == list(map(type, net.inputs + net.outputs))
        assert_equal(fg.compile(back, executor="python").predict(X), wanted, 1e-11, "read back")
        fg.save(back, folder / "net.onnx", dtype="float64")


def test_layers_are_gemms_and_nothing_else(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    sizes = (784, 512, 256, 10) if request.config.getoption("--soak") else (196, 128, 64, 10)
    net = fg.topologies.layered(sizes, activation="relu")
    model = written(net, tmp_path)
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Relu", "Gemm", "Relu", "Gemm"]
    X = batch(net, "float32")
    wanted = fg.compile(net).predict(X)
    for who, got in answers(model, X, "float32").items():
        assert_equal(got, wanted, 2e-6, who)  # long sums in float32
    back = fg.load(tmp_path / "net.onnx")
    edges = sum(map(mul, sizes, sizes[1:]))
    assert (back.nodes, back.outputs, back.columns.n_edges, back.depth) == (net.nodes, net.outputs, edges, 3)


@DTYPES
def test_an_irregular_graph_is_written_by_level_and_fan_in(
    tmp_path: Path, dtype: str, request: pytest.FixtureRequest
) -> None:
    """10,000 edges, or 100,000 in nightly runs: the file is little more than a weight and an index for each."""
    neurons = 20_000 if request.config.getoption("--soak") else 2_000
    net = fg.topologies.random_dag(100, neurons, fan_in=5, activation="tanh", seed=1)
    model = written(net, tmp_path, dtype)
    besides = 60 * neurons + 100_000  # names, and the nodes that are few
    assert (tmp_path / "net.onnx").stat().st_size < (8 + np.dtype(dtype).itemsize) * 5 * neurons + besides
    assert len(model.graph.node) < 50 * net.depth
    X = batch(net, dtype)
    wanted = fg.compile(net).predict(X)
    for who, got in answers(model, X, dtype).items():
        assert_equal(got, wanted, TOLERANCE[dtype], who)
    back = fg.load(tmp_path / "net.onnx")
    assert (back.nodes, back.depth) == (net.nodes, net.depth)
    weights = [dict(zip(n.columns.ends, n.columns.weights.astype(dtype).tolist(), strict=True)) for n in (net, back)]
    assert weights[0] == weights[1]


def test_fan_ins_of_every_size_and_dense_parts_among_them(tmp_path: Path) -> None:
    """A block of 40 neurons over the same 30, and 40 more with 1 to 40 predecessors of their own."""
    rng = np.random.default_rng(4)
    G = nx.DiGraph([(f"x{u}", f"d{v}") for u in range(30) for v in range(40)])
    G.add_edges_from((f"x{u}", f"s{v}") for v in range(1, 41) for u in rng.choice(60, v, replace=False).tolist())
    G.add_edges_from((f"{k}{v}", "y") for k in "ds" for v in range(1, 40))
    net = fg.Network.from_networkx(G, activation="tanh", seed=1)
    model = written(net, tmp_path)
    X = batch(net, "float32")
    for who, got in answers(model, X, "float32").items():
        assert_equal(got, fg.compile(net).predict(X), 1e-6, who)
    assert Counter(node.op_type for node in model.graph.node)["Gemm"] >= 2


def test_what_no_output_depends_on_is_left_out_and_constants_are_folded(tmp_path: Path) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("three", bias=3.0, activation="identity")
    net.add_neuron("dead", ["x"])
    net.add_neuron("y", {"x": 2.0, "three": 0.5}, activation="identity")
    net.set_outputs(["y"])
    model = written(net, tmp_path)
    assert [node.op_type for node in model.graph.node] == ["Mul", "Add"]
    assert answers(model, np.array([[1.0]]), "float32")["reference"].tolist() == [[3.5]]


def test_inputs_that_are_outputs_and_constants_that_are(tmp_path: Path) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_input("y")
    net.add_neuron("c", bias=0.5, activation="square")
    net.set_outputs(["y", "c", "x"])
    for who, got in answers(written(net, tmp_path), np.array([[1.0, np.inf]]), "float32").items():
        assert got.tolist() == [[np.inf, 0.25, 1.0]], who
    back = fg.load(tmp_path / "net.onnx")
    assert (back.inputs, back.outputs) == (("x", "y"), ("y", "c", "x"))
    net.set_outputs(["x", "y"])
    assert [node.op_type for node in written(net, tmp_path).graph.node] == ["Identity"]
    assert fg.load(tmp_path / "net.onnx").outputs == ("x", "y")


def test_softmax_stays_what_it_was(tmp_path: Path) -> None:
    """ONNX → network → ONNX → network: convolution, pooling and softmax as plain neurons, equal to the last digits."""
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(5)
    nodes = [helper.make_node("Conv", ["x", "K", "B"], ["c"]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]), helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Gemm", ["f", "W"], ["g"]), helper.make_node("LogSoftmax", ["g"], ["y"])]  # fmt: skip
    shapes = {"K": (3, 1, 2, 2), "B": (3,), "W": (3 * 4 * 4, 4)}
    fixed = [numpy_helper.from_array(rng.standard_normal(shape), name) for name, shape in shapes.items()]
    kind = onnx.TensorProto.DOUBLE
    x, y = (helper.make_tensor_value_info(n, kind, s) for n, s in (("x", ["N", 1, 6, 6]), ("y", ["N", 4])))
    graph = helper.make_graph(nodes, "small", [x], [y], fixed)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), tmp_path / "a.onnx")
    first = fg.load(tmp_path / "a.onnx")
    X = batch(first, "float64")
    wanted = ReferenceEvaluator(onnx.load(tmp_path / "a.onnx")).run(None, {"x": X.reshape(5, 1, 6, 6)})[0]
    fg.save(first, tmp_path / "b.onnx", dtype="float64")
    second = fg.load(tmp_path / "b.onnx")
    for net in (first, second):
        assert_equal(fg.compile(net).predict(X), wanted, 1e-12, "a network")
    for who, got in answers(onnx.load(tmp_path / "b.onnx"), X, "float64").items():
        assert_equal(got, wanted, 1e-12, who)
    assert (second.inputs, second.outputs) == (first.inputs, first.outputs)
    assert first.inputs[:2] == ("x[0,0,0]", "x[0,0,1]")


HARD = ["", "*/", "two\nlines", '"; DROP', "</script>", "a:b", "größe|µ", "x" * 4096, "\ud800", "\0",
        "level1.Gemm_2[0]", "x", "y"]  # fmt: skip


def test_ids_of_every_kind_come_back(tmp_path: Path) -> None:
    net = fg.Network()
    given = [*HARD, 7, -1.5, ("a", (1, b"\xff")), True, 2**70]
    for k, name in enumerate(given):
        net.add_input(("x", k) if k % 2 else name)
    for k, name in enumerate(given):
        net.add_neuron(name if k % 2 else ("y", k), [("x", k) if k % 2 else name])
    written(net, tmp_path)
    back = fg.load(tmp_path / "net.onnx")
    assert (back.inputs, back.outputs) == (net.inputs, net.outputs)


def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": 1e300}, activation="identity")
    with pytest.raises(
        fg.FlowgradError, match=r"neuron 'h': a weight is 1e\+300, beyond float32: give dtype='float64'"
    ):
        fg.save(net, tmp_path / "net.onnx")
    fg.save(net, tmp_path / "net.onnx", dtype="float64")
    with pytest.raises(fg.FlowgradError, match="dtype 'float16': did you mean"):
        fg.save(net, tmp_path / "net.onnx", dtype="float16")
    net = fg.Network()
    net.add_input(frozenset({1}))
    net.add_neuron("h", [frozenset({1})])
    with pytest.raises(fg.FlowgradError, match="ONNX cannot keep this id: of type frozenset"):
        fg.save(net, tmp_path / "net.onnx")


def test_a_file_that_another_program_has_changed_is_refused(tmp_path: Path) -> None:
    model = written(fg.topologies.layered([3, 2]), tmp_path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(fg.FlowgradError, match="its metadata name 3 inputs, and the graph has 2: it was changed"):
        fg.load(tmp_path / "net.onnx")


def test_the_same_network_is_the_same_bytes(tmp_path: Path) -> None:
    net = fg.topologies.random_dag(5, 40, fan_in=3, seed=2)
    for name in ("a.onnx", "b.onnx"):
        fg.save(net, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
