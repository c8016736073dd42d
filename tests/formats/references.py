"""Reference numbers of ../shared/data that a format reaches: what they are, the tolerance, and the error measured.

One table for the tests and for the page of formats (tests/benchmarks/bench_formats.py). An error is relative to
the largest number that is expected, where nothing else is said.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import flowgrad as fg
from flowgrad.formats import wann


@dataclass(frozen=True)
class Reference:
    """`error(data)` is at most `tolerance`."""

    format: str
    what: str
    tolerance: float
    error: Callable[[Path], float]


def off(found: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest number that is expected."""
    expected = np.asarray(expected, float)
    assert np.shape(found) == expected.shape
    return float(np.abs(np.asarray(found) - expected).max() / max(np.abs(expected).max(), 1e-300))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def hierarchy(folder: Path, net: fg.Network) -> float:
    """Outputs, gradients and adjoints of a hierarchy of tanh neurons, by the files beside it."""
    r, nodes = np.load(folder / "reference.npz"), rows(folder / "graph_nodes.csv")
    edges = [(row["source"], row["target"]) for row in rows(folder / "graph_edges.csv")]
    c = net.columns
    weight = dict(zip(edges, r["weights"].tolist(), strict=True))
    bias = dict(zip([row["node"] for row in nodes], r["biases"].tolist(), strict=True))
    given = np.array([weight[e] for e in c.ends])
    biases = np.array([0.0 if i else bias[v] for v, i in zip(c.ids, c.is_input.tolist(), strict=True)])
    inputs = [row["node"] for row in nodes if row["role"] == "input"]
    outputs = sorted(row["node"] for row in nodes if row["role"] == "output")
    at = [np.array([c.index[v] for v in some], np.int32) for some in (inputs, outputs)]
    net = fg.Network.from_columns(replace(c, weight=given, bias=biases, inputs=at[0], outputs=at[1]))
    program = fg.compile(net)
    acts = program.forward(r["X"])
    grads = program.backward(acts, cotangent=r["C"])
    neurons = [k for k, row in enumerate(nodes) if row["role"] != "input"]
    return max(
        off(acts.output, r["output"]),
        off([grads.weight[e] for e in edges], r["grad_weights"]),
        off([grads.bias[nodes[k]["node"]] for k in neurons], r["grad_biases"][neurons]),
        off(grads.input.array, r["grad_inputs"]),
        off([grads.da[row["node"]].mean() for row in nodes], r["node_adjoint_mean"]),
    )


def dcell(data: Path) -> float:
    folder = data / "dcell_go_0000790"
    return hierarchy(folder, fg.load(folder / "GO_0000790_topology", format="dcell"))


def reactome(data: Path) -> float:
    folder = data / "reactome"
    return hierarchy(
        folder, fg.load(folder / "ReactomePathwaysRelation.txt", format="reactome", output_activation="tanh")
    )


def edgelist(data: Path) -> float:
    folder = data / "reactome"
    net = fg.load(folder / "graph_edges.csv", activation="tanh", output_activation="tanh")
    return hierarchy(folder, net)


def gennet(data: Path) -> float:
    """|AUC − 0.9815| of the test set after 50 epochs: five seeds of another program reached 0.980 to 0.983."""
    folder = data / "gennet_classification"
    net = fg.load(folder / "topology.csv", format="gennet", output_activation="identity")
    X = np.loadtxt(folder / "genotype.csv.gz", delimiter=",")
    subjects = np.loadtxt(folder / "subjects.csv", delimiter=",", skiprows=1)
    y, of_set = subjects[:, 2], subjects[:, 4]
    X = X[subjects[:, 3].astype(int)]
    mean, scale = X[of_set == 1].mean(axis=0), X[of_set == 1].std(axis=0)
    X = (X - mean) / scale
    program = fg.compile(net, loss="binary_cross_entropy")
    learn, test = of_set == 1, of_set == 3
    fg.fit(program, X[learn], y[learn, None], learning_rate=0.003, epochs=50, batch_size=64, seed=0)
    return abs(auc(program.predict(X[test])[:, 0], y[test]) - 0.9815)


