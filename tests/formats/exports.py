"""Models as PyTorch's two exporters and skl2onnx write them: what the tests of ONNX read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 6


def torch_modules() -> Mapping[str, Callable[[], Any]]:
    """By name: what makes a module from (N, 6) to (N, …)."""
    from torch import nn
    from torch.nn import functional as F

    class By(nn.Module):
        """A layer, and a function of its output h and the layer's own input x."""

        def __init__(self, act: Callable[[Any, Any], Any], layer: Any = None) -> None:
            super().__init__()
            self.layer = nn.Linear(FEATURES, 8) if layer is None else layer
            self.act = act

        def forward(self, x: Any) -> Any:
            return self.act(self.layer(x), x)

    class Masked(nn.Linear):
        def __init__(self) -> None:
            super().__init__(FEATURES, FEATURES)
            self.register_buffer("mask", (self.weight > 0).float())

        def forward(self, x: Any) -> Any:
            return F.linear(x, self.weight * self.mask, self.bias)

    def then(*layers: Any) -> Callable[[], Any]:
        return lambda: nn.Sequential(nn.Linear(FEATURES, 8), *layers, nn.Linear(8, 3))

    plain = ["ReLU", "Sigmoid", "Tanh", "ELU", "SELU", "CELU", "LeakyReLU", "PReLU", "Hardswish", "Hardsigmoid",
             "Hardtanh", "ReLU6", "SiLU", "Mish", "Softplus", "Softsign", "LogSigmoid", "Tanhshrink",
             "GELU"]  # fmt: skip
    return {
        **{name: then(getattr(nn, name)()) for name in plain},
        "GELU by tanh": then(nn.GELU("tanh")),
        "Softplus, beta 2": then(nn.Softplus(2.0, 10.0)),
        "CELU, alpha 2": then(nn.CELU(2.0)),
        "PReLU, one a channel": then(nn.PReLU(8)),
        "Threshold": then(nn.Threshold(0.1, 0.0)),
        "Softmax": then(nn.Softmax(-1)),
        "LogSoftmax": then(nn.LogSoftmax(-1)),
        "BatchNorm": then(nn.BatchNorm1d(8), nn.ReLU()),
        "LayerNorm": then(nn.LayerNorm(8), nn.ReLU()),
        "GroupNorm": then(nn.GroupNorm(2, 8)),
        "Dropout": then(nn.Dropout(0.5), nn.ReLU()),
        "Pow": lambda: By(lambda h, x: h**2 + h.pow(3)),
        "Abs, Sqrt, Exp, Log": lambda: By(lambda h, x: (h.abs() + 1).sqrt() + (-h).exp() + (h.abs() + 1).log()),
        "Reciprocal": lambda: By(lambda h, x: 1 / (2 + h.sigmoid())),
        "Clamp": lambda: By(lambda h, x: h.clamp(-0.3, 0.4)),
        "Where": lambda: By(lambda h, x: F.relu(h).where(h > 0.1, 0.2 * h)),
        "Min, Max": lambda: By(lambda h, x: h[:, :4].maximum(h[:, 4:]).minimum(h[:, ::2])),
        "Flatten": lambda: By(lambda h, x: h.reshape(-1, 2, 4).flatten(1)),
        "Reshape of its own batch": lambda: By(
            lambda h, x: h.view(h.size(0), 4, 2).transpose(1, 2).reshape(h.size(0), -1)
        ),
        "Squeeze": lambda: By(lambda h, x: h.unsqueeze(1).squeeze(1)),
        "Chunk": lambda: By(lambda h, x: h.chunk(2, 1)[0] * h.chunk(2, 1)[1].sigmoid()),
        "Split": lambda: By(lambda h, x: h.split([3, 5], 1)[1]),
        "GLU": lambda: By(lambda h, x: F.glu(h, -1)),
        "Concat": lambda: By(lambda h, x: __import__("torch").cat([h, x], 1)),
        "Residual": lambda: By(lambda h, x: x + h.tanh(), nn.Linear(FEATURES, FEATURES)),
        "Masked": lambda: nn.Sequential(Masked(), nn.ReLU(), nn.Linear(FEATURES, 2)),
        "Mean": lambda: By(lambda h, x: h.mean(1, keepdim=True) + h.sum(-1, keepdim=True)),
        "Norm": lambda: By(lambda h, x: h / h.norm(dim=1, keepdim=True)),
        "Standardised": lambda: By(lambda h, x: (h - h.mean(1, keepdim=True)) / h.std(1, keepdim=True)),
        "Slice": lambda: By(lambda h, x: h[:, 1:7:2]),
    }  # fmt: skip


