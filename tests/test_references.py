"""Networks, outputs and gradients that nobody in this project made: ../shared/data, read by small readers.

Tolerances are relative to the largest number of an array. The reference programs add in other orders, so that
agreement to a few units in the twelfth digit is what float64 allows.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg

pytestmark = pytest.mark.data


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    expected = np.asarray(expected, float)
    assert np.shape(found) == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-300)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


# ---- hierarchies of tanh neurons ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dcell_go_0000790", "reactome"])
def test_a_hierarchy_of_tanh_neurons(data: Path, executor: str, name: str) -> None:
    """Gene ontology (135 nodes) and human pathways (2,516 nodes): outputs, gradients and adjoints by plain NumPy."""
    r = np.load(data / name / "reference.npz")
    with open(data / name / "graph_nodes.csv", encoding="utf-8") as file:
        nodes = [(row["node"], row["role"]) for row in csv.DictReader(file)]
    with open(data / name / "graph_edges.csv", encoding="utf-8") as file:
        edges = [(row["source"], row["target"]) for row in csv.DictReader(file)]
    G = nx.DiGraph()
    for (v, role), bias in zip(nodes, r["biases"], strict=True):
        G.add_node(v, **({} if role == "input" else {"activation": "tanh", "bias": bias}))
    for (u, v), w in zip(edges, r["weights"], strict=True):
        G.add_edge(u, v, weight=w)
    inputs = [v for v, role in nodes if role == "input"]
    outputs = sorted(v for v, role in nodes if role == "output")  # as reference_README.txt lists them
    program = fg.compile(fg.Network.from_networkx(G, inputs=inputs, outputs=outputs), executor=executor)
    acts = program.forward(r["X"])
    close(acts.output, r["output"])
    grads = program.backward(acts, cotangent=r["C"])
    close([grads.weight[e] for e in edges], r["grad_weights"])
    neurons = [k for k, (_, role) in enumerate(nodes) if role != "input"]
    close([grads.bias[nodes[k][0]] for k in neurons], r["grad_biases"][neurons])
    close(grads.input.array, r["grad_inputs"])
    close([grads.da[v].mean() for v, _ in nodes], r["node_adjoint_mean"])
    assert (acts.output * r["C"]).sum() == pytest.approx(float(r["loss"]), rel=1e-12)


# ---- linear structural models -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ecoli70", "magic-niab"])
def test_total_effects_of_a_structural_model_are_its_gradients(data: Path, executor: str, name: str) -> None:
    """∂ mean of node i / ∂ intercept of node j is the sum over all directed paths: inv(1 − B)."""
    folder = data / "scm_linear_gaussian"
    model, reference = read_json(folder / f"{name}.json"), read_json(folder / f"{name}_reference.json")
    G = nx.DiGraph()
    G.add_node("nothing")  # a network has inputs; these models are all bias
    for v in model["nodes"]:
        coefficients = model["cpds"][v]["coefficients"]
        G.add_node(v, activation="identity", bias=coefficients["(Intercept)"][0])
        G.add_edges_from((u, v, {"weight": w[0]}) for u, w in coefficients.items() if u != "(Intercept)")
    assert set(G.edges) == {tuple(arc) for arc in model["arcs"]}
    nodes = reference["nodes"]
    program = fg.compile(fg.Network.from_networkx(G, inputs=["nothing"], outputs=nodes), executor=executor)
    acts = program.forward(np.zeros((len(nodes), 1)))
    close(acts.output[0], reference["mean"])
    grads = program.backward(acts, cotangent=np.eye(len(nodes)))  # sample i asks for node i
    effects = np.loadtxt(folder / f"{name}_total_effects.csv", delimiter=",", skiprows=1)
    close(np.array([grads.dz[v] for v in nodes]).T, effects)


# ---- a weight-agnostic champion -----------------------------------------------------------------------------


def sine(z: float) -> float:
    return np.sin(np.pi * z)


def dsine(z: float) -> float:
    return np.pi * np.cos(np.pi * z)


def bell(z: float) -> float:
    return np.exp(-0.5 * z * z)


def dbell(z: float) -> float:
    return -z * np.exp(-0.5 * z * z)


def inverse(z: float) -> float:
    return -z


def dinverse(z: float) -> float:
    return -1.0


WANN = {
    1: "identity",
    2: "step",
    3: fg.Activation("sin πz", sine, dsine),
    4: fg.Activation("bell", bell, dbell),
    5: "tanh",
    6: "sigmoid",
    7: fg.Activation("inverse", inverse, dinverse),
    8: "abs",
    9: "relu",
}


@pytest.mark.parametrize("case", ["stored", "tuned", "shared_w=1", "shared_w=-1.5"])
def test_a_weight_agnostic_racer(data: Path, executor: str, case: str) -> None:
    """106 nodes, 9 activations, 3 of them the user's own; the weights are those of the case."""
    table = np.loadtxt(data / "wann_racer" / "racer.out", delimiter=",")
    reference = read_json(data / "wann_racer" / "reference.json")
    expected, edges = reference["cases"][case], [tuple(edge) for edge in reference["edges"]]
    drawn = np.argwhere(np.nan_to_num(table[:, :-1]) != 0)
    assert edges == [tuple(edge) for edge in drawn.tolist()]
    inputs = list(range(17))  # 0 is the bias node, constantly 1
    G = nx.DiGraph()
    G.add_nodes_from(inputs)
    for v in range(17, len(table)):
        G.add_node(v, activation=WANN[int(table[v, -1])], trainable=False)
    G.add_edges_from((u, v, {"weight": w}) for (u, v), w in zip(edges, expected["weights"], strict=True))
    outputs = list(range(len(table) - 3, len(table)))
    program = fg.compile(fg.Network.from_networkx(G, inputs=inputs, outputs=outputs), executor=executor)
    x = np.asarray(reference["input"])
    acts = program.forward(np.c_[np.ones(len(x)), x])
    close(acts.output, expected["output"])
    C = np.asarray(reference["cotangent_C"])
    grads = program.backward(acts, cotangent=C)
    assert (acts.output * C).sum() == pytest.approx(expected["loss"], rel=1e-12)
    close(grads.theta[[program.theta_index.weight[e] for e in edges]], expected["grad_w"])
    assert len(program.theta) == len(edges)
    close(grads.input.array[:, 1:], expected["grad_input"])


