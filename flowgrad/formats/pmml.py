"""Read PMML 3 and 4: the element NeuralNetwork, with derived fields, normalised outputs and targets.

Inputs are the fields: the input of a continuous field has the field's name; each category of a categorical field is an
input named `field=value`, which is 1 or 0. Neurons keep their ids, derived fields their names. Softmax and simplemax
become groups of neurons with frozen weights, fed by neurons `id.raw`; neurons `field.predicted` and `field.target`
convert outputs back to the units of the field.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from flowgrad.errors import FileError, UnknownNameError, show, suggest
from flowgrad.format import Format, Source
from flowgrad.formats import _groups, _xml
from flowgrad.formats._pmml import DEPTH, Document, Fields, tag
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
DOCUMENT = ("Header", "DataDictionary", "TransformationDictionary", "NeuralNetwork", "MiningBuildTask")
MODEL = (
    *("MiningSchema", "Output", "ModelStats", "ModelExplanation", "Targets", "LocalTransformations"),
    *("ModelVerification", "NeuralInputs", "NeuralLayer", "NeuralOutputs"),
)
RESCALE = {"rescaleFactor": "1", "rescaleConstant": "0"}
ROUNDED = {"round": 0.5, "floor": 0.0}  # castInteger → c in ⌊x + c⌋; "ceiling" is −⌊−x⌋
STEPS = 1000  # maximal number of integers between a target's bounds, a neuron each


def read(source: Source) -> Network:
    """Read a network from the fields to the neurons that NeuralOutputs names, in that order.

    PMML's rules for missing and invalid values are ignored: every input must be a finite number.

    Raises:
        FileError: the file is not such PMML, or contains an element, attribute or value that is not supported; the
            message names it with its id.
        UnknownNameError: an activation function, a normalization method, a field or a neuron is unknown.
    """
    return _Reader(str(source.path), _xml.parse(source.read(), str(source.path))).network()


class _Reader(Document):
    """Read one document; `node` maps ids of NeuralInput and Neuron to names of nodes."""

    def __init__(self, what: str, root: Any) -> None:
        super().__init__(what)
        self.net = Network()
        if tag(root) != "PMML":
            raise FileError(f"{what}: the root element is {tag(root)}: PMML is read")
        parts = self.parts(root, DOCUMENT)
        self.model = self.one(root, "NeuralNetwork")
        neurons = [e.get("id", "") for e in self.model.iter() if tag(e) == "Neuron"]
        self.names = _groups.Names(neurons)
        data = {e.get("name"): e for e in self.one(root, "DataDictionary") if tag(e) == "DataField"}
        derived: dict[str, Any] = {}
        for group in (*parts, *self.parts(self.model, MODEL)):
            if tag(group) in ("TransformationDictionary", "LocalTransformations"):
                for e in self.parts(group, ("DerivedField",)):
                    name = e.get("name")
                    if not name or name in derived or name in data:
                        raise FileError(f"{what}: DerivedField {show(name)} must have a name of its own")
                    derived[name] = e
        self.fields = Fields(self, self.net, self.names, data, derived)
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

    # ---- inputs and outputs ---------------------------------------------------------------------------------

    def inputs(self, elements: list[Any]) -> None:
        rows = [(e, f"NeuralInput {show(e.get('id'))}", self.rule(self.one(e, "DerivedField"))) for e in elements]
        for _, place, rule in rows:
            self.fields.read(rule, place)
        self.fields.make()
        for e, place, rule in rows:
            self.declare(e, self.fields.node(rule, f"{rule.get('field', e.get('id'))}.norm", place), place)

    def outputs(self, elements: list[Any]) -> None:
        targets = self.targets()
        names = []
        for e in elements:
            place = f"NeuralOutput {show(e.get('outputNeuron'))}"
            node = self.known(e.get("outputNeuron"), place)
            node, field = self.turned_back(node, self.rule(self.one(e, "DerivedField")), place)
            if field in targets:
                node = self.rescaled(node, targets.pop(field), str(field))
            names.append(node)
        if targets:
            raise FileError(f"{self.what}: Target {show(next(iter(targets)))}: no NeuralOutput predicts that field")
        if not names or len(set(names)) < len(names):
            raise FileError(f"{self.what}: NeuralOutputs must name one neuron or more, each once")
        self.net.set_outputs(names)

    def turned_back(self, node: str, rule: Any, place: str) -> tuple[str, str | None]:
        """Invert the normalisation of an output; return the node of the field's value, and the field or None."""
        for _ in range(DEPTH):
            name = rule.get("field")
            match tag(rule):
                case "NormContinuous":
                    points, clipped = self.points(rule, place)
                    steps = [b[1] - a[1] for a, b in pairwise(points)]
                    if min(steps) <= 0.0 <= max(steps):
                        said = "the norms of its NormContinuous must all ascend, or all descend, to be turned back"
                        raise FileError(f"{self.what}: {place}: {said}")
                    turned = sorted((norm, orig) for orig, norm in points)
                    after = self.names.free(f"{name}.predicted")
                    _groups.curve(self.net, after, node, turned, clipped, self.names)
                    node = after
                case "NormDiscrete":
                    return node, None
                case "FieldRef":
                    pass
                case other:
                    raise FileError(f"{self.what}: {place}: element {other} in DerivedField cannot be turned back")
            if name not in self.fields.derived:
                return node, name
            place, rule = f"DerivedField {show(name)}", self.rule(self.fields.derived[name])
        raise FileError(f"{self.what}: {place}: derived fields refer to each other in a circle, or {DEPTH} deep")

    # ---- targets --------------------------------------------------------------------------------------------

    def targets(self) -> dict[str, Any]:
        """Return the Target of each field whose values it rescales, bounds or rounds."""
        found: dict[str, Any] = {}
        for group in (e for e in self.model if tag(e) == "Targets"):
            for e in self.parts(group, ("Target",)):
                self.parts(e, ("TargetValue",))  # for categories and missing values: not used
                name = e.get("field")
                place = f"Target {show(name)}"
                if name not in self.fields.data:
                    hint = suggest(name, self.fields.data)
                    raise UnknownNameError(f"{self.what}: {place} is no DataField{hint}")
                if name in found:
                    raise FileError(f"{self.what}: {place} is given twice")
                if any(e.get(key) is not None for key in (*RESCALE, "min", "max", "castInteger")):
                    found[name] = e
        return found

    def rescaled(self, node: str, target: Any, field: str) -> str:
        """Return the node of castInteger(rescaleFactor · clamp(x, min, max) + rescaleConstant), in this order."""
        place = f"Target {show(field)}"
        low, high = (self.number(target, k, place) if target.get(k) else None for k in ("min", "max"))
        factor, constant = (self.number(target, k, place, default) for k, default in RESCALE.items())
        if low is not None and high is not None and low > high:
            raise FileError(f"{self.what}: {place}: min is {low:g}, above max, {high:g}")
        for name, bound in (("max", low), ("min", high)):
            if bound is not None:
                node = self.bounded(node, name, bound, field)
        if (factor, constant) != (1.0, 0.0):
            after = self.names.free(f"{field}.target")
            _groups.frozen(self.net, after, {node: factor}, bias=constant)
            node = after
        cast = target.get("castInteger")
        if cast is None:
            return node
        if cast not in (*ROUNDED, "ceiling"):
            hint = suggest(cast, (*ROUNDED, "ceiling"))
            raise UnknownNameError(f"{self.what}: {place}: castInteger {show(cast)} is not read{hint}")
        ends = sorted(factor * end + constant for end in (low, high) if end is not None)
        if len(ends) < 2 or ends[1] - ends[0] > STEPS:
            raise FileError(
                f"{self.what}: {place}: castInteger {show(cast)} needs a neuron for every integer: min and max must "
                f"bound the target to {STEPS} of them (without castInteger it stays a real number)"
            )
        return self.cast(node, field, cast, ends)

    def bounded(self, node: str, of: str, bound: float, field: str) -> str:
        """Return the node of max(x, bound) or min(x, bound); `of` is "max" or "min"."""
        constant, after = self.names.free(f"{field}.bound"), self.names.free(f"{field}.{of}")
        _groups.frozen(self.net, constant, {}, bias=bound)
        _groups.frozen(self.net, after, {node: 1.0, constant: 1.0}, aggregation=of)
        return after

    def cast(self, node: str, field: str, how: str, ends: list[float]) -> str:
        """Return the node of x rounded to an integer, from a step for each integer k that x may pass: with y = x + c,

        ⌈x⌉ = ⌈low⌉ + Σ_k step(x − k) and ⌊y⌋ = ⌊low + c⌋ + Σ_k (1 − step(k − y)), where step(0) = 0.
        """
        up, shift = how == "ceiling", ROUNDED.get(how, 0.0)
        first = math.ceil(ends[0]) if up else math.floor(ends[0] + shift)
        passed = range(first, math.ceil(ends[1])) if up else range(first + 1, math.floor(ends[1] + shift) + 1)
        sign = 1.0 if up else -1.0
        steps: dict[str, float] = {}
        for k in passed:
            step = self.names.free(f"{field}.step{k}")
            _groups.frozen(self.net, step, {node: sign}, "step", bias=sign * (shift - k))
            steps[step] = sign
        after = self.names.free(f"{field}.integer")
        _groups.frozen(self.net, after, steps, bias=first if up else first + len(steps))
        return after

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
    summary="PMML neural networks, with derived fields, targets, softmax and simplemax",
    read=read,
    example=EXAMPLE,
)
