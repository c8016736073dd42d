"""Traces: every step of forward and backward at one sample, with the values read and written, as JSON Lines.

A trace file can be replayed without flowgrad's executors: `replay` recomputes every step from the values that it
lists as read, and checks that earlier steps wrote these values.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.arguments import instance, row
from flowgrad.atomic import put
from flowgrad.errors import ConfigError, FileError, brief
from flowgrad.inspection.given import samples
from flowgrad.inspection.local import base_cases, reached
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.program import Program
from flowgrad.registry import find

Step = dict[str, Any]


def trace(program: Program, X: Any, T: Any, *, theta: Any = None, sample: int = 0) -> Iterator[Step]:
    """Trace forward and backward at one sample: return an iterator over their steps, one dict per step.

    A forward step reads weights and activations and writes z and a, (1)–(3); a backward step reads weights and cached
    ∂L/∂z, and writes ∂L/∂a and ∂L/∂z, (8)–(10), and the ∂L/∂w of each out-edge, (5). Numbers are floats of one sample,
    before any mean, with the precision of the program's dtype. The first dict is the head; in the others, a node is
    denoted by its index in `nodes` of the head. Forward steps follow in the order of `nodes`, then backward steps in
    reverse order:

        head            {"head": 1, "sample", "dtype", "nodes": [id, …], "outputs": [node, …]}
        input forward   {"forward": node, "input": True, "z", "a"}
        neuron forward  {"forward": node, "reads": [[source, w, a], …], "activation", "aggregation", "bias",
                        "response", "z", "a"}
        node backward   {"backward": node, "base", "reads": [[target, w, ∂z/∂(w·a), ∂L/∂z, ∂L/∂w], …], "da", "dz"};
                        "base" is the base case (9), 0 unless the node is an output; if no output can be reached from
                        the node, also "takes_part": False

    Args:
        X, T: inputs and targets of all samples, as for `Program.forward` and `Program.backward`.
        theta: parameters, shape (P,). Default: `program.theta`.
        sample: the row of X to trace, an integer in 0 … B − 1.

    Raises:
        ConfigError: program is not a Program; X or T is a Network, Program, Activations or Gradients.
        DataError: sample is out of range; the program has no loss.
        ShapeError, DataError, UnknownNameError: X, T or theta does not fit, as in `Program.forward` and
            `Program.backward`.
    """
    instance("trace", program, Program, ConfigError)
    samples("trace", X=X, T=T)
    acts = program.forward(X, theta)
    chosen = row("sample", sample, acts.a.array.shape[1])
    _, _, dy = base_cases(program, acts.output, T)
    return _Trace(program, acts, program.backward(acts, T), chosen, dy[chosen]).steps()


def write_trace(path: str | os.PathLike[str], steps: Iterator[Step]) -> int:
    """Write the steps of a trace to a file, one line of JSON per step, and return the number of lines.

    The file is written atomically, in UTF-8. Node ids that JSON cannot represent are written as their repr. NaN and
    inf are written as NaN, Infinity and -Infinity, an extension of JSON.

    Args:
        path: the file to write; an existing file is replaced.
        steps: the steps that `trace` returned, the head included.

    Raises:
        FileError: the file cannot be written.
    """
    counts = [0]

    def lines() -> Iterator[bytes]:
        for step in steps:
            yield (json.dumps(step, default=repr, ensure_ascii=False) + "\n").encode()
            counts[0] += 1

    try:
        put(Path(path), lines())
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from None
    return counts[0]


class _Trace:
    """Maker of the steps of a trace, from the values of one sample as lists and the program's plan."""

    def __init__(self, program: Program, acts: Any, grads: Any, sample: int, base: Any) -> None:
        self.base = dict(zip(program.plan.outputs.tolist(), base.tolist(), strict=True))
        self.program, self.plan, self.sample = program, program.plan, sample
        self.z, self.a, self.dz, self.da = (
            values.array[:, sample].astype(float).tolist() for values in (acts.z, acts.a, grads.dz, grads.da)
        )
        weight, bias = self.plan.parameters(acts.theta.astype(np.float64))
        self.w, self.b = weight.tolist(), bias.tolist()
        self.share = self.plan.term_slopes(weight, np.array(self.a)).tolist()  # ∂m/∂(w·a) of every edge
        self.live = reached(self.plan).tolist()

    def steps(self) -> Iterator[Step]:
        p = self.plan
        nodes = list(self.program.labels.nodes)
        head = {"head": 1, "sample": self.sample, "dtype": self.program.dtype.name}
        yield head | {"nodes": nodes, "outputs": p.outputs.tolist()}
        for v in range(p.n_nodes):
            yield self.forward(v)
        for v in range(p.n_nodes - 1, -1, -1):
            yield self.backward(v)

    @np.errstate(all="ignore")  # NaN and inf propagate
    def forward(self, v: int) -> Step:
        p = self.plan
        if p.activation[v] < 0:
            return {"forward": v, "input": True, "z": self.z[v], "a": self.a[v]}
        first, last = int(p.in_ptr[v]), int(p.in_ptr[v + 1])
        reads = [[int(p.in_source[e]), self.w[e], self.a[p.in_source[e]]] for e in range(first, last)]
        functions = {
            "activation": p.activations[p.activation[v]].name,
            "aggregation": p.aggregations[p.aggregation[v]].name,
        }
        values = {"bias": self.b[v], "response": float(p.response[v]), "z": self.z[v], "a": self.a[v]}
        return {"forward": v, "reads": reads} | functions | values

    @np.errstate(all="ignore")  # NaN and inf propagate
    def backward(self, v: int) -> Step:
        p = self.plan
        reads = []
        for k in range(int(p.out_ptr[v]), int(p.out_ptr[v + 1])):
            s, e = int(p.out_target[k]), int(p.out_edge[k])
            share = float(p.response[s]) * self.share[e]  # ∂z_s/∂(w·a)
            gradient = share * self.a[v] * self.dz[s] if self.live[s] else 0.0
            reads.append([s, self.w[e], share, self.dz[s], gradient])
        step = {"backward": v, "base": self.base.get(v, 0.0), "reads": reads, "da": self.da[v], "dz": self.dz[v]}
        return step if self.live[v] else step | {"takes_part": False}


