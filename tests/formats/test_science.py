"""Aircraft collision networks (.nnet) and linear Gaussian networks (pgmpy): published and computed numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg

# ---- .nnet --------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_the_published_output(data: Path, executor: str) -> None:
    program = fg.compile(fg.load(data / "acasxu" / "TestNetwork.nnet"), executor=executor)
    published = [270.94961805, 280.8974763, 274.55254776, 288.10071007, 256.18037737]
    np.testing.assert_allclose(program.predict([[1.0, 1.0, 1.0, 100.0, 1.0]])[0], published, rtol=0, atol=5e-9)


@pytest.mark.data
@pytest.mark.parametrize("name", ["1_1", "3_3"])
def test_outputs_and_gradients_of_the_aircraft(data: Path, executor: str, name: str) -> None:
    stem = f"ACASXU_run2a_{name}_batch_2000"
    program = fg.compile(fg.load(data / "acasxu" / f"{stem}.nnet"), executor=executor)
    reference = json.loads((data / "acasxu" / f"{stem}_reference.json").read_text())
    acts = program.forward(reference["inputs_physical"])
    raw = np.stack([acts.a[f"raw{j}"] for j in range(5)], axis=1)
    np.testing.assert_allclose(raw, reference["outputs_network_f64"], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(acts.output, reference["outputs_physical_f64"], rtol=1e-11, atol=1e-11)
    normalised = np.stack([acts.a[f"norm{k}"] for k in range(5)], axis=1)
    np.testing.assert_allclose(normalised, reference["inputs_normalised"], rtol=0, atol=1e-14)
    # the reference is L = Σ C · (network's own outputs), by normalised inputs: ∂L/∂y = C / range of the outputs
    span = program.plan.weight[program.labels.edge(("raw0", "y0"))]
    grads = program.backward(acts, cotangent=np.array(reference["cotangent_C"]) / span)
    by_input = np.stack([grads.da[f"norm{k}"] for k in range(5)], axis=1)
    np.testing.assert_allclose(by_input, reference["grad_input"], rtol=1e-9, atol=1e-13)
    for k in range(1, 8):
        names = [f"raw{j}" if k == 7 else f"h{k}.{j}" for j in range(5 if k == 7 else 50)]
        before = [f"norm{i}" for i in range(5)] if k == 1 else [f"h{k - 1}.{i}" for i in range(50)]
        np.testing.assert_allclose([grads.bias[v] for v in names], reference["grad_b"][k - 1], rtol=1e-8, atol=1e-12)
        if name == "1_1":  # the other file leaves them out
            W = np.array(reference["grad_W"][k - 1])
            W = W if W.shape == (len(names), len(before)) else W.T
            got = [[grads.weight[u, v] for u in before] for v in names]
            np.testing.assert_allclose(got, W, rtol=1e-8, atol=1e-12)


NNET = """// a comment
2,2,1,2,
2,2,1,
0,
-1.0,0.0,
1.0,4.0,
0.0,2.0,10.0,
2.0,4.0,100.0,
1.0,2.0,
-1.0,0.5,
0.25,
-0.5,
3.0,-2.0,
0.125,
"""


def test_a_small_nnet_by_hand(tmp_path: Path) -> None:
    (tmp_path / "net.nnet").write_text(NNET)
    program = fg.compile(fg.load(tmp_path / "net.nnet"))
    X = np.array([[0.5, 3.0], [-7.0, 9.0], [0.0, 0.0]])
    x = (np.clip(X, [-1, 0], [1, 4]) - [0, 2]) / [2, 4]
    h = np.maximum(x @ np.array([[1.0, -1.0], [2.0, 0.5]]) + [0.25, -0.5], 0)
    np.testing.assert_allclose(program.predict(X), (h @ [[3.0], [-2.0]] + 0.125) * 100 + 10, rtol=1e-15)
    assert len(program.theta) == 2 * 2 + 2 + 2 + 1  # normalisation is not trained


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("-1.0,0.5,", "-1.0,0.5,3,", "line 10: 3 values, where 2"),
        ("0.25,", "x,", "line 11: a value is no finite number"),
        ("0.125,\n", "", "ends after line 13: truncated"),
        ("0.125,\n", "0.125,\n7,\n", "line 15: more lines"),
        ("2.0,4.0,100.0", "2.0,0,100.0", "line 8: a range is 0"),
        ("1.0,4.0,\n", "1.0,-4.0,\n", "minimum is above"),
        ("2,2,1,2,", "2,3,1,2,", "do not begin with 3"),
        ("2,2,1,2,", "2.5,2,1,2,", "2.5 must be an integer"),
    ],
)
def test_an_nnet_that_is_wrong_names_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    (tmp_path / "net.nnet").write_text(NNET.replace(old, new, 1))
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / "net.nnet")


# ---- linear Gaussian networks ---------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["ecoli70", "magic-niab"])
def test_total_effects_are_gradients(data: Path, executor: str, name: str) -> None:
    folder = data / "scm_linear_gaussian"
    net = fg.load(folder / f"{name}.json", format="pgmpy")
    facts = json.loads((data / "FACTS.json").read_text())[f"scm_{name}"]
    assert (net.columns.n_nodes, net.columns.n_edges) == (facts["nodes"], facts["edges"])
    assert np.bincount(net.columns.level).tolist() == facts["nodes_per_level"]
    reference = json.loads((folder / f"{name}_reference.json").read_text())
    table = (folder / f"{name}_total_effects.csv").read_text().splitlines()
    effects = np.array(list(csv.reader(table))[1:], float)
    nodes, graph = reference["nodes"], net.graph
    program = fg.compile(net, executor=executor)
    acts = program.forward([[graph.nodes[v]["intercept"] for v in net.inputs]])
    np.testing.assert_allclose([acts.a[v][0] for v in nodes], reference["mean"], rtol=1e-12, atol=1e-13)
    for k, y in enumerate(net.outputs):
        cotangent = np.zeros((1, len(net.outputs)))
        cotangent[0, k] = 1.0
        grads = program.backward(acts, cotangent=cotangent)
        got = [grads.da[v][0] for v in nodes]
        np.testing.assert_allclose(got, effects[nodes.index(y)], rtol=1e-13, atol=1e-14)


GAUSS = {
    "nodes": ["a", "b"],
    "arcs": [["a", "b"]],
    "cpds": {
        "a": {"coefficients": {"(Intercept)": [1.5]}, "variance": [2.0], "parents": []},
        "b": {"coefficients": {"(Intercept)": [0.5], "a": [-2.0]}, "variance": [1.0], "parents": ["a"]},
    },
}


def test_a_small_gaussian_by_hand(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps(GAUSS))
    net = fg.load(tmp_path / "net.json", format="pgmpy")
    assert fg.compile(net).predict([[3.0]]).tolist() == [[-5.5]]
    assert net.graph.nodes["a"] == {"intercept": 1.5, "variance": 2.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("arcs"), r"arcs\[0\] is None"),
        (lambda d: d["arcs"].append(["a", "c"]), r"arcs\[1\]: 'c' is no node"),
        (lambda d: d["arcs"].append(["a", "b"]), "is given twice"),
        (lambda d: d["arcs"].append(["b", "a"]), "no coefficient for parent 'b'"),
        (lambda d: d["cpds"]["b"]["coefficients"].update(c=[1.0]), "no arc for parent 'c'"),
        (lambda d: d["cpds"]["b"]["coefficients"].update(a=["x"]), r"\['a'\] is 'x': must be one finite"),
        (lambda d: d["cpds"].pop("b"), r"cpds\['b'\] is None"),
        (lambda d: d["cpds"].update(bb={}), "'bb', which is no node: did you mean 'b'"),
        (lambda d: d["cpds"]["a"]["coefficients"].pop("(Intercept)"), "no '\\(Intercept\\)'"),
        (lambda d: d.update(nodes=["a", "a"]), "each once"),
    ],
)
def test_a_gaussian_that_is_wrong_is_refused(tmp_path: Path, change, words: str) -> None:
    document = json.loads(json.dumps(GAUSS))
    change(document)
    (tmp_path / "net.json").write_text(json.dumps(document))
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / "net.json", format="pgmpy")