# ---- NEAT champions -----------------------------------------------------------------------------------------


def steep_sigmoid(z: float) -> float:
    return 1.0 / (1.0 + np.exp(-max(-60.0, min(60.0, 5.0 * z))))


def dsteep_sigmoid(z: float) -> float:
    if abs(5.0 * z) > 60.0:
        return 0.0
    e = np.exp(-abs(5.0 * z))
    return 5.0 * e / ((1.0 + e) * (1.0 + e))


def steep_tanh(z: float) -> float:
    return np.tanh(max(-60.0, min(60.0, 2.5 * z)))


def dsteep_tanh(z: float) -> float:
    if abs(2.5 * z) > 60.0:
        return 0.0
    e = np.exp(-2.0 * abs(2.5 * z))
    return 2.5 * 4.0 * e / ((1.0 + e) * (1.0 + e))


NEAT = {
    "sigmoid": fg.Activation("sigmoid(5z)", steep_sigmoid, dsteep_sigmoid),
    "tanh": fg.Activation("tanh(2.5z)", steep_tanh, dsteep_tanh),
    "relu": "relu",
}


@pytest.mark.parametrize("name", ["xor", "bipedal"])
def test_a_neat_champion(data: Path, executor: str, name: str) -> None:
    """Responses, steep activations, neurons without in-edges, inputs that feed nothing."""
    folder = data / "neat_xor_biped"
    genome, reference = read_json(folder / f"{name}_winner.json"), read_json(folder / f"{name}_reference.json")
    of = genome.get("topology", genome)
    weight = {(c["from"], c["to"]): c["weight"] for c in genome["connections"] if c["enabled"]}
    edges = [tuple(edge) for edge in reference["edges"]]
    G = nx.DiGraph()
    G.add_nodes_from(of["input_keys"])
    for node in genome["nodes"]:
        sigma = node["activation"]
        if node["id"] in reference["node_order"]:
            sigma = NEAT[sigma if isinstance(sigma, str) else sigma["name"]]
            G.add_node(node["id"], activation=sigma, bias=node["bias"], response=node["response"])
    G.add_edges_from((u, v, {"weight": weight[u, v]}) for u, v in edges)
    net = fg.Network.from_networkx(G, inputs=of["input_keys"], outputs=of["output_keys"])
    program = fg.compile(net, executor=executor)
    acts = program.forward(reference["input"])
    close(acts.output, reference["output"])
    C = np.asarray(reference["cotangent_C"])
    grads = program.backward(acts, cotangent=C)
    assert (acts.output * C).sum() == pytest.approx(reference["loss"], rel=1e-12)
    close([grads.weight[e] for e in edges], reference["grad_weight"])
    close([grads.bias[v] for v in reference["node_order"]], reference["grad_bias"])
    close(grads.input.array, reference["grad_input"])
    if name == "xor":  # the fitness that its file claims
        squares = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
        y = program.predict(squares)[:, 0]
        assert 4 - ((y - [0, 1, 1, 0]) ** 2).sum() == pytest.approx(genome["metadata"]["fitness"], rel=1e-13)


# ---- layered networks ---------------------------------------------------------------------------------------