def auc(score: Any, truth: Any) -> float:
    """The share of pairs of a case and a control that the score orders rightly."""
    rank = np.argsort(np.argsort(score)) + 1
    cases = int(truth.sum())
    return float((rank[truth == 1].sum() - cases * (cases + 1) / 2) / (cases * (len(truth) - cases)))


def xor(data: Path) -> float:
    """The fitness that the file claims, 4 − Σ (y − t)²."""
    net = fg.load(data / "neat_xor_biped" / "xor_winner.json", format="neat")
    y = fg.compile(net).predict([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])[:, 0]
    return abs(4 - float(((y - [0, 1, 1, 0]) ** 2).sum()) - 3.9061692974679936)


def neat(data: Path) -> float:
    folder = data / "neat_xor_biped"
    reference = read_json(folder / "xor_reference.json")
    program = fg.compile(fg.load(folder / "xor_winner.json", format="neat"))
    acts = program.forward(reference["input"])
    grads = program.backward(acts, cotangent=reference["cotangent_C"])
    found = [grads.weight[u, v] for u, v in reference["edges"]]
    return max(off(acts.output, reference["output"]), off(found, reference["grad_weight"]))


def racer(data: Path) -> float:
    folder = data / "wann_racer"
    net, reference = fg.load(folder / "racer.out"), read_json(folder / "reference.json")
    errors = []
    for case in ("stored", "tuned"):
        wanted, c = reference["cases"][case], net.columns
        tuned = wann.read_tuned(folder / "vae_racing.wann.json", net)
        program = fg.compile(net if case == "stored" else fg.Network.from_columns(replace(c, weight=tuned)))
        acts = program.forward(reference["input"])
        grads = program.backward(acts, cotangent=reference["cotangent_C"])
        slopes = [grads.weight[u, v] for u, v in reference["edges"]]
        errors += [off(acts.output, wanted["output"]), off(slopes, wanted["grad_w"])]
    return max(errors)


def published_aircraft(data: Path) -> float:
    """The output vector that the format's own tests print, to all its digits: the largest difference."""
    program = fg.compile(fg.load(data / "acasxu" / "TestNetwork.nnet"))
    published = [270.94961805, 280.8974763, 274.55254776, 288.10071007, 256.18037737]
    return float(np.abs(program.predict([[1.0, 1.0, 1.0, 100.0, 1.0]])[0] - published).max())


def aircraft(data: Path) -> float:
    errors = []
    for name in ("1_1", "3_3"):
        stem = data / "acasxu" / f"ACASXU_run2a_{name}_batch_2000"
        reference = read_json(stem.with_name(stem.name + "_reference.json"))
        program = fg.compile(fg.load(stem.with_name(stem.name + ".nnet")))
        acts = program.forward(reference["inputs_physical"])
        raw = np.stack([acts.a[f"raw{j}"] for j in range(5)], axis=1)
        span = program.plan.weight[program.labels.edge(("raw0", "y0"))]
        grads = program.backward(acts, cotangent=np.array(reference["cotangent_C"]) / span)
        slopes = np.stack([grads.da[f"norm{k}"] for k in range(5)], axis=1)
        errors += [off(raw, reference["outputs_network_f64"]), off(slopes, reference["grad_input"])]
    return max(errors)


def aircraft_by_onnxruntime(data: Path) -> float:
    """The largest difference to float32 outputs of the ONNX twin, of the network without its scaling."""
    errors = []
    for name in ("1_1", "3_3"):
        stem = data / "acasxu" / f"ACASXU_run2a_{name}_batch_2000"
        reference = read_json(stem.with_name(stem.name + "_reference.json"))
        acts = fg.compile(fg.load(stem.with_name(stem.name + ".nnet"))).forward(reference["inputs_physical"])
        raw = np.stack([acts.a[f"raw{j}"] for j in range(5)], axis=1)
        errors.append(float(np.abs(raw - np.array(reference["outputs_onnxruntime_f32"])).max()))
    return max(errors)


