"""Importance of every node for an output or the loss: gradients, gradients times activations, and (13)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowgrad.aliases import formerly
from flowgrad.arguments import instance, plain, row, whole
from flowgrad.errors import ConfigError, ShapeError, UnknownNameError, brief, show, suggest
from flowgrad.executor import Array
from flowgrad.frames import frame
from flowgrad.inspection.given import chosen, samples
from flowgrad.inspection.integrated import along, baseline_of
from flowgrad.inspection.moments import Moments
from flowgrad.inspection.passes import Passes
from flowgrad.program import Program

LOSS = "loss"  # the only entry of `outputs` where importance is for the loss


@dataclass(frozen=True, repr=False)
class Importance:
    """Importance of V nodes v for N outputs n over B samples, as computed by `node_importance`.

    Arrays are float64, with rows in the order of `outputs` and columns in the order of `net.nodes`; means and standard
    deviations are over the samples. Where importance is for the loss, y_n stands for the loss of one sample.

    outputs        N ids of outputs, or ("loss",)
    nodes          V ids
    kind           V strings: "input", "hidden" or "output"
    samples        B
    gradient       (N, V) mean of ∂y_n/∂a_v
    activation     (N, V) mean of ∂y_n/∂a_v · a_v
    strength       (N, V) mean of |∂y_n/∂a_v · a_v|; `records`, `top` and `to_frame` sort nodes by it
    gradient_sd, activation_sd   (N, V) standard deviations, with divisor B
    integrated, integrated_sd    (N, V) mean and standard deviation of the integrated gradient (13), which is the
                   conductance of hidden neurons; None unless requested
    gap            (N,) largest |Σ_inputs c_v − (y_n(x) − y_n(x'))| over all samples, the error of the numerical
                   integral; never NaN, since batches with a NaN are skipped; None unless (13) was requested
    classes        class → Importance over the samples of that class, with the `gap` of all samples; empty if no
                   classes were given
    each_gradient  (N, V, B) ∂y_n/∂a_v of each sample, in the program's dtype; None unless requested
    """

    outputs: tuple[Hashable, ...]
    nodes: tuple[Hashable, ...]
    kind: tuple[str, ...]
    samples: int
    gradient: Array
    activation: Array
    strength: Array
    gradient_sd: Array
    activation_sd: Array
    integrated: Array | None = None
    integrated_sd: Array | None = None
    gap: Array | None = None
    classes: Mapping[Hashable, Importance] = field(default_factory=dict)
    each_gradient: Array | None = None

    def records(self) -> list[dict[str, Any]]:
        """Return one dict for each output and node, output by output, in descending order of strength.

        The keys are output, node, kind, gradient, gradient_sd, gradient_x_activation, gradient_x_activation_sd and
        strength; integrated and integrated_sd if (13) was requested. If classes were given, there is also the key
        class: the records over all samples come first, with class None, then those of each class.
        """
        found = self._records({"class": None} if self.classes else {})
        for name, part in self.classes.items():
            found += part._records({"class": name})
        return found

    def _records(self, more: dict[str, Any], only: int | None = None) -> list[dict[str, Any]]:
        """Return the records of all outputs, or of output number `only`, each with the items of `more` added."""
        order = np.argsort(-self.strength, axis=1, kind="stable")
        columns = {
            "gradient": self.gradient,
            "gradient_sd": self.gradient_sd,
            "gradient_x_activation": self.activation,
            "gradient_x_activation_sd": self.activation_sd,
            "strength": self.strength,
        }
        if self.integrated is not None and self.integrated_sd is not None:
            columns |= {"integrated": self.integrated, "integrated_sd": self.integrated_sd}
        return [
            {"output": self.outputs[n], "node": self.nodes[v], "kind": self.kind[v], **more}
            | {name: float(values[n, v]) for name, values in columns.items()}
            for n in (range(len(self.outputs)) if only is None else (only,))
            for v in order[n].tolist()
        ]

    def top(self, k: int = 10, kind: str | None = None, output: Hashable = None) -> list[dict[str, Any]]:
        """Return the records of the k strongest nodes for one output, over all samples.

        Args:
            k: number of records, an integer ≥ 0; fewer are returned if there are fewer such nodes.
            kind: "input", "hidden" or "output" selects nodes of that kind. Default: all nodes.
            output: id of one of `outputs`. Default: the first of them.

        Raises:
            UnknownNameError: output is not among `outputs`, or kind is not one of the three.
        """
        wanted = self.outputs[0] if output is None else output
        if wanted not in self.outputs:
            raise UnknownNameError(f"{brief(wanted)} is no output asked for{suggest(wanted, self.outputs)}")
        kinds = ("input", "hidden", "output")
        if kind is not None and kind not in kinds:
            raise UnknownNameError(f"unknown kind of node {brief(kind)}{suggest(kind, kinds)}")
        found = [r for r in self._records({}, self.outputs.index(wanted)) if kind in (None, r["kind"])]
        return found[:k]

    def to_frame(self) -> Any:
        """Return the records as a pandas data frame, or a polars one if pandas is not installed.

        Raises:
            MissingDependencyError: neither is installed.
        """
        rows = self.records()
        return frame({name: [row[name] for row in rows] for name in rows[0]})

    def __repr__(self) -> str:
        rows = self.top(10)
        width = max(len(show(row["node"])) for row in rows)
        what = f"output {show(self.outputs[0])}" if self.outputs != (LOSS,) else "the loss"
        lines = [f"Importance for {what}, {len(rows)} of {len(self.nodes)} nodes, mean over {self.samples} samples"]
        lines.append(f"{'node':<{width}}  kind    gradient    × activation  strength")
        lines += [
            f"{show(r['node']):<{width}}  {r['kind']:<6}  {r['gradient']:>+10.4g}  "
            f"{r['gradient_x_activation']:>+12.4g}  {r['strength']:>8.4g}"
            for r in rows
        ]
        return "\n".join(lines)


def node_importance(
    program: Program,
    X: Any,
    T: Any = None,
    outputs: Iterable[Hashable] | None = None,
    *,
    theta: Any = None,
    sample: int | None = None,
    classes: Any = None,
    each: bool = False,
    integrated: bool = False,
    baseline: Any = None,
    steps: int = 64,
) -> Importance:
    """Compute the importance of every node v for every output n, from ∂y_n/∂a_v by one reverse pass per output.

    The pass evaluates equation (10) with base case 1 at output n and 0 at the others; the passes of several outputs
    run as one batch. The gradient is the sensitivity of y_n to a_v; the gradient times a_v is, to first order, the
    amount by which y_n would fall if a_v were set to 0 (Simonyan et al. 2013; Shrikumar et al. 2016).

    The integrated gradient follows the straight line x(s) = x' + s·(x − x') from a baseline x' to the sample x:

        (13)  c_v = ∫₀¹ ∂y_n/∂a_v(x(s)) · da_v(x(s))/ds ds

    For an input this is (x_v − x'_v) · ∫ ∂y_n/∂x_v ds, the integrated gradient of Sundararajan, Taly & Yan (2017); for
    a hidden neuron, the conductance of Dhamdhere, Sundararajan & Yan (2018), the sum over all inputs of their
    contributions through v. Both are complete: summed over the inputs, or over any set of neurons that every path from
    an input to y_n crosses exactly once, c_v gives y_n(x) − y_n(x'); at output n itself, c_v is that difference.

    Args:
        program: compiled with a loss if T is given.
        X: inputs, shape (B, I), or a mapping or data frame by input name.
        T: targets, as for `Program.backward`. If they are given, importance is for the loss of each sample, from
            ∂L/∂a_v instead of ∂y_n/∂a_v, and `outputs` of the result is ("loss",). A loss whose terms read other
            samples (cox) allows neither `sample` nor `integrated`.
        outputs: ids of the outputs n, not together with T. Default: all outputs.
        theta: parameters, shape (P,). Default: `program.theta`.
        sample: the only row of X to use, an integer in 0 … B − 1. Default: all rows.
        classes: labels of the samples, shape (B,), of any hashable type; `classes` of the result then holds the
            importance over the samples of each class.
        each: whether to keep the gradients of every sample as well, (N, V, B).
        integrated: whether to compute (13) as well, with steps + 1 reverse passes per sample and output.
        baseline: x', shape (I,), or a mapping from input name to number. Default: zeros.
        steps: number of intervals of the integral, a positive multiple of 8; trapezoidal sums at four widths are
            extrapolated by Romberg's method.

    Raises:
        UnknownNameError: an id in outputs is not an output; X, T or baseline has a missing or an unknown name.
        ConfigError: program is not a Program; X or T is a Network, Program, Activations or Gradients; outputs is a
            string, empty, or given together with T; steps is not a positive multiple of 8; sample or integrated is
            given with T and a loss whose terms read other samples.
        ShapeError, DataError: X, T or theta does not fit, as in `Program.forward` and `Program.backward`; classes or
            baseline does not fit; sample is out of range.
        DataError: T is given, but the program has no loss.

    Warns:
        DeprecationWarning: ids of outputs are given as the third argument, as before version 0.2. T is third now.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [1, 2], weight=[0.5, 2.0], activation="identity")
    >>> node_importance(fg.compile(net, executor="python"), [[3.0]]).gradient.tolist()
    [[1.0, 2.0, 1.0]]
    """
    instance("node_importance", program, Program, ConfigError)
    samples("node_importance", X=X, T=T)
    if outputs is None and _are_texts(T):
        formerly("node_importance(program, X, outputs)", "node_importance(program, X, outputs=outputs)")
        T, outputs = None, T
    x = program._x(X)
    labels, codes = _classes(classes, len(x))
    if sample is not None:
        labels, codes = labels and [labels[codes[row("sample", sample, len(x))]]], np.zeros(1, np.intp)
    x, T = chosen(program, sample, x, T)
    passes = Passes(program, x, _wanted(program, outputs, T), T, theta)
    if integrated and (whole("steps", steps, 8) % 8):
        raise ConfigError(f"steps={steps}: must be a multiple of 8")
    if integrated and T is not None and program._need_loss().of_batch:
        raise ConfigError(
            f"integrated=True: {program._need_loss().name} depends on all samples together, and has no value for one"
        )
    start = baseline_of(program, baseline) if integrated else None
    V, B = program.plan.n_nodes, len(passes.x)
    names = ["gradient", "activation", "strength", *(["integrated"] if integrated else [])]
    found = {name: Moments(len(passes.names), max(1, len(labels)), V, spread=name != "strength") for name in names}
    kept = np.empty((len(passes.names), V, B), program.dtype) if each else None
    gap = np.zeros(len(passes.names)) if integrated else None
    for first in range(0, B, passes.rows):
        rows = slice(first, min(first + passes.rows, B))
        for n, a, da in passes.run(rows):
            if kept is not None:
                kept[n, :, rows] = da
            found["gradient"].add(n, codes[rows], da)
            with np.errstate(all="ignore"):  # NaN and inf propagate
                flow = da * a
            found["activation"].add(n, codes[rows], flow)
            found["strength"].add(n, codes[rows], np.abs(flow, out=flow))
    if start is not None and gap is not None:
        for rows, n, c, missing in along(passes, start, steps):
            found["integrated"].add(n, codes[rows], c)
            gap[n] = np.maximum(gap[n], missing)  # NaN propagates
    return _result(program, passes.names, labels, found, gap, kept)


def _are_texts(T: Any) -> bool:
    """Tell whether T is a string or a list of strings: ids of outputs, the third argument before 0.2, not targets."""
    return isinstance(T, str) or (isinstance(T, (list, tuple)) and bool(T) and all(isinstance(v, str) for v in T))


def _wanted(program: Program, outputs: Any, T: Any) -> tuple[Hashable, ...]:
    """Check and return the ids of the requested outputs; (LOSS,) where targets are given."""
    if T is not None:
        if outputs is not None:
            raise ConfigError("outputs and T exclude each other: importance is for outputs, or for the loss")
        return (LOSS,)
    if isinstance(outputs, (str, bytes)):
        raise ConfigError(f"outputs={brief(outputs)}: give a list of ids")
    wanted = program.outputs if outputs is None else tuple(outputs)
    if not wanted:
        raise ConfigError("outputs=[]: give the id of one output at least")
    for name in wanted:
        if name not in program.outputs:
            raise UnknownNameError(f"{brief(name)} is no output{suggest(name, program.outputs)}")
    return wanted


def _classes(given: Any, rows: int) -> tuple[list[Hashable], Array]:
    """Return the classes in order of first appearance, and the (B,) class number of each sample."""
    if given is None:
        return [], np.zeros(rows, np.intp)
    listed = plain(given, "classes").tolist()
    if not isinstance(listed, list) or len(listed) != rows or any(isinstance(one, list) for one in listed):
        raise ShapeError(f"classes has shape {np.shape(given)}: must be ({rows},), a label a sample")
    numbers: dict[Hashable, int] = {}
    return list(dict.fromkeys(listed)), np.array([numbers.setdefault(one, len(numbers)) for one in listed])


def _result(
    program: Program,
    names: tuple[Hashable, ...],
    labels: list[Hashable],
    found: dict[str, Moments],
    gap: Array | None,
    kept: Array | None,
) -> Importance:
    kind = np.where(program.plan.activation < 0, "input", "hidden")
    kind[program.plan.outputs] = "output"
    kinds = tuple(kind.tolist())

    def of(which: int | None, **more: Any) -> Importance:
        parts = {name: moments.of(which) for name, moments in found.items()}
        integral = parts.get("integrated", (None, None))
        return Importance(
            outputs=names,
            nodes=program.labels.nodes,
            kind=kinds,
            samples=found["gradient"].samples(which),
            gradient=parts["gradient"][0],
            activation=parts["activation"][0],
            strength=parts["strength"][0],
            gradient_sd=parts["gradient"][1],
            activation_sd=parts["activation"][1],
            integrated=integral[0],
            integrated_sd=integral[1],
            gap=gap,
            **more,
        )

    return of(None, classes={name: of(k) for k, name in enumerate(labels)}, each_gradient=kept)
