"""Data of the page: topology, layout, parameters and, for a few samples, the values of both passes.

Arrays are base64 of little-endian float32 or int32. The page derives the rest: ∂L/∂z = σ'(z)·∂L/∂a (8),
∂L/∂w = r·∂m/∂t·a·∂L/∂z (5, 6), and the targets of edges from `in_ptr`.
"""

from __future__ import annotations

import base64
import reprlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.arguments import row, whole
from flowgrad.errors import ConfigError, DataError, brief
from flowgrad.inspection import node_importance
from flowgrad.inspection.local import activation_slopes, base_cases
from flowgrad.network import Network
from flowgrad.program import Program, compile
from flowgrad.viewer.layout import groups, layout
from flowgrad.viewer.palette import RAMPS

BUDGET = 1_800_000  # bytes of base64 for the values of all samples together
OUTPUTS = 16  # outputs up to which importance is computed for each one and summed, a reverse pass each
EPOCHS = 1000  # points of a curve of the history
ROWS = 256  # largest number of samples over which importance is averaged

Record = dict[str, Any]


def record(network: Network, *, history: Any = None, title: str | None = None, **given: Any) -> Record:
    """Build the data of the page, ready for JSON.

    Args:
        given: program, X, T, sample, samples, as `values` takes them.
        history: a History, its rows, or columns by name.

    Raises:
        as `values`.
    """
    case = _Case.of(network, **given)
    plan = case.program.plan
    place = layout(plan)
    return {
        "title": title or "flowgrad",
        "names": [name_of(v) for v in case.program.labels.nodes],
        "level": _ints(plan.level),
        "inputs": len(plan.inputs),
        "outputs": plan.outputs.tolist(),
        "x": _floats(place.x),
        "y": _floats(place.y),
        "bends": {str(e): [round(c, 3) for point in points for c in point] for e, points in place.bends.items()},
        "groups": groups(plan),
        "in_ptr": _ints(plan.in_ptr),
        "source": _ints(plan.in_source),
        "response": None if (plan.response == 1).all() else _floats(plan.response),
        "activation": _ints(plan.activation),
        "activations": [f.name for f in plan.activations],
        "coefficient": None if (plan.coefficient == 1).all() else _floats(plan.coefficient),
        "aggregation": _ints(plan.aggregation),
        "aggregations": [f.name for f in plan.aggregations],
        "drawn": case.drawn,
        "ramps": RAMPS,
        "history": columns_of(history),
        **case.values(),
    }


def values(network: Network, **given: Any) -> Record:
    """Build the part of the data that training changes: parameters, importance, values of both passes by sample.

    Args:
        program: compiled from this network; its θ, its loss. None compiles one.
        X, T: (B, I) and targets. Without X one sample is drawn from seed 0; without T the page walks L = Σ y_n.
        sample: the row to begin with; samples: rows to embed, from there on, as the file's size allows.

    Raises:
        ConfigError: program is of another network; samples is no count. DataError: T without X; no such sample.
        as `program.forward` and `backward`.
    """
    return _Case.of(network, **given).values()


@dataclass(frozen=True)
class _Case:
    """A program and its samples: x (B, I), t (B, …) or None, the rows to embed, whether x was drawn at random."""

    program: Program
    x: Any
    t: Any
    rows: list[int]
    drawn: bool

    @classmethod
    def of(
        cls,
        network: Network,
        program: Program | None = None,
        X: Any = None,
        T: Any = None,
        sample: int = 0,
        samples: int = 8,
    ) -> _Case:
        whole("samples", samples, 1)
        if T is not None and X is None:
            raise DataError("targets T stand beside samples X: give X too")
        program = _program(network, program, T)
        drawn = X is None
        x = np.random.default_rng(0).standard_normal((1, len(program.inputs))) if drawn else program._x(X)
        first = row("sample", sample, len(x))
        t = None if T is None else _targets(program, T, len(x))
        return cls(program, x, t, _picked(program, len(x), first, samples), drawn)

    def values(self) -> Record:
        program = self.program
        weight, bias = program.plan.parameters(program.theta.astype(np.float64))
        return {
            "weight": _floats(weight),
            "bias": _floats(bias),
            "importance": _floats(_importance(program, self.x[:ROWS])),
            "loss": "Σ y" if self.t is None or program.loss is None else program.loss.name,
            "samples": [_sample(program, self.x, self.t, k) for k in self.rows],
        }


def name_of(node: Hashable) -> str:
    """Return the text for a node id: a string as it is, else its repr."""
    return node if isinstance(node, str) else repr(node)


