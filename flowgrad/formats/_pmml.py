"""Convert PMML's fields and expressions, which lie between a document's data and its layers, to frozen neurons.

An expression is kept as a sum Σ coefficient · node + constant while it is linear, and becomes a neuron where it is
not. Neurons of derived fields have the fields' names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flowgrad.errors import FileError, UnknownNameError, brief, show, suggest
from flowgrad.formats import _groups
from flowgrad.formats._groups import frozen
from flowgrad.network import Network

DEPTH = 64  # maximal nesting of expressions, those of derived fields included
EXPRESSIONS = ("FieldRef", "Constant", "NormContinuous", "NormDiscrete", "Apply")
UNARY = {  # PMML's function → activation
    "exp": "exp",
    "ln": "log",
    "sqrt": "sqrt",
    "abs": "abs",
    "tanh": "tanh",
    "sin": "sin",
    "cos": "cos",
    "atan": "arctan",
}
POWERS = {2.0: "square", 3.0: "cube", 0.5: "sqrt", -1.0: "reciprocal"}  # exponent → activation
ARGUMENTS = dict.fromkeys((*UNARY, "log10"), 1) | dict.fromkeys(("+", "-", "*", "/", "pow", "threshold"), 2)
SEVERAL = ("sum", "avg", "product", "min", "max")  # functions of one or more arguments


def tag(element: Any) -> str:
    """Return the element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


@dataclass(frozen=True)
class Sum:
    """Represent Σ coefficient · node + constant."""

    terms: Mapping[str, float] = field(default_factory=dict)
    constant: float = 0.0

    def plus(self, other: Sum, factor: float = 1.0) -> Sum:
        terms = dict(self.terms)
        for node, coefficient in other.terms.items():
            terms[node] = terms.get(node, 0.0) + factor * coefficient
        return Sum(terms, self.constant + factor * other.constant)

    def times(self, factor: float) -> Sum:
        return Sum({node: factor * c for node, c in self.terms.items()}, factor * self.constant)


@dataclass
class Document:
    """Read the elements and numbers of a document; unknown elements and bad numbers are refused."""

    what: str

    def parts(self, element: Any, known: tuple[str, ...]) -> list[Any]:
        """Return the child elements without extensions; FileError if the name of one is not in `known`."""
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

    def number(self, element: Any, name: str, place: str, default: str | None = None) -> float:
        return self.finite(element.get(name, default), f"{place}: {name} of {tag(element)}")

    def finite(self, said: Any, place: str) -> float:
        try:
            value = float(said)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise FileError(f"{self.what}: {place} is {brief(said)}: must be a finite number")
        return value

    def rule(self, element: Any) -> Any:
        """Return the one expression in a DerivedField."""
        found = self.parts(element, EXPRESSIONS)
        if len(found) != 1:
            raise FileError(
                f"{self.what}: DerivedField {show(element.get('name'))} has {len(found)} rules: must be one"
            )
        return found[0]

    def points(self, rule: Any, place: str) -> tuple[list[tuple[float, float]], bool]:
        """Return the points (orig, norm) of a NormContinuous, and whether it is constant beyond them."""
        outliers = rule.get("outliers", "asIs")
        if outliers not in ("asIs", "asExtremeValues"):
            raise FileError(f"{self.what}: {place}: outliers {show(outliers)} are not read")
        found = self.parts(rule, ("LinearNorm",))
        points = [(self.number(e, "orig", place), self.number(e, "norm", place)) for e in found]
        if len(points) < 2 or any(b[0] <= a[0] for a, b in pairwise(points)):
            raise FileError(f"{self.what}: {place}: NormContinuous needs two LinearNorm or more, orig ascending")
        return points, outliers == "asExtremeValues"