def iris(data: Path) -> float:
    net = fg.load(data / "pmml_iris" / "nn-iris.pmml")
    table = rows(data / "pmml_iris" / "iris_inputs_expected.csv")
    wanted = [[float(row[f"neuron{v}"]) for v in net.outputs] for row in table]
    found = fg.compile(net).predict([[float(row[f]) for f in net.inputs] for row in table])
    return float(np.abs(found - np.array(wanted)).max())


def iris_accuracy(data: Path) -> float:
    """|accuracy − 0.96| over the 150 flowers; the neurons are versicolor, setosa, virginica as the file orders them."""
    net = fg.load(data / "pmml_iris" / "nn-iris.pmml")
    table = rows(data / "pmml_iris" / "iris_inputs_expected.csv")
    best = fg.compile(net).predict([[float(row[f]) for f in net.inputs] for row in table]).argmax(axis=1)
    kinds = [row["class"] for row in table]
    classes = [max(set(kinds), key=[k for k, b in zip(kinds, best, strict=True) if b == n].count) for n in range(3)]
    return abs(float(np.mean([classes[b] == k for b, k in zip(best, kinds, strict=True)])) - 0.96)


def effects(data: Path) -> float:
    errors = []
    for name in ("ecoli70", "magic-niab"):
        folder = data / "scm_linear_gaussian"
        net, reference = fg.load(folder / f"{name}.json", format="pgmpy"), read_json(folder / f"{name}_reference.json")
        table = np.loadtxt(folder / f"{name}_total_effects.csv", delimiter=",", skiprows=1)
        program, nodes = fg.compile(net), reference["nodes"]
        acts = program.forward([[net.graph.nodes[v]["intercept"] for v in net.inputs]])
        errors.append(off([acts.a[v][0] for v in nodes], reference["mean"]))
        acts = program.forward(np.zeros((len(net.outputs), len(net.inputs))))
        grads = program.backward(acts, cotangent=np.eye(len(net.outputs)))  # sample i asks for output i
        errors.append(off(np.array([grads.da[v] for v in nodes]).T, table[[nodes.index(y) for y in net.outputs]]))
    return max(errors)


def operators(data: Path) -> float:
    errors = []
    for folder in sorted((data / "onnx_backend").glob("test_*")):
        case = read_json(folder / "data.json")
        values = {k: np.array(v["data"], float).reshape(v["shape"]) for k, v in case.items()}
        net = fg.load(folder / "model.onnx")
        given = [values[k] for k in sorted(values) if k.startswith("input")]
        X = given[0].reshape(len(given[0]), -1) if len(given) == 1 else np.concatenate([v.ravel() for v in given])[None]
        found = fg.compile(net).predict(X)
        errors.append(off(found.ravel(), values["output_0"].ravel()))
    return max(errors)


REFERENCES = (
    Reference("edgelist", "2,516 pathways: outputs and gradients by NumPy", 1e-12, edgelist),
    Reference("reactome", "2,516 pathways: outputs and gradients by NumPy", 1e-12, reactome),
    Reference("dcell", "135 terms and genes: outputs and gradients by NumPy", 1e-12, dcell),
    Reference("gennet", "test AUC after 50 epochs, from the middle of 0.980 to 0.983", 0.0025, gennet),
    Reference("neat", "the claimed XOR fitness", 1e-13, xor),
    Reference("neat", "outputs by neat-python, gradients by JAX", 1e-12, neat),
    Reference("wann", "outputs by the original program, gradients by JAX", 1e-12, racer),
    Reference("nnet", "the published output vector", 5e-9, published_aircraft),
    Reference("nnet", "outputs and gradients by JAX, float64", 1e-11, aircraft),
    Reference("nnet", "float32 outputs by onnxruntime", 2e-7, aircraft_by_onnxruntime),
    Reference("pmml", "the published probabilities", 1e-12, iris),
    Reference("pmml", "the published accuracy, 0.96", 1e-12, iris_accuracy),
    Reference("pgmpy", "means and total effects, inv(1 − B)", 1e-13, effects),
    Reference("onnx", "stored outputs of seven models, float32", 1e-6, operators),
)