def replay(
    path: str | os.PathLike[str],
    tolerance: float | None = None,
    activations: Iterable[Activation | Aggregation] = (),
) -> int:
    """Recompute and check every step of a trace file, and return the number of steps checked, without the head.

    Each a and each ∂L/∂z that a step read must equal the value that an earlier step wrote. The values that it wrote, z
    and a, or ∂L/∂a, ∂L/∂z and ∂L/∂w, must follow from those it read. Two values are equal if they differ by at
    most tolerance · max(1, |value in the file|), or are both NaN. Values of inputs, weights, biases, responses,
    ∂z/∂(w·a) and base cases are taken from the file without a check.

    Args:
        path: a file that `write_trace` wrote.
        tolerance: a number ≥ 0. Default: 1e-12, or 1e-4 if the program's dtype was float32.
        activations: user-defined `Activation` and `Aggregation` records, for names in the file that are neither
            flowgrad's nor a plugin's.

    Raises:
        FileError: the file cannot be read or is not a trace, or a step is malformed or wrong; the message then names
            its line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        steps = [json.loads(line) for line in lines]
        player = _Replay(str(path), steps[0], tolerance, activations)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, LookupError, TypeError):
        raise FileError(f"{path} is no trace") from None
    for number, step in enumerate(steps[1:], 2):
        try:
            player.check(step)
        except FileError as error:
            raise FileError(f"{path}, line {number}: {error}") from None
        except (LookupError, TypeError, ValueError) as error:
            raise FileError(f"{path}, line {number}: no step of a trace ({error})") from None
    return len(steps) - 1


class _Replay:
    """Checker of steps against the values that earlier steps wrote, by node."""

    def __init__(self, what: str, head: Mapping[str, Any], tolerance: float | None, own: Iterable[Any]) -> None:
        if head["head"] != 1:
            raise FileError(f"{what}: a trace of version {head['head']}")
        usual = 1e-4 if head.get("dtype") == "float32" else 1e-12
        self.dead: set[int] = set()
        self.nodes, self.tolerance = head["nodes"], usual if tolerance is None else tolerance
        self.own = {function.name: function for function in own}
        self.z: dict[int, float] = {}
        self.a: dict[int, float] = {}
        self.dz: dict[int, float] = {}
        self.sigma: dict[int, Any] = {}

    def same(self, found: float, said: float, what: str) -> None:
        both_nan = math.isnan(found) and math.isnan(said)
        if not both_nan and found != said and not abs(found - said) <= self.tolerance * max(1.0, abs(said)):
            raise FileError(f"{what} is {brief(said)}, and {brief(found)} follows")

    @np.errstate(all="ignore")  # NaN and inf propagate
    def check(self, step: Mapping[str, Any]) -> None:
        with np.errstate(all="ignore"):
            if "forward" in step:
                self.forward(step)
            else:
                self.backward(step)

    def forward(self, step: Mapping[str, Any]) -> None:
        v = step["forward"]
        if not step.get("input"):
            for u, _, a in step["reads"]:
                self.same(self.a[u], a, f"a of {self.nodes[u]!r:.80}")
            names = step["aggregation"], step["activation"]
            kinds = "aggregations", "activations"
            aggregation, sigma = (self.own.get(n) or find(k, n) for k, n in zip(kinds, names, strict=True))
            terms = np.array([w * a for _, w, a in step["reads"]], np.float64)
            m = float(aggregation.f(terms)) if terms.size else 0.0
            self.same(step["bias"] + step["response"] * m, step["z"], "z")
            self.same(float(sigma.f(np.float64(step["z"]))), step["a"], "a")
            self.sigma[v] = sigma
        self.z[v], self.a[v] = step["z"], step["a"]

    def backward(self, step: Mapping[str, Any]) -> None:
        v = step["backward"]
        da = step["base"]
        for s, w, share, dz, gradient in step["reads"]:
            self.same(self.dz[s], dz, f"cached ∂L/∂z of {self.nodes[s]!r:.80}")
            if s in self.dead:
                self.same(0.0, gradient, "∂L/∂w")
                continue
            self.same(share * self.a[v] * dz, gradient, "∂L/∂w")
            da += w * share * dz
        self.same(da, step["da"], "∂L/∂a")
        if not step.get("takes_part", True):  # no output depends on the node
            self.same(0.0, step["dz"], "∂L/∂z")
            self.dead.add(v)
            self.dz[v] = step["dz"]
            return
        slope = float(self.sigma[v].df(np.float64(self.z[v]))) if v in self.sigma else 1.0
        self.same(slope * step["da"], step["dz"], "∂L/∂z")
        self.dz[v] = step["dz"]
