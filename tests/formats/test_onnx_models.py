"""ONNX in, further: sums over letters, functions of a model's own, linear models of ai.onnx.ml, half precision."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import FileError

onnx = pytest.importorskip("onnx", reason="ONNX models are read by the library onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 (after importorskip)

runtime = pytest.importorskip("onnxruntime", reason="models are compared with onnxruntime's answers")
runtime.set_default_logger_severity(4)
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def model(
    nodes: list[Any],
    inputs: dict[str, Any],
    constants: dict[str, Any] | None = None,
    functions: list[Any] | None = None,
    kind: int = FLOAT,
    outputs: list[str] | None = None,
) -> Any:
    given = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    fixed = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    names = outputs or [nodes[-1].output[0]]
    ends = [helper.make_tensor_value_info(name, kind, None) for name in names]
    graph = helper.make_graph(nodes, "test", given, ends, fixed)
    versions = [("", 20), ("ai.onnx.ml", 3), ("own", 1)]
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions or [])


def ours(path: Path, proto: Any, *feeds: np.ndarray, executor: str = "python", **options: Any) -> np.ndarray:
    path.write_bytes(proto.SerializeToString())
    X = np.concatenate([x.reshape(len(x), -1) for x in feeds], axis=1).astype(np.float64)
    return fg.compile(fg.load(path, **options), executor=executor).predict(X)


def theirs(proto: Any, *feeds: np.ndarray) -> np.ndarray:
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    found = session.run([session.get_outputs()[-1].name], dict(zip(names, feeds, strict=True)))[0]
    return np.asarray(found).reshape(len(feeds[0]), -1)


def test_the_page_names_every_operator() -> None:
    from flowgrad.formats._onnx import ml, reader

    page = (Path(__file__).parents[2] / "docs/formats.md").read_text(encoding="utf-8")
    table = page.partition("| | operators |")[2].partition("\n\n")[0]
    words = re.findall(r"\b[A-Z]\w+", table)
    assert sorted(words) == sorted([*reader.OPERATORS, *ml.OPERATORS])


# ---- Einsum -------------------------------------------------------------------------------------------------

EQUATIONS = {
    "bi,oi->bo": ((4,), (3, 4)),
    "bi,io->bo": ((4,), (4, 3)),
    "oi,bi->bo": ((4,), (3, 4)),
    "bi,io": ((4,), (4, 3)),
    "bi,i->b i": ((4,), (4,)),
    "bij,jk->bik": ((2, 4), (4, 3)),
    "bij,ijk->bk": ((2, 4), (2, 4, 3)),
    "bij,ijk->bki": ((2, 4), (2, 4, 3)),
    "...i,io->...o": ((2, 4), (4, 3)),
    "bi,o->bio": ((4,), (3,)),
    "bij->bj": ((3, 4), None),
    "bij->bji": ((3, 4), None),
    "b...->b...": ((3, 4), None),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_a_sum_over_letters(tmp_path: Path, equation: str) -> None:
    shape, weights = EQUATIONS[equation]
    names = ["x"] if weights is None else ["w", "x"] if equation.startswith("oi,") else ["x", "w"]
    node = helper.make_node("Einsum", names, ["y"], equation=equation)
    proto = model([node], {"x": ["N", *shape]}, {} if weights is None else {"w": numbers(1, *weights)})
    X = numbers(2, 5, *shape)
    np.testing.assert_allclose(ours(tmp_path / "a.onnx", proto, X), theirs(proto, X), rtol=1e-5, atol=1e-6)


def test_weights_of_a_sum_over_letters_are_trained(tmp_path: Path) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation="bi,oi->bo")
    proto = model([node], {"x": ["N", 4]}, {"w": numbers(1, 3, 4)})
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    net = fg.load(tmp_path / "a.onnx")
    assert (net.columns.n_nodes, net.columns.n_edges) == (7, 12)
    assert fg.compile(net).theta.size == 12 + 0
    np.testing.assert_array_equal(np.sort(net.columns.weights), np.sort(numbers(1, 3, 4).ravel()).astype(np.float64))


@pytest.mark.parametrize("equation", ["bi,bi->b", "bi,bj->bij", "bij,bjk->bik", "b...,b...->b..."])
def test_two_signals_are_multiplied(tmp_path: Path, executor: str, equation: str) -> None:
    shapes = {"bi,bi->b": ((4,), (4,)), "bi,bj->bij": ((4,), (3,)), "bij,bjk->bik": ((2, 4), (4, 3))}
    a, b = shapes.get(equation, ((2, 3), (2, 3)))
    node = helper.make_node("Einsum", ["p", "q"], ["y"], equation=equation)
    proto = model([node], {"p": ["N", *a], "q": ["N", *b]})
    P, Q = numbers(3, 5, *a), numbers(4, 5, *b)
    got = ours(tmp_path / "a.onnx", proto, P, Q, executor=executor)
    np.testing.assert_allclose(got, theirs(proto, P, Q), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("equation", "words"),
    [
        ("bi,oi->o", "mixes samples, or moves the batch"),
        ("bi,oi->ob", "mixes samples, or moves the batch"),
        ("bi,bi->bi", "mixes samples"),
        ("bi,ii->bi", "a letter twice in one term"),
        ("bi,oi->bq", "the result has a letter that no operand has"),
        ("bi->b", "is of 1 operands, and 2 are given"),
        ("bij,oi->bo", "'bij' is of another number of axes than 2"),
        ("bi,o%->bo", "has the sign '%'"),
        ("bi,io->bo", "'i' is 4 and 3 entries long"),
    ],
)
def test_sums_that_are_not_read(tmp_path: Path, equation: str, words: str) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation=equation)
    (tmp_path / "a.onnx").write_bytes(model([node], {"x": ["N", 4]}, {"w": numbers(1, 3, 4)}).SerializeToString())
    with pytest.raises(FileError, match=f"operator Einsum: .*{words}"):
        fg.load(tmp_path / "a.onnx")


# ---- functions of the model's own ---------------------------------------------------------------------------


def function(name: str, nodes: list[Any], opset: int = 20) -> Any:
    versions = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], ["z"], nodes, versions)


def call(name: str, a: str, z: str) -> Any:
    return helper.make_node(name, [a], [z], domain="own")


def test_functions_are_put_where_they_are_called(tmp_path: Path) -> None:
    inner = function("Bend", [helper.make_node("Tanh", ["a"], ["z"])])
    outer = function("Twice", [call("Bend", "a", "m"), helper.make_node("Add", ["m", "a"], ["z"])])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), call("Twice", "h", "k"), call("Twice", "k", "y")]
    proto = model(nodes, {"x": ["N", 4]}, {"w": numbers(1, 4, 3)}, [inner, outer])
    X = numbers(2, 5, 4)
    np.testing.assert_allclose(ours(tmp_path / "a.onnx", proto, X), theirs(proto, X), rtol=1e-5, atol=1e-6)


def test_functions_that_never_end_or_grow_beyond_measure_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"

    def refused(functions: list[Any], first: str, words: str) -> None:
        path.write_bytes(model([call(first, "x", "y")], {"x": ["N", 4]}, {}, functions).SerializeToString())
        with pytest.raises(FileError, match=words):
            fg.load(path)

    circle = [function("F", [call("G", "a", "z")]), function("G", [call("F", "a", "z")])]
    refused(circle, "F", "call each other in a circle: F → G → F")
    doubling = [function("F0", [helper.make_node("Relu", ["a"], ["z"])])]
    for k in range(1, 40):
        doubling.append(function(f"F{k}", [call(f"F{k - 1}", "a", "m"), call(f"F{k - 1}", "m", "z")]))
    refused(doubling, "F39", "has more than 100,000 nodes")
    deep = [function("F0", [helper.make_node("Relu", ["a"], ["z"])])]
    deep += [function(f"F{k}", [call(f"F{k - 1}", "a", "z")]) for k in range(1, 200)]
    refused(deep, "F199", "more than 100 deep")
    refused(
        [function("F", [helper.make_node("Relu", ["a"], ["z"])], opset=18)],
        "F",
        "function F is of opset 18 of ai.onnx, the model of 20",
    )


# ---- linear models ------------------------------------------------------------------------------------------


def classifier(after: str, rows: int = 3, labels: int = 3) -> Any:
    node = helper.make_node(
        "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", classlabels_ints=list(range(labels)),
        coefficients=numbers(1, rows * 4).tolist(), intercepts=numbers(2, rows).tolist(), post_transform=after,
    )  # fmt: skip
    return model([node], {"x": ["N", 4]}, outputs=["scores"])


@pytest.mark.parametrize("after", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_a_linear_classifier_gives_its_scores(tmp_path: Path, after: str) -> None:
    X = numbers(3, 6, 4)
    got = ours(tmp_path / "a.onnx", classifier(after), X)
    np.testing.assert_allclose(got, theirs(classifier(after), X), rtol=1e-5, atol=1e-6)


def test_classifiers_that_are_not_read(tmp_path: Path) -> None:
    for proto, words in (
        (classifier("PROBIT"), "post_transform 'PROBIT' is not read: 'NONE', 'LOGISTIC' and 'SOFTMAX' are"),
        (classifier("NONE", labels=2), "12 coefficients for 2 classes"),
    ):
        (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(FileError, match=words):
            fg.load(tmp_path / "a.onnx")


@pytest.mark.parametrize("norm", ["L1", "L2", "MAX"])
def test_a_normalizer(tmp_path: Path, norm: str) -> None:
    proto = model([helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm=norm)], {"x": ["N", 4]})
    X = numbers(3, 6, 4)
    X[:, 0] = np.abs(X).max(axis=1) + 1  # where the largest number is also that of largest magnitude
    np.testing.assert_allclose(ours(tmp_path / "a.onnx", proto, X), theirs(proto, X), rtol=1e-5, atol=1e-6)


def test_columns_that_are_picked(tmp_path: Path) -> None:
    node = helper.make_node("ArrayFeatureExtractor", ["x", "places"], ["y"], domain="ai.onnx.ml")
    proto = model([node], {"x": ["N", 4]}, {"places": np.array([2, 0], np.int64)})
    X = numbers(3, 6, 4)
    np.testing.assert_allclose(ours(tmp_path / "a.onnx", proto, X), theirs(proto, X), rtol=1e-6)


# ---- half precision, and NaN --------------------------------------------------------------------------------


def test_weights_of_half_precision_are_taken_as_they_are(tmp_path: Path) -> None:
    w, b = numbers(1, 4, 3).astype(np.float16), numbers(2, 3).astype(np.float16)
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Cast", ["r"], ["c"], to=FLOAT),
        helper.make_node("Cast", ["c"], ["y"], to=HALF),
    ]
    proto = model(nodes, {"x": ["N", 4]}, {"w": w, "b": b}, kind=HALF)
    X = numbers(3, 6, 4).astype(np.float16)
    got = ours(tmp_path / "a.onnx", proto, X)
    exact = np.maximum(X.astype(np.float64) @ w.astype(np.float64) + b.astype(np.float64), 0.0)
    np.testing.assert_allclose(got, exact, rtol=1e-14)
    np.testing.assert_allclose(got, theirs(proto, X), rtol=4e-3, atol=4e-3)  # which rounds to eleven bits


@pytest.mark.parametrize("aggregation", ["sum", "mean", "product", "max", "min", "max_abs", "median"])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_nan_survives_what_is_written(tmp_path: Path, aggregation: str, n: int) -> None:
    net = fg.Network()
    for k in range(n):
        net.add_input(k)
    net.add_neuron("y", dict.fromkeys(range(n), 1.0), aggregation=aggregation, activation="identity")
    X = np.tile(numbers(n, n), (n + 3, 1))
    X[range(n), range(n)] = np.nan
    X[n, 0], X[n + 1, :2], X[n + 2] = np.inf, (-np.inf, np.inf), 0.0
    fg.save(net, tmp_path / "a.onnx")
    with np.errstate(all="ignore"):
        wanted = fg.compile(net, executor="python").predict(X.astype(np.float64))
        proto = onnx.load(tmp_path / "a.onnx")
        np.testing.assert_allclose(theirs(proto, X), wanted, rtol=1e-5)
    assert np.isnan(wanted[:n]).all()
    back = fg.load(tmp_path / "a.onnx")
    assert back.columns.n_nodes == n + 1, "the guard is read as the neuron that it guards"
    np.testing.assert_allclose(fg.compile(back, executor="python").predict(X[n + 2 :]), wanted[n + 2 :])


def test_a_guard_of_other_entries_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x", "two"], ["r"], keepdims=0),
        helper.make_node("IsNaN", ["x"], ["i"]),
        helper.make_node("Cast", ["i"], ["c"], to=FLOAT),
        helper.make_node("ReduceMax", ["c", "one"], ["m"], keepdims=0),
        helper.make_node("Neg", ["m"], ["n"]),
        helper.make_node("Sqrt", ["n"], ["s"]),
        helper.make_node("Add", ["r", "s"], ["y"]),
    ]
    constants = {"two": np.array([2], np.int64), "one": np.array([1], np.int64)}
    (tmp_path / "a.onnx").write_bytes(model(nodes, {"x": ["N", 3, 3]}, constants).SerializeToString())
    with pytest.raises(FileError, match="looks for NaN along other axes"):
        fg.load(tmp_path / "a.onnx")
