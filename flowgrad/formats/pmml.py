"""PMML 4: the element NeuralNetwork, its normalisation of inputs and outputs included.

Inputs are the fields: a continuous one is called as it is, a category `field=value` and holds 1 or 0. Neurons keep
their ids. Softmax and simplemax become groups of plain neurons with frozen weights, behind neurons `id.raw`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from flowgrad.errors import FileError, UnknownNameError, brief, show, suggest
from flowgrad.format import Format, Source
from flowgrad.formats import _groups, _xml
from flowgrad.network import Network

ACTIVATIONS = {
    "logistic": "sigmoid",
    "tanh": "tanh",
    "identity": "identity",
    "rectifier": "relu",
    "exponential": "exp",
    "sine": "sin",
    "cosine": "cos",
    "Gauss": "gaussian",
    "Elliott": "softsign",
    "arctan": "arctan",  # PMML's is 2/π of it: a second neuron scales
    "square": "square",
    "reciprocal": "reciprocal",
    "threshold": "step",
}
NORMALISATIONS = {"none": None, "softmax": _groups.softmax, "simplemax": _groups.simplemax}
DOCUMENT = ("Header", "DataDictionary", "NeuralNetwork", "MiningBuildTask")
MODEL = ("MiningSchema", "Output", "ModelStats", "ModelExplanation", "ModelVerification", "NeuralInputs",
         "NeuralLayer", "NeuralOutputs")  # fmt: skip


def read(source: Source) -> Network:
    """The network from fields to the neurons that NeuralOutputs names, in that order.

    What PMML says of missing and invalid values has nothing to act on: every input is a finite number.

    Raises:
        FileError: no such PMML, or an element, attribute or value that is not read; it is named with its id.
        UnknownNameError: an activation function, a field or a neuron that is not there.
    """
    return _Reader(str(source.path), _xml.parse(source.read(), str(source.path))).network()


def tag(element: Any) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


class _Reader:
    """One document; `node` leads from ids of NeuralInput and Neuron to names of nodes."""

    def __init__(self, what: str, root: Any) -> None:
        self.what, self.net = what, Network()
        if tag(root) != "PMML":
            raise FileError(f"{what}: the root element is {tag(root)}: PMML is read")
        parts = self.parts(root, (*DOCUMENT, "TransformationDictionary"))
        if any(tag(e) == "TransformationDictionary" and len(e) for e in parts):
            raise FileError(f"{what}: element TransformationDictionary is not read")
        self.model = self.one(root, "NeuralNetwork")
        self.parts(self.model, MODEL)
        self.fields = {e.get("name"): e for e in self.one(root, "DataDictionary") if tag(e) == "DataField"}
        neurons = [e.get("id", "") for e in self.model.iter() if tag(e) == "Neuron"]
        self.names = _groups.Names(neurons)
        self.node: dict[str, str] = {}
        self.made: set[str] = set()  # neurons made so far

    def network(self) -> Network:
        for field in self.parts(self.one(self.model, "MiningSchema"), ("MiningField",)):
            if field.get("outliers", "asIs") != "asIs":
                raise FileError(f"{self.what}: MiningField {show(field.get('name'))}: only outliers asIs are read")
        self.inputs(self.parts(self.one(self.model, "NeuralInputs"), ("NeuralInput",)))
        layers = [e for e in self.model if tag(e) == "NeuralLayer"]
        for k, layer in enumerate(layers, 1):
            self.layer(layer, f"layer {k}")
        if not layers:
            raise FileError(f"{self.what}: NeuralNetwork has no NeuralLayer")
        self.outputs(self.parts(self.one(self.model, "NeuralOutputs"), ("NeuralOutput",)))
        return self.net

    # ---- what comes in and goes out -------------------------------------------------------------------------

    def inputs(self, elements: list[Any]) -> None:
        rows = [(e, f"NeuralInput {show(e.get('id'))}", self.derived(e)) for e in elements]
        column: dict[str, str] = {}
        for _, place, rule in rows:  # every input before any neuron
            key = self.column(rule, place)
            if key not in column:
                column[key] = self.names.free(key)
                self.net.add_input(column[key])
        for e, place, rule in rows:
            before = column[self.column(rule, place)]
            after = before
            if tag(rule) == "NormContinuous":
                after = self.names.free(f"{before}.norm")
                points, clipped = self.points(rule, place)
                _groups.curve(self.net, after, before, points, clipped, self.names)
            self.declare(e, after, place)

    def column(self, rule: Any, place: str) -> str:
        """The name of the input that a FieldRef, NormContinuous or NormDiscrete takes."""
        field = self.fields.get(rule.get("field"))
        if field is None:
            hint = suggest(rule.get("field"), self.fields)
            raise UnknownNameError(f"{self.what}: {place}: field {show(rule.get('field'))} is no DataField{hint}")
        name = str(field.get("name"))
        if tag(rule) == "NormDiscrete":
            if rule.get("value") is None:
                raise FileError(f"{self.what}: {place}: NormDiscrete has no value")
            return f"{name}={rule.get('value')}"
        if field.get("optype") != "continuous":
            raise FileError(f"{self.what}: {place}: field {show(name)} is {field.get('optype')}: must be continuous")
        return name

    def derived(self, element: Any) -> Any:
        """The one rule in the DerivedField of a NeuralInput or NeuralOutput."""
        found = self.parts(self.one(element, "DerivedField"), ("FieldRef", "NormContinuous", "NormDiscrete"))
        if len(found) != 1:
            raise FileError(f"{self.what}: {tag(element)}: {len(found)} rules in its DerivedField: must be one")
        return found[0]

    def points(self, rule: Any, place: str) -> tuple[list[tuple[float, float]], bool]:
        """The points of a NormContinuous, and whether it is level beyond them."""
        outliers = rule.get("outliers", "asIs")
        if outliers not in ("asIs", "asExtremeValues"):
            raise FileError(f"{self.what}: {place}: outliers {show(outliers)} are not read")
        found = self.parts(rule, ("LinearNorm",))
        points = [(self.number(e, "orig", place), self.number(e, "norm", place)) for e in found]
        if len(points) < 2 or any(b[0] <= a[0] for a, b in pairwise(points)):
            raise FileError(f"{self.what}: {place}: NormContinuous needs two LinearNorm or more, orig ascending")
        return points, outliers == "asExtremeValues"

    def outputs(self, elements: list[Any]) -> None:
        names = []
        for e in elements:
            place = f"NeuralOutput {show(e.get('outputNeuron'))}"
            before, rule = self.known(e.get("outputNeuron"), place), self.derived(e)
            if tag(rule) == "NormContinuous":
                points, clipped = self.points(rule, place)
                turned = sorted((norm, orig) for orig, norm in points)
                if clipped or len(points) != 2 or turned[0][0] == turned[1][0]:
                    raise FileError(f"{self.what}: {place}: only one straight line is turned back")
                after = self.names.free(f"{rule.get('field', before)}.predicted")
                _groups.curve(self.net, after, before, turned, False, self.names)
                before = after
            names.append(before)
        if not names or len(set(names)) < len(names):
            raise FileError(f"{self.what}: NeuralOutputs must name one neuron or more, each once")
        self.net.set_outputs(names)

    # ---- layers ---------------------------------------------------------------------------------------------

    def layer(self, layer: Any, place: str) -> None:
        function = layer.get("activationFunction", self.model.get("activationFunction"))
        if function not in ACTIVATIONS:
            hint = suggest(function, ACTIVATIONS)
            raise UnknownNameError(f"{self.what}: {place}: activationFunction {show(function)} is not read{hint}")
        method = layer.get("normalizationMethod", self.model.get("normalizationMethod", "none"))
        if method not in NORMALISATIONS:
            hint = suggest(method, NORMALISATIONS)
            raise UnknownNameError(f"{self.what}: {place}: normalizationMethod {show(method)} is not read{hint}")
        group = NORMALISATIONS[method]
        neurons = self.parts(layer, ("Neuron",))
        if not neurons:
            raise FileError(f"{self.what}: {place} has no Neuron")
        threshold = 0.0
        if function == "threshold":
            threshold = self.number(layer if layer.get("threshold") else self.model, "threshold", place, "0")
        after = [str(e.get("id")) for e in neurons]
        before = [self.names.free(f"{v}.raw") for v in after] if group else after
        for e, v in zip(neurons, before, strict=True):
            self.neuron(e, v, str(function), threshold)
        if group:
            group(self.net, place, before, after, self.names)
        for e, v in zip(neurons, after, strict=True):  # only now: no neuron of a layer feeds another one of it
            self.declare(e, v, f"Neuron {show(e.get('id'))}")

    def neuron(self, element: Any, name: str, function: str, threshold: float) -> None:
        place = f"Neuron {show(element.get('id'))}"
        weights: dict[str, float] = {}
        for con in self.parts(element, ("Con",)):
            before = self.known(con.get("from"), place)
            if before in weights:
                raise FileError(f"{self.what}: {place}: Con from {show(con.get('from'))} is given twice")
            weights[before] = self.number(con, "weight", place)
        bias = self.number(element, "bias", place, "0") - threshold
        if name in self.made:
            raise FileError(f"{self.what}: {place} is given twice")
        self.made.add(name)
        inner = self.names.free(f"{name}.arctan") if function == "arctan" else name
        self.net.add_neuron(inner, weights, bias=bias, activation=ACTIVATIONS[function])
        if inner != name:
            _groups.frozen(self.net, name, {inner: 2.0 / math.pi})

    # ---- elements and attributes ----------------------------------------------------------------------------

    def declare(self, element: Any, node: str, place: str) -> None:
        name = element.get("id")
        if not name or name in self.node:
            raise FileError(f"{self.what}: {place}: must have an id of its own")
        self.node[name] = node

    def known(self, name: Any, place: str) -> str:
        if name not in self.node:
            raise UnknownNameError(f"{self.what}: {place}: no neuron {show(name)} before it{suggest(name, self.node)}")
        return self.node[name]

    def number(self, element: Any, name: str, place: str, default: str | None = None) -> float:
        said = element.get(name, default)
        try:
            value = float(said)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise FileError(f"{self.what}: {place}: {name} of {tag(element)} is {brief(said)}: must be a finite number")
        return value

    def parts(self, element: Any, known: tuple[str, ...]) -> list[Any]:
        """The children, extensions left out; one of another name is refused."""
        found = [e for e in element if tag(e) != "Extension"]
        for e in found:
            if tag(e) not in known:
                said = suggest(tag(e), known)
                raise FileError(f"{self.what}: element {tag(e)} in {tag(element)} is not read{said}")
        return found

    def one(self, element: Any, name: str) -> Any:
        found = [e for e in element if tag(e) == name]
        if len(found) != 1:
            raise FileError(f"{self.what}: {tag(element)} has {len(found)} elements {name}: must have one")
        return found[0]


EXAMPLE = b"""<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
<DataDictionary><DataField name="u" optype="continuous"/><DataField name="c" optype="categorical"/></DataDictionary>
<NeuralNetwork functionName="classification" activationFunction="tanh">
<MiningSchema><MiningField name="u"/></MiningSchema>
<NeuralInputs><NeuralInput id="1"><DerivedField>
<NormContinuous field="u" outliers="asExtremeValues">
<LinearNorm orig="-1" norm="0"/><LinearNorm orig="1" norm="1"/><LinearNorm orig="2" norm="4"/></NormContinuous>
</DerivedField></NeuralInput>
<NeuralInput id="2"><DerivedField><NormDiscrete field="c" value="red"/></DerivedField></NeuralInput></NeuralInputs>
<NeuralLayer activationFunction="rectifier"><Neuron id="3" bias="0.25"><Con from="1" weight="0.5"/>
<Con from="2" weight="-2"/></Neuron><Neuron id="4" bias="2"><Con from="1" weight="1.5"/></Neuron></NeuralLayer>
<NeuralLayer normalizationMethod="softmax"><Neuron id="5"><Con from="3" weight="1"/></Neuron>
<Neuron id="6" bias="-1"><Con from="3" weight="0.5"/><Con from="4" weight="1"/></Neuron></NeuralLayer>
<NeuralOutputs><NeuralOutput outputNeuron="5"><DerivedField><NormDiscrete field="c" value="red"/></DerivedField>
</NeuralOutput><NeuralOutput outputNeuron="6"><DerivedField><FieldRef field="u"/></DerivedField></NeuralOutput>
</NeuralOutputs></NeuralNetwork></PMML>
"""

entry = Format(
    name="pmml",
    suffixes=(".pmml",),
    summary="PMML neural networks, with normalised inputs, softmax and simplemax",
    read=read,
    example=EXAMPLE,
)