def exported(module: Any, dynamo: bool, opset: int | None = None) -> bytes:
    """The ONNX model of a module as one of torch's exporters writes it, its batch open."""
    import torch

    x, out = torch.zeros(2, FEATURES), io.BytesIO()
    if dynamo:
        how: Any = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("N", min=1)},), "verbose": False}
    else:
        how = {"dynamo": False, "dynamic_axes": {"x": {0: "N"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x,), out, input_names=["x"], opset_version=opset, **how)
    return out.getvalue()


def sklearn_models() -> Mapping[str, Callable[[np.ndarray], bytes]]:
    """By name: what makes skl2onnx's model of a perceptron or linear model that has learned X (N, 6)."""
    from sklearn import linear_model
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler
    from sklearn.svm import LinearSVC

    def made(model: Any, targets: Callable[[np.ndarray], Any], **options: Any) -> Callable[[np.ndarray], bytes]:
        def make(X: np.ndarray) -> bytes:
            from skl2onnx import to_onnx

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted = model.fit(X, targets(X))
                said = {"options": {id(fitted): options}} if options else {}
                return bytes(to_onnx(fitted, X[:1].astype(np.float32), **said).SerializeToString())

        return make

    small: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 20, "random_state": 0}
    classes = {
        "binary": lambda X: (X[:, 0] > 0).astype(int),
        "three": lambda X: (X[:, 0] > 0).astype(int) + (X[:, 1] > 0),
        "labels": lambda X: (X[:, :3] > 0).astype(int),
    }
    return {
        "binary": made(MLPClassifier(**small), classes["binary"]),
        "binary, no zipmap": made(MLPClassifier(**small), classes["binary"], zipmap=False),
        "three": made(MLPClassifier(**small, activation="tanh"), classes["three"]),
        "three, no zipmap": made(MLPClassifier(**small, activation="logistic"), classes["three"], zipmap=False),
        "labels": made(MLPClassifier(**small), classes["labels"], zipmap=False),
        "texts": made(MLPClassifier(**small), lambda X: np.where(X[:, 0] > 0, "a", "b"), zipmap=False),
        "regressor": made(MLPRegressor(**small), lambda X: X[:, 0]),
        "two targets": made(make_pipeline(StandardScaler(), MLPRegressor(**small)), lambda X: X[:, :2]),
        "logistic": made(linear_model.LogisticRegression(), classes["binary"], zipmap=False),
        "logistic, zipmap": made(linear_model.LogisticRegression(), classes["three"]),
        "logistic, three": made(linear_model.LogisticRegression(), classes["three"], zipmap=False),
        "raw scores": made(linear_model.LogisticRegression(), classes["three"], zipmap=False, raw_scores=True),
        "sgd": made(linear_model.SGDClassifier(loss="log_loss"), classes["three"], zipmap=False),
        "svc": made(LinearSVC(), classes["three"]),
        "svc, binary": made(LinearSVC(), classes["binary"]),
        "ridge": made(linear_model.Ridge(), lambda X: X[:, :2]),
        "linear": made(make_pipeline(MinMaxScaler(), linear_model.LinearRegression()), lambda X: X[:, 0]),
        "norms": made(make_pipeline(Normalizer("l2"), linear_model.LinearRegression()), lambda X: X[:, 0]),
        "largest": made(make_pipeline(MaxAbsScaler(), linear_model.ElasticNet()), lambda X: X[:, 0]),
        "scaled": made(make_pipeline(StandardScaler(), MLPClassifier(**small)), classes["three"], zipmap=False),
    }


def write_all(folder: Path) -> None:
    """Every model into a folder, for a look at them."""
    X = np.random.default_rng(0).standard_normal((60, FEATURES))
    for name, make in sklearn_models().items():
        (folder / f"sk {name}.onnx").write_bytes(make(X))
    for name, module in torch_modules().items():
        for dynamo in (False, True):
            (folder / f"{'new' if dynamo else 'old'} {name}.onnx").write_bytes(exported(module(), dynamo))
