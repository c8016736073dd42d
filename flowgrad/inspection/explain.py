"""Explanation of one neuron: equations (1)–(10) with the numbers of one sample."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.aliases import formerly
from flowgrad.arguments import instance, row, whole
from flowgrad.errors import ConfigError, UnknownNameError, show, suggest
from flowgrad.inspection.given import samples
from flowgrad.inspection.local import base_cases, reached
from flowgrad.program import Program


def explain(
    program: Program,
    X: Any,
    T: Any = None,
    node: Hashable = None,
    *,
    cotangent: Any = None,
    theta: Any = None,
    sample: int = 0,
    digits: int = 6,
    most: int = 12,
) -> str:
    """Explain one node at one sample: return its equations (1)–(10) as lines of text, with their numbers.

    The text lists the terms of z, then z, a and σ'(z). With targets T or a cotangent it also lists each term of ∂L/∂a
    with the cached ∂L/∂z that the term reads, and the gradients of the bias and of the in-edges' weights at this
    sample, before any mean over samples.

    Args:
        X, T, cotangent: inputs, targets and ∂L/∂y of all samples, as for `Program.forward` and `Program.backward`.
            T and cotangent exclude each other; without either, only the forward pass is explained.
        node: id of a neuron or an input; required.
        theta: parameters, shape (P,). Default: `program.theta`.
        sample: the row of X to explain, an integer in 0 … B − 1.
        digits: number of significant digits to show, an integer ≥ 1.
        most: number of terms to list of each sum, those of largest absolute value first, an integer ≥ 1. One line
            gives the sum of the other terms.

    Raises:
        ConfigError: program is not a Program; X, T or cotangent is a Network, Program, Activations or Gradients;
            digits or most is not an integer ≥ 1.
        UnknownNameError: node is not given, or is not a node of the network.
        DataError: sample is out of range; T is given, and the program has no loss or a cotangent is given too.
        ShapeError, DataError, UnknownNameError: X, T, cotangent or theta does not fit, as in `Program.forward` and
            `Program.backward`.

    Warns:
        DeprecationWarning: the node is given as the second argument, as before version 0.2. X is second now.
    """
    instance("explain", program, Program, ConfigError)
    if program.labels.is_node(X):
        formerly("explain(program, node, X, T)", "explain(program, X, T, node)")
        X, T, node = T, node, X
    samples("explain", X=X, T=T, cotangent=cotangent)
    if node is None:
        known = suggest("", program.labels.nodes)
        raise UnknownNameError(f"explain wants the id of a neuron: explain(program, X, T, node){known}")
    v = program.labels.node(node)
    acts = program.forward(X, theta)
    chosen = row("sample", sample, acts.a.array.shape[1])
    lines = _Explanation(program, acts, v, chosen, whole("digits", digits, 1), whole("most", most, 1))
    lines.forward()
    if T is not None or cotangent is not None:
        grads = program.backward(acts, T, cotangent=cotangent)
        if v in program.plan.outputs.tolist():
            lines.base(program, acts, T, cotangent)
        lines.backward(grads)
    return "\n".join(lines.text)


class _Explanation:
    """Builder of the lines about one node, v, at one sample; `text` collects them."""

    def __init__(self, program: Program, acts: Any, v: int, sample: int, digits: int, most: int) -> None:
        self.plan, self.names, self.most, self.digits = program.plan, program.labels.nodes, most, digits
        self.v, self.text = v, list[str]()
        self.z, self.a = acts.z.array[:, sample].astype(float), acts.a.array[:, sample].astype(float)
        self.w, self.b = self.plan.parameters(acts.theta.astype(np.float64))
        self.share = self.plan.term_slopes(self.w, self.a)  # ∂m/∂(w·a) of every edge
        self.sample, self.dy = sample, 0.0

    def number(self, value: float) -> str:
        return f"{value:.{self.digits}g}"

    def name(self, node: int) -> str:
        return show(self.names[node])

    def add(self, equation: str, line: str) -> None:
        self.text.append(f"{equation:>5}  {line}")

    def terms(self, listed: list[tuple[str, float]]) -> None:
        """Add the `most` largest terms of a sum by absolute value, and one line with the sum of the others."""
        order = sorted(listed, key=lambda term: -abs(term[1]))
        for said, value in order[: self.most]:
            self.add("", f"    {said} = {self.number(value)}")
        if len(order) > self.most:
            rest = sum(value for _, value in order[self.most :])
            self.add("", f"    … and {len(order) - self.most} more, together {self.number(rest)}")

    def cached(self, pointers: Any, reader: str) -> None:
        """Add the number of nodes that read a cached value: the successors read a, the predecessors read ∂L/∂z."""
        readers = int(pointers[self.v + 1] - pointers[self.v])
        self.add("", f"    cached: written once, read by {_count(readers, reader)}")

    @np.errstate(all="ignore")  # NaN and inf propagate
    def forward(self) -> None:
        """Add the lines of the forward pass, (1)–(3), and σ'(z), (7)."""
        p, v, n = self.plan, self.v, self.number
        if p.activation[v] < 0:
            self.text.append(f"{self.name(v)}, an input, at sample {self.sample}")
            self.add("(3)", f"a = x = {n(self.a[v])}")
            self.cached(p.out_ptr, "successor")
            return
        sigma, agg = p.activations[p.activation[v]], p.aggregations[p.aggregation[v]]
        edges = range(p.in_ptr[v], p.in_ptr[v + 1])
        output = ", an output" if v in p.outputs.tolist() else ""
        article = "an" if sigma.name[0] in "aeiou" else "a"
        self.text.append(f"{self.name(v)}, {article} {sigma.name} neuron{output}, at sample {self.sample}")
        products = [self.w[e] * self.a[p.in_source[e]] for e in edges]
        m = float(agg.f(np.array(products, np.float64))) if products else 0.0
        self.add("(1)", f"m = {agg.name} of {_count(len(products), 'term')} w·a = {n(m)}")
        self.terms(
            [
                (f"{self.name(p.in_source[e])}: {n(self.w[e])} · {n(self.a[p.in_source[e]])}", t)
                for e, t in zip(edges, products, strict=True)
            ]
        )
        response = f"{n(p.response[v])} · " if p.response[v] != 1 else ""
        self.add("(2)", f"z = b + {'r · ' if response else ''}m = {n(self.b[v])} + {response}{n(m)} = {n(self.z[v])}")
        self.add("(3)", f"a = {sigma.name}(z) = {n(self.a[v])}")
        self.cached(p.out_ptr, "successor")
        self.slope = float(sigma.df(np.float64(self.z[v])))
        self.add("(7)", f"σ'(z) = {n(self.slope)}")

    def base(self, program: Program, acts: Any, T: Any, cotangent: Any) -> None:
        """Add the lines of an output's own loss, (4), and base case, (9)."""
        place, n = program.plan.outputs.tolist().index(self.v), self.number
        if cotangent is not None:
            given = batch.table(cotangent, program.outputs, "cotangent", "output", np.dtype(np.float64))
            self.dy = float(given[self.sample, place])
            self.add("(9)", f"base case ∂L/∂y = {n(self.dy)}, as given")
            return
        loss, y = program._need_loss(), acts.output
        t, value, dy = base_cases(program, y, T)
        at, self.dy = (self.sample, place), float(dy[self.sample, place])
        self.add("(4)", f"l = {loss.name}(y, t) = {n(value[at])} with y = {n(y[at])} and t = {n(t[at])}")
        if value.shape[1] > 1:
            with np.errstate(all="ignore"):
                total = value[self.sample].sum()
            self.add("", f"    L = Σ l over {_count(value.shape[1], 'output')} = {n(total)}")
        whose = ", of all outputs' losses" if loss.coupled else ""
        self.add("(9)", f"base case ∂L/∂y = {n(self.dy)}{whose}")

    @np.errstate(all="ignore")  # NaN and inf propagate
    def backward(self, grads: Any) -> None:
        """Add the lines of the backward pass: (10), (8), (5), (6)."""
        p, v, n = self.plan, self.v, self.number
        dz, da = grads.dz.array[:, self.sample].astype(float), grads.da.array[:, self.sample].astype(float)
        found, live = [], reached(p)  # a neuron from which no output is reached contributes 0
        for k in range(p.out_ptr[v], p.out_ptr[v + 1]):
            s, e = int(p.out_target[k]), int(p.out_edge[k])
            through = p.response[s] * self.share[e] * self.w[e]
            readers = int(p.in_ptr[s + 1] - p.in_ptr[s])
            shared = f", which {readers} read" if readers > 1 else ""
            said = f"{self.name(s)}: ∂z/∂a {n(through)} · cached ∂L/∂z {n(dz[s])}{shared}"
            found.append((said, through * dz[s] if live[s] else 0.0))
        base = "base case + " * (v in p.outputs.tolist())
        self.add("(10)", f"∂L/∂a = {base}Σ over {_count(len(found), 'successor')} = {n(da[v])}")
        self.terms(found)
        if p.activation[v] < 0:
            return
        self.add("(8)", f"∂L/∂z = σ'(z) · ∂L/∂a = {n(self.slope)} · {n(da[v])} = {n(dz[v])}")
        self.cached(p.in_ptr, "predecessor")
        self.add("(5)", f"∂L/∂b = {n(dz[v])}; ∂L/∂w = ∂z/∂w · ∂L/∂z with ∂z/∂w by (6):")
        gradients = []
        for e in range(p.in_ptr[v], p.in_ptr[v + 1]):
            local = p.response[v] * self.share[e] * self.a[p.in_source[e]]
            gradients.append(
                (f"{self.name(p.in_source[e])}: {n(local)} · {n(dz[v])}", local * dz[v] if live[v] else 0.0)
            )
        self.terms(gradients)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