class Fields:
    """Convert the fields of a document: data to inputs of the network, derived fields to neurons, made on demand.

    The input of a continuous field has the field's name, that of a category is called `field=value`.
    """

    def __init__(
        self, document: Document, net: Network, names: _groups.Names, data: dict[str, Any], derived: dict[str, Any]
    ) -> None:
        self.document, self.what, self.net, self.names = document, document.what, net, names
        self.data, self.derived = data, derived
        self.inputs: dict[str, str] = {}
        self.wanted: set[str] = set()  # derived fields that expressions read
        self.values: dict[str, Sum] = {}
        self.depth = 0

    # ---- inputs and derived fields

    def read(self, rule: Any, place: str) -> None:
        """Add inputs for the data that an expression reads; call it for all before any neuron is made."""
        todo = [(rule, place)]
        while todo:
            rule, place = todo.pop()
            name = rule.get("field")
            if tag(rule) == "Apply":
                todo += [(e, place) for e in reversed(self.document.parts(rule, EXPRESSIONS))]
            elif tag(rule) != "NormDiscrete" and name in self.derived:
                if name not in self.wanted:
                    self.wanted.add(name)
                    todo.append((self.document.rule(self.derived[name]), f"DerivedField {show(name)}"))
            elif tag(rule) != "Constant":
                key = self._key(rule, place)
                if key not in self.inputs:
                    self.inputs[key] = self.names.free(key)
                    self.net.add_input(self.inputs[key])

    def make(self) -> None:
        """Make neurons of the derived fields in `wanted`, in the order of the document."""
        for name in self.derived:
            if name in self.wanted:
                self._derived(name)

    def _key(self, rule: Any, place: str) -> str:
        """Return the name of the input that a FieldRef, NormContinuous or NormDiscrete reads."""
        name = rule.get("field")
        if name not in self.data:
            hint = suggest(name, [*self.data, *self.derived])
            raise UnknownNameError(f"{self.what}: {place}: field {show(name)} is no DataField{hint}")
        if tag(rule) == "NormDiscrete":
            if rule.get("value") is None:
                raise FileError(f"{self.what}: {place}: NormDiscrete has no value")
            return f"{name}={rule.get('value')}"
        kind = self.data[name].get("optype")
        if kind != "continuous":
            raise FileError(f"{self.what}: {place}: field {show(name)} is {kind}: must be continuous")
        return str(name)

    # ---- values of expressions

    def node(self, rule: Any, name: str, place: str) -> str:
        """Return the node that holds an expression's value; a new one is called `name`."""
        return self._node(self._value(rule, name, place), name)

    def _node(self, value: Sum, name: str) -> str:
        if value.constant == 0.0 and list(value.terms.values()) == [1.0]:
            return next(iter(value.terms))
        made = self.names.free(name)
        frozen(self.net, made, value.terms, bias=value.constant)
        return made

    def _field(self, rule: Any, place: str) -> Sum:
        """Return the value of the field that an expression names."""
        name = rule.get("field")
        if tag(rule) == "NormDiscrete" or name not in self.derived:
            return Sum({self.inputs[self._key(rule, place)]: 1.0})
        return self._derived(name)

    def _derived(self, name: str) -> Sum:
        if name not in self.values:
            rule, place = self.document.rule(self.derived[name]), f"DerivedField {show(name)}"
            self.values[name] = Sum({self.node(rule, name, place): 1.0})
        return self.values[name]

    def _value(self, rule: Any, name: str, place: str) -> Sum:
        self.depth += 1
        if self.depth > DEPTH:
            said = f"expressions are nested more than {DEPTH} deep, or derived fields refer to each other in a circle"
            raise FileError(f"{self.what}: {place}: {said}")
        found = self._evaluated(rule, name, place)
        self.depth -= 1
        return found

    def _evaluated(self, rule: Any, name: str, place: str) -> Sum:
        match tag(rule):
            case "Constant":
                return Sum({}, self.document.finite((rule.text or "").strip(), f"{place}: Constant"))
            case "NormContinuous":
                before = self._node(self._field(rule, place), f"{name}.raw")
                points, clipped = self.document.points(rule, place)
                after = self.names.free(name)
                _groups.curve(self.net, after, before, points, clipped, self.names)
                return Sum({after: 1.0})
            case "Apply":
                function = rule.get("function")
                parts = self.document.parts(rule, EXPRESSIONS)
                self._check(function, len(parts), place)
                arguments = [self._value(e, f"{name}.{k}", place) for k, e in enumerate(parts)]
                return self._apply(str(function), arguments, name, place)
        return self._field(rule, place)

    def _check(self, function: Any, n: int, place: str) -> None:
        if function not in ARGUMENTS and function not in SEVERAL:
            hint = suggest(function, (*ARGUMENTS, *SEVERAL))
            raise UnknownNameError(f"{self.what}: {place}: Apply of function {show(function)} is not read{hint}")
        wanted = ARGUMENTS.get(function, max(n, 1))
        if n != wanted:
            raise FileError(f"{self.what}: {place}: Apply of function {show(function)} has {n} arguments, not {wanted}")

    def _apply(self, function: str, given: Sequence[Sum], name: str, place: str) -> Sum:
        first = given[0]
        match function:
            case "+" | "sum" | "avg":
                total = Sum()
                for value in given:
                    total = total.plus(value)
                return total.times(1.0 / len(given)) if function == "avg" else total
            case "-":
                return first.plus(given[1], -1.0)
            case "*" | "product":
                for k, value in enumerate(given[1:]):
                    first = self._product(first, value, f"{name}.product{k}" if len(given) > 2 else name)
                return first
            case "/":
                return self._product(first, self._inverse(given[1], name, place), name)
            case "pow":
                return self._power(first, given[1], name, place)
            case "threshold":
                return self._neuron(first.plus(given[1], -1.0), "step", name)
            case "log10":
                return self._neuron(first, "log", f"{name}.ln").times(1.0 / math.log(10.0))
            case "min" | "max":
                nodes = dict.fromkeys(self._node(value, f"{name}.{k}") for k, value in enumerate(given))
                made = self.names.free(name)
                frozen(self.net, made, dict.fromkeys(nodes, 1.0), aggregation=function)
                return Sum({made: 1.0})
        return self._neuron(first, UNARY[function], name)

    def _neuron(self, value: Sum, activation: str, name: str) -> Sum:
        made = self.names.free(name)
        frozen(self.net, made, value.terms, activation, bias=value.constant)
        return Sum({made: 1.0})

    def _product(self, a: Sum, b: Sum, name: str) -> Sum:
        if not a.terms or not b.terms:
            return b.times(a.constant) if not a.terms else a.times(b.constant)
        u, v = self._node(a, f"{name}.left"), self._node(b, f"{name}.right")
        made = self.names.free(name)
        if u == v:
            frozen(self.net, made, {u: 1.0}, "square")
        else:
            frozen(self.net, made, {u: 1.0, v: 1.0}, aggregation="product")
        return Sum({made: 1.0})

    def _inverse(self, value: Sum, name: str, place: str) -> Sum:
        """Return 1 / value."""
        if value.terms:
            return self._neuron(value, "reciprocal", f"{name}.1/")
        if value.constant == 0.0:
            raise FileError(f"{self.what}: {place}: Apply of function / divides by 0")
        return Sum({}, 1.0 / value.constant)

    def _power(self, value: Sum, exponent: Sum, name: str, place: str) -> Sum:
        if exponent.terms or exponent.constant not in (1.0, *POWERS):
            said = "no constant" if exponent.terms else f"{exponent.constant:g}"
            known = ", ".join(f"{power:g}" for power in (1.0, *POWERS))
            raise FileError(f"{self.what}: {place}: Apply of function pow has the exponent {said}: read are {known}")
        return value if exponent.constant == 1.0 else self._neuron(value, POWERS[exponent.constant], name)
