"""ONNX as PyTorch and skl2onnx write it, against onnxruntime; external data."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg

onnx = pytest.importorskip("onnx", reason="ONNX models are read by the library onnx")

spec = importlib.util.spec_from_file_location("exports", Path(__file__).with_name("exports.py"))
exports: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exports)
FEW = ["PReLU", "Hardswish", "CELU", "GELU", "BatchNorm", "LayerNorm", "Chunk", "Concat", "Residual", "Masked"]
REFUSED = {"two targets": "operator Reshape: .* mixes samples"}


def agrees(path: Path) -> None:
    """The network gives what onnxruntime gives, of every output of floating point."""
    runtime = pytest.importorskip("onnxruntime")
    X = np.random.default_rng(5).standard_normal((7, exports.FEATURES)).astype(np.float32)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = [np.array([list(r.values()) for r in o]) if isinstance(o, list) else np.asarray(o)
             for o in session.run(None, {session.get_inputs()[0].name: X})]  # fmt: skip
    wanted = np.concatenate([o.reshape(7, -1) for o in found if o.dtype.kind == "f"], axis=1)
    got = fg.compile(fg.load(path), executor="python").predict(X.astype(np.float64))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamo", [False, True])
def test_exports_of_torch(tmp_path: Path, dynamo: bool, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("torch", reason="PyTorch's exporters are tried where PyTorch is installed")
    pytest.importorskip("onnxscript", reason="PyTorch's new exporter needs onnxscript")
    modules = exports.torch_modules()
    for name in modules if request.config.getoption("--soak") else FEW:
        if name == "Threshold" and not dynamo:
            continue  # the old exporter has no form of it
        (tmp_path / "net.onnx").write_bytes(exports.exported(modules[name](), dynamo))
        agrees(tmp_path / "net.onnx")


def test_perceptrons_of_scikit_learn(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx", reason="exports of scikit-learn are tried where skl2onnx is installed")
    X = np.random.default_rng(0).standard_normal((60, exports.FEATURES))
    for name, make in exports.sklearn_models().items():
        (tmp_path / "net.onnx").write_bytes(make(X))
        if name in REFUSED:
            with pytest.raises(fg.FlowgradError, match=REFUSED[name]):
                fg.load(tmp_path / "net.onnx")
        else:
            agrees(tmp_path / "net.onnx")


def test_numbers_in_a_file_beside_the_model(tmp_path: Path) -> None:
    net = fg.topologies.layered([3, 4, 2], seed=1)
    fg.save(net, tmp_path / "one.onnx")
    path = tmp_path / "net.onnx"
    onnx.save(onnx.load(tmp_path / "one.onnx"), path, save_as_external_data=True, location="net.data", size_threshold=0)
    X = np.ones((2, 3))
    wanted = fg.compile(fg.load(tmp_path / "one.onnx"), executor="python").predict(X)
    np.testing.assert_array_equal(fg.compile(fg.load(path), executor="python").predict(X), wanted)
    (tmp_path / "net.data").write_bytes(b"\0")
    with pytest.raises(fg.FlowgradError, match=r"net\.data has 1 bytes: its data are bytes"):
        fg.load(path)
    (tmp_path / "net.data").unlink()
    with pytest.raises(fg.FlowgradError, match=r"no file net\.data beside the model"):
        fg.load(path)
