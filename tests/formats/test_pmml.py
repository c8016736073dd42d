"""PMML: published probabilities, every activation and normalisation by hand, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("defusedxml")


@pytest.mark.data
def test_the_published_probabilities(data: Path, executor: str) -> None:
    net = fg.load(data / "pmml_iris" / "nn-iris.pmml")
    with open(data / "pmml_iris" / "iris_inputs_expected.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    X = [[float(row[f]) for f in net.inputs] for row in rows]
    wanted = [[float(row[f"neuron{v}"]) for v in net.outputs] for row in rows]
    assert net.outputs == ("10", "11", "12")
    program = fg.compile(net, executor=executor)
    np.testing.assert_allclose(program.predict(X), wanted, rtol=0, atol=1e-12)
    assert len(program.theta) == 4 * 5 + 5 + 5 * 3 + 3  # softmax holds no parameter


REF = '<FieldRef field="u"/>'


def document(layer: str = 'activationFunction="tanh"', norm: str = REF, out: str = REF) -> str:
    return f"""<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
<DataDictionary><DataField name="u" optype="continuous"/><DataField name="c" optype="categorical"/></DataDictionary>
<NeuralNetwork functionName="regression" activationFunction="identity">
<MiningSchema><MiningField name="u"/></MiningSchema>
<NeuralInputs><NeuralInput id="1"><DerivedField>{norm}</DerivedField></NeuralInput>
<NeuralInput id="2"><DerivedField><NormDiscrete field="c" value="red"/></DerivedField></NeuralInput></NeuralInputs>
<NeuralLayer {layer}>
<Neuron id="3" bias="0.25"><Con from="1" weight="0.5"/><Con from="2" weight="-2"/></Neuron>
<Neuron id="4" bias="2"><Con from="1" weight="1.5"/></Neuron></NeuralLayer>
<NeuralOutputs><NeuralOutput outputNeuron="3"><DerivedField>{out}</DerivedField></NeuralOutput>
<NeuralOutput outputNeuron="4"><DerivedField><FieldRef field="u"/></DerivedField></NeuralOutput></NeuralOutputs>
</NeuralNetwork></PMML>"""


def answers(folder: Path, text: str, X: object) -> np.ndarray:
    (folder / "net.pmml").write_text(text)
    net = fg.load(folder / "net.pmml")
    assert net.inputs == ("u", "c=red")
    return fg.compile(net, executor="python").predict(X)


FUNCTIONS = {
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "identity": lambda z: z,
    "rectifier": lambda z: np.maximum(z, 0),
    "exponential": np.exp,
    "sine": np.sin,
    "cosine": np.cos,
    "Gauss": lambda z: np.exp(-(z**2)),
    "Elliott": lambda z: z / (1 + abs(z)),
    "arctan": lambda z: 2 * np.arctan(z) / np.pi,
    "square": lambda z: z * z,
    "reciprocal": lambda z: 1 / z,
    "threshold": lambda z: (z > 0.75) * 1.0,
}
X = np.array([[0.5, 1.0], [-1.25, 0.0], [3.0, 0.0], [1.0, 1.0]])
Z = X @ [[0.5, 1.5], [-2.0, 0.0]] + [0.25, 2.0]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_activation_by_its_definition(tmp_path: Path, function: str) -> None:
    got = answers(tmp_path, document(f'activationFunction="{function}" threshold="0.75"'), X)
    np.testing.assert_allclose(got, FUNCTIONS[function](Z), rtol=1e-14, atol=1e-15)


def test_softmax_and_simplemax(tmp_path: Path) -> None:
    soft = answers(tmp_path, document('normalizationMethod="softmax"'), X)
    np.testing.assert_allclose(soft, np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True), rtol=1e-14)
    far = answers(tmp_path, document('normalizationMethod="softmax"'), [[1e4, 0.0], [-1e4, 0.0]])
    assert far.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    simple = answers(tmp_path, document('normalizationMethod="simplemax"'), X)
    np.testing.assert_allclose(simple, Z / Z.sum(axis=1, keepdims=True), rtol=1e-13)


POINTS = '<LinearNorm orig="-1" norm="0"/><LinearNorm orig="1" norm="1"/><LinearNorm orig="2" norm="4"/>'


@pytest.mark.parametrize("outliers", ["asIs", "asExtremeValues"])
def test_inputs_by_straight_pieces_and_outputs_turned_back(tmp_path: Path, outliers: str) -> None:
    norm = f'<NormContinuous field="u" outliers="{outliers}">{POINTS}</NormContinuous>'
    out = '<NormContinuous field="u"><LinearNorm orig="10" norm="0"/><LinearNorm orig="30" norm="1"/></NormContinuous>'
    u = np.array([-3.0, -1.0, 0.0, 1.0, 1.5, 2.0, 5.0])
    n = np.interp(u, [-1, 1, 2], [0, 1, 4])
    if outliers == "asIs":
        n = np.where(u < -1, (u + 1) / 2, np.where(u > 2, 4 + 3 * (u - 2), n))
    got = answers(tmp_path, document("", norm, out), np.column_stack([u, 0 * u]))
    np.testing.assert_allclose(got, np.column_stack([10 + 20 * (0.5 * n + 0.25), 1.5 * n + 2]), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tanh", "tahn", "layer 1: activationFunction tahn is not read: did you mean 'tanh'"),
        ("tanh", "radialBasis", "radialBasis is not read"),
        ('from="2"', 'from="9"', "Neuron 3: no neuron 9 before it"),
        ('from="2"', 'from="1"', "Neuron 3: Con from 1 is given twice"),
        ('from="2"', 'from="3"', "Neuron 3: no neuron 3 before it"),
        ('id="4"', 'id="3"', "Neuron 3 is given twice"),
        ('weight="-2"', 'weight="inf"', "Neuron 3: weight of Con is 'inf'"),
        ('bias="2"', 'bias="x"', "Neuron 4: bias of Neuron is 'x'"),
        ('field="u"', 'field="v"', "field v is no DataField; known: u, c"),
        (
            '<NormDiscrete field="c" value="red"/>',
            '<Apply function="+"/>',
            r"Apply of function \+ has 0 arguments, not 2",
        ),
        ('<NormDiscrete field="c" value="red"/>', "<MapValues/>", "element MapValues in DerivedField"),
        ('<NormDiscrete field="c" value="red"/>', '<FieldRef field="c"/>', "field c is categorical"),
        ("<Header/>", "<Header/><TreeModel/>", "element TreeModel in PMML is not read"),
        ("<MiningSchema>", "<Segmentation/><MiningSchema>", "element Segmentation in NeuralNetwork is not read"),
        ("<Header/>", '<!DOCTYPE x [<!ENTITY a "b">]><Header/>', "well-formed|entity"),
        ('outputNeuron="4"', 'outputNeuron="3"', "each once"),
    ],
)
def test_what_is_wrong_is_refused_by_name(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = document()
    assert old in text
    (tmp_path / "net.pmml").write_text(text.replace(old, new, 1))
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / "net.pmml")
