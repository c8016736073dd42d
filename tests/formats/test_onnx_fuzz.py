"""Models that somebody has worked on: whatever they say, a network or a FlowgradError comes out.

`pytest --soak N` takes thousands of N of them.
"""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg

onnx = pytest.importorskip("onnx", reason="ONNX models are read by the library onnx")
from onnx import helper, numpy_helper  # noqa: E402 (after importorskip)

from flowgrad.formats._onnx.reader import OPERATORS  # noqa: E402 (after importorskip)

spec = importlib.util.spec_from_file_location("onnx_reading", Path(__file__).with_name("test_onnx_reading.py"))
reading: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reading)

KINDS = [*OPERATORS, "If", "Loop", "TopK", "ArgMax", "GatherElements", "Shape", "", "é"]
WHOLE = [0, 1, -1, 2, 3, 7, -7, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63)]
REAL = [0.0, -0.0, 1.0, -1.0, 0.01, 1e-45, 3e38, float("inf"), float("-inf"), float("nan")]
TEXT = ["", "NOTSET", "SAME_UPPER", "VALID", "constant", "edge", "none", "tanh", "x", "\0", "é" * 100]


def pick(rng: np.random.Generator, options: Any) -> Any:
    return list(options)[int(rng.integers(len(options)))]


def odd_tensor(rng: np.random.Generator, name: str = "") -> Any:
    shape = tuple(int(n) for n in rng.choice([0, 1, 2, 3, 6], int(rng.integers(0, 5))))
    dtype = pick(rng, [np.float64, np.float32, np.float16, np.int64, np.int8, np.bool_, np.uint64, np.complex64])
    with np.errstate(all="ignore"):
        tensor = numpy_helper.from_array(rng.choice([*REAL, *map(float, WHOLE)], shape).astype(dtype), name)
    match int(rng.integers(8)):
        case 0:
            tensor.dims.append(int(pick(rng, WHOLE)))
        case 1:
            tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
        case 2:
            tensor.data_type = int(rng.integers(-1, 30))
        case 3:
            tensor.data_location = 1
            tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def odd_attribute(rng: np.random.Generator, names: list[str]) -> Any:
    values = [
        lambda: int(pick(rng, WHOLE)),
        lambda: float(pick(rng, REAL)),
        lambda: pick(rng, TEXT),
        lambda: [int(pick(rng, WHOLE[:8])) for _ in range(int(rng.integers(1, 5)))],
        lambda: [float(pick(rng, REAL)) for _ in range(int(rng.integers(1, 4)))],
        lambda: odd_tensor(rng),
        lambda: helper.make_graph([], "g", [], []),
    ]
    return helper.make_attribute(pick(rng, names), values[int(rng.integers(len(values)))]())


def changed_node(node: Any, rng: np.random.Generator, tensors: list[str]) -> None:
    known = list(OPERATORS[node.op_type].attributes) if node.op_type in OPERATORS else []
    match int(rng.integers(7)):
        case 0:
            node.op_type = pick(rng, KINDS)
        case 1 if node.input:
            node.input[int(rng.integers(len(node.input)))] = pick(rng, tensors)
        case 2:
            node.input.append(pick(rng, tensors))
        case 3 if node.input:
            del node.input[int(rng.integers(len(node.input)))]
        case 4 if node.attribute:
            del node.attribute[int(rng.integers(len(node.attribute)))]
        case 5 if node.output:
            node.output[0] = pick(rng, tensors)
        case _:
            attribute = odd_attribute(rng, [*known, *known, "axis", "slope"])
            kept = [a for a in node.attribute if a.name != attribute.name]
            del node.attribute[:]
            node.attribute.extend([*kept, attribute])


def changed(model: Any, rng: np.random.Generator) -> None:
    graph = model.graph
    tensors = [name for node in graph.node for name in (*node.input, *node.output)] + ["x", "new", ""]
    match int(rng.integers(12)):
        case 0:
            node = pick(rng, graph.node)
            graph.initializer.append(odd_tensor(rng, pick(rng, [*node.input, "x", ""])))
        case 1 if graph.initializer:
            k = int(rng.integers(len(graph.initializer)))
            graph.initializer[k].CopyFrom(odd_tensor(rng, graph.initializer[k].name))
        case 2 if graph.input:
            dims = pick(rng, graph.input).type.tensor_type.shape.dim
            if dims:
                pick(rng, dims).dim_value = int(pick(rng, WHOLE))
        case 3 if graph.input:
            pick(rng, graph.input).type.tensor_type.elem_type = int(rng.integers(-1, 30))
        case 4:
            pick(rng, model.opset_import).version = int(pick(rng, [1, 5, 6, 9, 11, 12, 13, 17, 18, 21, 28, 29, 2**40]))
        case 5:
            pick(rng, graph.output).name = pick(rng, tensors)
        case 6:
            graph.node.add().CopyFrom(pick(rng, graph.node))
        case 7 if len(graph.node) > 1:
            del graph.node[int(rng.integers(len(graph.node)))]
        case 8 if model.metadata_props:
            text = model.metadata_props[0].value
            k = int(rng.integers(len(text)))
            model.metadata_props[0].value = (
                text[:k] + pick(rng, ["", "[", '"', "0", '{"tuple":[]}', "null"]) + text[k + 1 :]
            )
        case _:
            changed_node(pick(rng, graph.node), rng, tensors)


def beginnings(folder: Path) -> list[Any]:
    """Models to begin with: every case of the tests of operators, and what flowgrad itself writes."""
    found = [reading.case(name, np.float64)[0] for name in reading.CASES]
    for seed in range(6):
        net = fg.topologies.random_dag(3, 12, fan_in=3, seed=seed, activation=pick(np.random.default_rng(seed), KEPT))
        fg.save(net, folder / "start.onnx")
        found.append(onnx.load(folder / "start.onnx"))
    net = fg.Network()
    for k in range(3):
        net.add_input(k)
    for aggregation in ("median", "max_abs", "product"):
        net.add_neuron(("h", aggregation), {k: 0.5 + k for k in range(3)}, aggregation=aggregation)
    fg.save(net, folder / "start.onnx")
    return [*found, *[onnx.load(folder / "start.onnx")] * 3]


KEPT = ["tanh", "relu", "silu", "neat-inv", "step", "gaussian"]


@pytest.mark.filterwarnings("ignore")  # NumPy may warn of what it finds
def test_models_that_somebody_has_worked_on(tmp_path: Path, request: pytest.FixtureRequest, capsys: Any) -> None:
    soak = request.config.getoption("--soak")
    rng = np.random.default_rng(None if soak else 1)
    models, count = beginnings(tmp_path), Counter[str]()
    path = tmp_path / "net.onnx"
    for _ in range(1000 * soak or 500):
        model = onnx.ModelProto()
        model.CopyFrom(pick(rng, models))
        for _ in range(int(rng.integers(1, 4))):
            changed(model, rng)
        path.write_bytes(model.SerializeToString())
        try:
            fg.load(path)
            count["read"] += 1
        except fg.FlowgradError as error:
            said = str(error).splitlines()
            count["refused" if len(said) == 1 else "no message of one line"] += 1
        except BaseException as error:
            kept = Path(os.environ.get("TMPDIR", "/tmp")) / "damaged.onnx"
            kept.write_bytes(path.read_bytes())
            raise AssertionError(f"{type(error).__name__} of a model, kept as {kept}: {error}") from error
    with capsys.disabled():
        if soak:
            print(f"onnx: {sum(count.values()):,} models, {count['refused']:,} refused, {count['read']:,} read")
    assert set(count) == {"read", "refused"}
    assert min(count.values()) > 50