def _program(network: Network, program: Program | None, T: Any) -> Program:
    if program is None:
        return compile(network, loss=None if T is None else "squared_error")
    if not isinstance(program, Program):
        raise ConfigError(f"program={reprlib.repr(program)}: give a Program, or None")
    if program.labels.nodes != network.nodes or program.plan.n_edges != network.columns.n_edges:
        raise ConfigError(f"program is of another network: {brief(program)}")
    return program


def _picked(program: Program, rows: int, first: int, samples: int) -> list[int]:
    """Return the rows to embed: `first` and the following, cyclically, as many as `BUDGET` allows."""
    plan = program.plan
    arrays = 4 * plan.n_nodes + (plan.n_edges if _shares_matter(program) else 0)
    count = max(1, min(samples, rows, BUDGET // max(1, arrays * 16 // 3)))
    return [(first + k) % rows for k in range(count)]


def _targets(program: Program, T: Any, rows: int) -> Any:
    from flowgrad import batch

    loss = program._need_loss()
    return batch.targets(T, program.outputs, rows, loss, np.dtype(np.float64))


def _importance(program: Program, x: Any) -> Any:
    """Return (V,) mean |a·∂y_n/∂a| over samples, summed over outputs; of more than `OUTPUTS`, that of y = Σ y_n."""
    with np.errstate(all="ignore"):
        if len(program.outputs) <= OUTPUTS:
            return node_importance(program, x).strength.sum(axis=0)
        acts = program.forward(x)
        da = program.backward(acts, cotangent=np.ones((len(x), len(program.outputs)))).da.array
        return np.abs(da * acts.a.array).mean(axis=1)


def _shares_matter(program: Program) -> bool:
    """Whether some neuron has a ∂m/∂t that depends on its terms."""
    return bool(np.isnan(program.plan.coefficient).any())


def _sample(program: Program, x: Any, t: Any, k: int) -> Record:
    """Compute z, a, σ'(z), ∂L/∂a and the losses of row k, from passes over this row or, if the loss needs them, all."""
    together = t is not None and program._need_loss().of_batch
    rows, at = (slice(None), k) if together else (slice(k, k + 1), 0)
    acts = program.forward(x[rows])
    if t is None:
        grads = program.backward(acts, cotangent=np.ones((1, len(program.outputs))))
        losses = acts.output[0]
    else:
        grads = program.backward(acts, t[rows])
        losses = base_cases(program, acts.output, t[rows])[1][at]
    plan, z, a = program.plan, acts.z.array[:, at].astype(np.float64), acts.a.array[:, at]
    slope = activation_slopes(plan, z)
    found = {
        "row": k,
        "loss": repr(float(losses.sum())),
        "losses": _floats(losses),
        "z": _floats(z),
        "a": _floats(a),
        "slope": _floats(slope),
    }
    found["da"] = _floats(grads.da.array[:, at])
    if _shares_matter(program):
        weight, _ = plan.parameters(acts.theta.astype(np.float64))
        found["share"] = _floats(plan.term_slopes(weight, a.astype(np.float64)))
    return found


def columns_of(given: Any) -> dict[str, list[float | None]] | None:
    """Convert a history to columns (epoch, loss, val_loss, …) as lists, with None for values that are not finite.

    Of more rows, `EPOCHS` evenly spaced ones are kept, the first and the last included, and the best.
    """
    if given is None:
        return None
    rows = getattr(given, "rows", given)
    if isinstance(rows, Mapping):
        columns = {str(name): list(values) for name, values in rows.items()}
    else:
        names = list(rows[0]) if len(rows) else []
        columns = {str(name): [one.get(name) for one in rows] for name in names}
    keep = _kept(columns)
    found = {} if "epoch" in columns or not columns else {"epoch": [_number(k + 1) for k in keep]}
    return found | {name: [_number(values[k]) for k in keep] for name, values in columns.items()}


def _kept(columns: Mapping[str, list[Any]]) -> list[int]:
    """Return the rows to keep of a history."""
    rows = min(map(len, columns.values()), default=0)
    if rows <= EPOCHS:
        return list(range(rows))
    monitored = columns.get("val_loss", columns.get("loss", []))
    values = [np.inf if (value := _number(given)) is None else value for given in monitored[:rows]]
    best = [int(np.argmin(values))] if values else []
    return sorted({*np.linspace(0, rows - 1, EPOCHS).round().astype(int).tolist(), *best})


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _floats(values: Any) -> str:
    with np.errstate(over="ignore"):
        return base64.b64encode(np.asarray(values).astype("<f4").tobytes()).decode("ascii")


def _ints(values: Any) -> str:
    return base64.b64encode(np.asarray(values).astype("<i4").tobytes()).decode("ascii")