class Nnet:
    """An .nnet file: layers of weights and biases between two affine maps."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8").splitlines()
        rows = [np.array(line.rstrip(",").split(","), float) for line in text if not line.startswith("//")]
        self.sizes = rows[1].astype(int).tolist()
        self.low, self.high, self.mean, self.range = rows[3:7]
        at, self.W, self.b = 7, [], []
        for n in self.sizes[1:]:
            self.W.append(np.array(rows[at : at + n]))
            self.b.append(np.concatenate(rows[at + n : at + 2 * n]))
            at += 2 * n

    def network(self) -> fg.Network:
        starts = np.cumsum([0, *self.sizes])
        source, target, weight = [], [], []
        for k, W in enumerate(self.W):
            v, u = np.indices(W.shape)
            source.append(starts[k] + u.ravel())
            target.append(starts[k + 1] + v.ravel())
            weight.append(W.ravel())
        sigma = ["relu"] * int(starts[-2]) + ["identity"] * self.sizes[-1]
        bias = np.concatenate([np.zeros(self.sizes[0]), *self.b])
        columns = (np.concatenate(c) for c in (source, target, weight))
        return fg.Network.from_arrays(*columns, bias=bias, activation=sigma)

    def normalised(self, x: Any) -> Any:
        return (np.clip(x, self.low, self.high) - self.mean[:-1]) / self.range[:-1]

    def physical(self, y: Any) -> Any:
        return y * self.range[-1] + self.mean[-1]


def test_an_aircraft_collision_network_gives_its_published_vector(data: Path, executor: str) -> None:
    nnet = Nnet(data / "acasxu" / "TestNetwork.nnet")
    y = fg.compile(nnet.network(), executor=executor).predict([nnet.normalised([1.0, 1, 1, 100, 1])])
    published = [270.94961805, 280.8974763, 274.55254776, 288.10071007, 256.18037737]
    np.testing.assert_allclose(nnet.physical(y[0]), published, rtol=0, atol=5e-9)


@pytest.mark.parametrize("name", ["1_1", "3_3"])
def test_gradients_of_aircraft_collision_networks(data: Path, executor: str, name: str) -> None:
    """310 neurons, 13,305 parameters, 6 layers of relu; gradients by another program in float64."""
    path = data / "acasxu" / f"ACASXU_run2a_{name}_batch_2000"
    nnet, reference = Nnet(path.with_suffix(".nnet")), read_json(path.parent / f"{path.name}_reference.json")
    program = fg.compile(nnet.network(), executor=executor)
    close(nnet.normalised(reference["inputs_physical"]), reference["inputs_normalised"])
    acts = program.forward(reference["inputs_normalised"])
    close(acts.output, reference["outputs_network_f64"])
    close(nnet.physical(acts.output), reference["outputs_physical_f64"])
    close(acts.output, reference["outputs_onnxruntime_f32"], 1e-4)
    C = np.asarray(reference["cotangent_C"])
    assert (acts.output * C).sum() == pytest.approx(reference["loss"], rel=1e-10)
    grads = program.backward(acts, cotangent=C)
    close(grads.input.array, reference["grad_input"])
    starts = np.cumsum([0, *nnet.sizes])
    for k, db in enumerate(reference["grad_b"]):
        close(grads.bias.array[starts[k + 1] : starts[k + 2]], db)
    if name == "1_1":
        edges = np.cumsum([0, *(W.size for W in nnet.W)])  # grouped by target, as the file's rows are
        for k, dW in enumerate(reference["grad_W"]):
            close(grads.weight.array[edges[k] : edges[k + 1]].reshape(nnet.W[k].shape), dW)


def test_a_pmml_network_gives_its_published_probabilities(data: Path, executor: str) -> None:
    """nn-iris: five logistic neurons and a softmax, which stands here behind the network's logits."""
    space = {"p": "http://www.dmg.org/PMML-4_4"}
    root = ElementTree.parse(data / "pmml_iris" / "nn-iris.pmml").getroot()
    G = nx.DiGraph()
    inputs = [n.attrib["id"] for n in root.iterfind(".//p:NeuralInput", space)]
    G.add_nodes_from(inputs)
    for layer in root.iterfind(".//p:NeuralLayer", space):
        sigma = layer.get("activationFunction", "logistic")
        for neuron in layer.iterfind("p:Neuron", space):
            v = neuron.attrib["id"]
            G.add_node(v, activation={"logistic": "sigmoid"}.get(sigma, sigma), bias=float(neuron.attrib["bias"]))
            for c in neuron.iterfind("p:Con", space):
                G.add_edge(c.attrib["from"], v, weight=float(c.attrib["weight"]))
    with open(data / "pmml_iris" / "iris_inputs_expected.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    fields = [f"{part} {way} (cm)" for part in ("sepal", "petal") for way in ("length", "width")]
    outputs = ["10", "11", "12"]
    program = fg.compile(fg.Network.from_networkx(G, inputs=inputs, outputs=outputs), executor=executor)
    y = program.predict([[float(row[f]) for f in fields] for row in rows])
    e = np.exp(y - y.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, [[float(row[f"neuron{n}"]) for n in outputs] for row in rows], rtol=0, atol=1e-14)
    classes = ["versicolor", "setosa", "virginica"]
    assert np.mean([classes[k] == row["class"] for k, row in zip(p.argmax(axis=1), rows, strict=True)]) == 0.96
