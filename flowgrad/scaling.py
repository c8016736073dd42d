"""Standardise columns by `Scaling`, and fold a scaling into the weights and biases of a network by `folded`.

A network is often trained on standardised columns, (x − mean)/scale. Folded, it is the same function of raw columns:

    z_v = b_v + r_v Σ w_uv (x_u − m_u)/s_u  =  (b_v − r_v Σ w'_uv m_u) + r_v Σ w'_uv x_u      with w'_uv = w_uv/s_u
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import plain
from flowgrad.columns import ABSENT, Columns
from flowgrad.errors import DataError, GraphError, ShapeError, brief
from flowgrad.maths.activations import identity
from flowgrad.maths.aggregations import coefficients
from flowgrad.network import Network
from flowgrad.registry import find

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

LEAST = 1e-290  # a column of smaller standard deviation is constant: weights divided by it would overflow
CONSTANT = 1e-12  # so is one whose deviation is at most this times its largest |value|: the rest is rounding error


@dataclass(frozen=True, eq=False)
class Scaling:
    """Standardise columns: a call maps raw columns to (x − mean)/scale.

    Attributes:
        mean, scale: (K,) float64, one entry per column, finite; scale > 0. The arrays are copied and read-only.

    Raises:
        ShapeError: mean and scale are not two vectors of equal length. DataError: an entry is out of these ranges.

    >>> Scaling([1.0, 0.0], [2.0, 1.0])([[5.0, 3.0]])
    array([[2., 3.]])
    """

    mean: Floats
    scale: Floats

    def __post_init__(self) -> None:
        for name in ("mean", "scale"):
            values = _numbers(getattr(self, name), name).copy()
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.mean.ndim != 1 or self.mean.shape != self.scale.shape:
            raise ShapeError(f"mean {self.mean.shape} and scale {self.scale.shape}: must be two vectors of one length")
        wrong = np.flatnonzero(~(np.isfinite(self.mean) & np.isfinite(self.scale) & (self.scale > 0)))
        if len(wrong):
            k = int(wrong[0])
            raise DataError(
                f"column {k} has mean {self.mean[k]} and scale {self.scale[k]}: must be finite, the scale above 0"
            )

    @classmethod
    def of(cls, values: Any, weights: Any = None) -> Scaling:
        """Compute the mean and the standard deviation of each column of values.

        A column counts as constant, and gets scale 1, if its standard deviation is at most 1e-12 times its largest
        absolute value, or below 1e-290.

        Args:
            values: (N, K) finite numbers, N ≥ 1.
            weights: (N,) weights of the samples, finite, ≥ 0 and not all 0. Default: 1 for all. A weight of 2 is
                equivalent to giving the sample twice.

        Raises:
            ShapeError: values are not (N, K), or weights not (N,).
            DataError: there are no samples, values or weights are not finite numbers, or weights are out of range.

        >>> Scaling.of([[1.0], [4.0]], [2.0, 1.0]).mean, Scaling.of([[1.0], [1.0], [4.0]]).mean
        (array([2.]), array([2.]))
        """
        X = _numbers(values, "values")
        if X.ndim != 2:
            raise ShapeError(f"values has shape {X.shape}: must be (N, K), a column a feature")
        if not len(X):
            raise DataError("values has no rows: a scaling needs some")
        weights = None if weights is None else _weights(weights, len(X))
        _, exponent = np.frexp(np.abs(X).max(axis=0))
        near_one = np.ldexp(X, -exponent)  # exact, and no square of it overflows or vanishes
        if weights is None:
            middle, std = near_one.mean(axis=0), near_one.std(axis=0)
        else:
            middle = np.average(near_one, axis=0, weights=weights)
            std = np.sqrt(np.average(np.square(near_one - middle), axis=0, weights=weights))
        constant = (std <= CONSTANT * np.abs(near_one).max(axis=0)) | (np.ldexp(std, exponent) < LEAST)
        return cls(np.ldexp(middle, exponent), np.where(constant, 1.0, np.ldexp(std, exponent)))

    @classmethod
    def over(cls, parts: Iterable[Any]) -> Scaling:
        """Compute the same as `of` without weights, up to rounding, from parts that need not fit into memory together.

        Means and sums of squared deviations are merged part by part (Chan, Golub & LeVeque 1983, (2.1)).

        Args:
            parts: iterable of arrays (n, K) with the same K; parts may be empty, but not all of them.

        Raises:
            DataError: `parts` is not iterable or has no rows, or the mean or a square of a column is not finite.
            ShapeError: a part is not two-dimensional, or has another number of columns.

        >>> Scaling.over([[[1.0, 5.0]], [[3.0, 5.0]]]).mean, Scaling.over([[[1.0, 5.0]], [[3.0, 5.0]]]).scale
        (array([2., 5.]), array([1., 1.]))
        """
        if not isinstance(parts, Iterable):
            raise DataError(f"parts={brief(parts)}: give arrays (n, K), one after another")
        n, mean, squares, top = 0, np.zeros(1), np.zeros(1), np.zeros(1)
        with np.errstate(all="ignore"):
            for part in parts:
                X = _numbers(part, "a part")
                if X.ndim != 2 or (n and X.shape[1] != len(mean)):
                    raise ShapeError(f"a part has shape {X.shape}: all must be (n, K), of one K")
                if len(X):
                    own, m = X.mean(axis=0), len(X)
                    step = own - mean
                    squares = squares + np.square(X - own).sum(axis=0) + step * step * (n * m / (n + m))
                    mean, top, n = mean + step * (m / (n + m)), np.fmax(top, np.abs(X).max(axis=0)), n + m
        if not n:
            raise DataError("no values: a scaling needs some")
        std = np.sqrt(squares / n)
        return cls(mean, np.where((std <= CONSTANT * top) | (std < LEAST), 1.0, std))

    def __call__(self, values: Any) -> Floats:
        """Scale raw columns (…, K); return (x − mean)/scale as float64."""
        scaled: Floats = (self._columns(values, "values") - self.mean) / self.scale
        return scaled

    def back(self, scaled: Any) -> Floats:
        """Transform scaled columns (…, K) back to raw columns, scaled · scale + mean, as float64."""
        raw: Floats = self._columns(scaled, "scaled") * self.scale + self.mean
        return raw

    def _columns(self, values: Any, what: str) -> Floats:
        """Convert to float64 and check that the last axis has K columns."""
        X = _numbers(values, what)
        if not X.ndim or X.shape[-1] != len(self):
            raise ShapeError(f"{what} has shape {X.shape}: must be (…, {len(self)}), a column a feature")
        return X

    def inverse(self) -> Scaling:
        """Return the inverse transformation as a Scaling: `s.inverse()(s(x))` equals x up to rounding."""
        return Scaling(-self.mean / self.scale, 1.0 / self.scale)

    def __len__(self) -> int:
        return len(self.mean)

    def __repr__(self) -> str:
        return f"Scaling({len(self)} columns)"


def _numbers(values: Any, what: str) -> Floats:
    """Convert to an array of real numbers, float64; None becomes NaN.

    Raises:
        DataError: an entry is not a real number. ShapeError: rows have unequal lengths.
    """
    array = plain(values, what)
    if array.dtype.kind in "fiubO":
        with suppress(TypeError, ValueError):  # of objects
            return array.astype(np.float64, copy=False)
    found = "text" if array.dtype.kind in "UST" else str(array.dtype)
    raise DataError(f"{what} holds {found}: must be real numbers")


def _weights(weights: Any, rows: int) -> Floats:
    """Validate sample weights, (N,) with N = `rows`: finite, 0 or more, not all 0."""
    s = _numbers(weights, "weights")
    if s.shape != (rows,):
        raise ShapeError(f"weights has shape {s.shape}: must be ({rows},), one a sample")
    wrong = np.flatnonzero(~(np.isfinite(s) & (s >= 0)))
    if len(wrong):
        raise DataError(f"weights is {s[wrong[0]]} at sample {wrong[0]}: must be finite and 0 or more")
    if not s.any():
        raise DataError("weights is 0 for every sample")
    return s


def folded(network: Network, inputs: Scaling | None = None, targets: Scaling | None = None) -> Network:
    """Convert a network that takes scaled columns to one that takes raw columns: the same function, up to rounding.

    The weight of an edge from an input absorbs the scaling, together with the bias of its target, if the target
    aggregates by a sum, the weight is trainable and not shared, and the bias is trainable (or the mean is 0). Any other
    edge reads a frozen identity neuron instead, inserted behind the input, which computes (x − mean)/scale; so does an
    output that is an input. A linear output that feeds no other neuron absorbs the scaling of its target under the same
    conditions; behind any other output a frozen identity neuron is inserted, which computes y · scale + mean. Frozen
    and shared parameters keep their values, trainable parameters stay trainable, and no trainable parameter is added.

    Inputs and outputs keep their ids and labels. If a node is both, the input keeps its id, and the output gets a new
    id and keeps its label. A neuron inserted behind node x has the id `x standardised` or, if all ids are integers, the
    next integer. If there is nothing to fold, `network` itself is returned.

    Args:
        network: a network that takes (x − mean)/scale; its outputs are (y − mean)/scale if `targets` is given.
        inputs: scaling of the columns of X, in the order of the network's inputs; None if they are not scaled.
        targets: scaling of the outputs, in their order, for a network trained on scaled targets; None if there is none.

    Raises:
        ShapeError: the number of columns of a scaling differs from the number of inputs or outputs.
        GraphError: a weight or bias overflows.

    >>> net = Network.from_arrays([0, 0], [1, 2], weight=[3.0, 4.0], activation="identity")
    >>> folded(net, Scaling([10.0], [2.0])).columns.weights, folded(net, Scaling([10.0], [2.0])).columns.bias
    (array([1.5, 2. ]), array([  0., -15., -20.]))
    """
    c = network.columns
    for what, given, ends in (("inputs", inputs, c.inputs), ("targets", targets, c.outputs)):
        if given is not None and len(given) != len(ends):
            raise ShapeError(f"a scaling of {len(given)} {what}: the network has {len(ends)}")
    with np.errstate(all="ignore"):  # `_finite` raises for an overflow
        if inputs is not None:
            c = _with_raw_inputs(c, inputs)
        if targets is not None:
            c = _with_raw_targets(c, targets)
    return network if c is network.columns else Network.from_columns(_finite(c))


def _with_raw_inputs(c: Columns, scaling: Scaling) -> Columns:
    """Fold the scaling of inputs into the columns: the returned network takes raw inputs."""
    mean, scale = np.zeros(c.n_nodes), np.ones(c.n_nodes)
    mean[c.inputs], scale[c.inputs] = scaling.mean, scaling.scale
    moved = (mean != 0.0) | (scale != 1.0)
    if not moved.any():
        return c
    u, v = c.source, c.target
    direct = moved[u] & _plain_edges(c) & (c.trainable[v] | (mean[u] == 0.0))
    weight = np.where(direct, c.weights / scale[u], c.weights)
    shift = np.bincount(v, np.where(direct, weight * mean[u], 0.0), c.n_nodes)
    c = replace(c, weight=weight, bias=np.where(c.is_input, c.bias, c.bias - c.response * shift))
    return _behind(c, np.flatnonzero(moved[u] & ~direct), moved, 1.0 / scale, -mean / scale)


def _with_raw_targets(c: Columns, scaling: Scaling) -> Columns:
    """Fold the scaling of targets into the columns: outputs of the returned network are on the scale of raw targets."""
    factor, shift = np.ones(c.n_nodes), np.zeros(c.n_nodes)
    factor[c.outputs], shift[c.outputs] = scaling.scale, scaling.mean
    moved = (factor != 1.0) | (shift != 0.0)
    if not moved.any():
        return c
    linear = np.array([*(f.f is identity for f in c.activations), False])  # the last entry serves −1, inputs
    kept = np.bincount(c.target, ~_plain_edges(c), c.n_nodes) > 0  # has a frozen or shared in-weight, or is no sum
    feeds = np.bincount(c.source, minlength=c.n_nodes) > 0
    direct = moved & linear[c.activation] & c.trainable & ~kept & ~feeds
    into = np.where(direct, factor, 1.0)
    weight = c.weights * into[c.target]
    c = replace(c, weight=weight, bias=np.where(direct, factor * c.bias + shift, c.bias))
    before = c.n_nodes
    c = _behind(c, np.empty(0, np.int64), moved & ~direct, factor, shift)
    return _ids_exchanged(c, before)


def _plain_edges(c: Columns) -> npt.NDArray[np.bool_]:
    """Mark edges into a plain sum whose weight is trainable and not shared: (E,) bool."""
    adds = coefficients(c.aggregations, c.aggregation, np.bincount(c.target, minlength=c.n_nodes)) == 1.0
    plain: npt.NDArray[np.bool_] = adds[c.target] & c.edge_trainable & (c.param < 0)
    return plain


def _behind(c: Columns, edges: npt.NDArray[np.int64], moved: Any, weight: Floats, bias: Floats) -> Columns:
    """Insert frozen identity neurons, bias + weight·a, behind nodes; the given edges and outputs read them instead.

    Args:
        edges: rows of the edges whose source is replaced; their place among a target's in-edges stays.
        moved: (V,) bool; an output at a marked node is replaced by the new neuron.
        weight, bias: (V,) by node.

    In a union each network has its own neuron behind a shared input.
    """
    part = np.zeros(c.n_nodes, np.int32) if c.part is None else c.part
    # outputs are grouped by network; a shared input (part −1) among them belongs to the network of the one before
    owner = np.maximum.accumulate(np.maximum(part[c.outputs], 0))
    readers = list(zip(c.source[edges].tolist(), part[c.target[edges]].tolist(), strict=True))
    outputs = list(zip(c.outputs.tolist(), owner.tolist(), strict=True))
    wanted = dict.fromkeys([*readers, *(key for key in outputs if moved[key[0]])])
    if not wanted:
        return c
    row_of = {key: row for row, key in enumerate(wanted, start=c.n_nodes)}
    behind, of_part = (np.array(column, np.int32) for column in zip(*wanted, strict=True))
    source = c.source.copy()
    source[edges] = [row_of[key] for key in readers]
    grown = replace(
        _grown(c, behind, weight[behind], bias[behind]),
        source=np.concatenate([source, behind]),
        target=np.concatenate([c.target, np.fromiter(row_of.values(), np.int32)]),
        outputs=np.array([row_of.get(key, key[0]) if moved[key[0]] else key[0] for key in outputs], np.int32),
    )
    grown = _labelled(grown, c.n_nodes, behind)
    return grown if c.part is None else _placed(grown, of_part)


def _grown(c: Columns, behind: Ints, weight: Floats, bias: Floats) -> Columns:
    """Append a frozen neuron for each row in `behind`, and all columns of its in-edge but source and target."""
    n = len(behind)
    linear, activations = _code(c.activations, find("activations", "identity"))
    summed, aggregations = _code(c.aggregations, find("aggregations", "sum"))

    def longer(column: Any, values: Any) -> Any:
        return np.concatenate([column, np.broadcast_to(values, n).astype(column.dtype)])

    return replace(
        c,
        ids=_fresh(c.ids, behind),
        activation=longer(c.activation, linear),
        activations=activations,
        aggregation=longer(c.aggregation, summed),
        aggregations=aggregations,
        bias=longer(c.bias, bias),
        response=longer(c.response, 1.0),
        trainable=longer(c.trainable, False),
        weight=longer(c.weight, weight),
        edge_trainable=longer(c.edge_trainable, False),
        param=longer(c.param, -1),
        node_extra={key: [*column, *[ABSENT] * n] for key, column in c.node_extra.items()},
        edge_extra={key: [*column, *[ABSENT] * n] for key, column in c.edge_extra.items()},
    )


def _labelled(c: Columns, before: int, behind: Ints) -> Columns:
    """Label new outputs behind inputs with the input's label, or else its id; new neurons begin at row `before`."""
    named = [row for row in c.outputs.tolist() if row >= before and c.is_input[behind[row - before]]]
    if not named:
        return c
    labels = list(c.node_extra.get("label", [ABSENT] * c.n_nodes))
    for row in named:
        old = behind[row - before]
        labels[row] = _text(c.ids[old]) if labels[old] is ABSENT else labels[old]
    return replace(c, node_extra={**c.node_extra, "label": labels})


def _placed(c: Columns, part: Ints) -> Columns:
    """Extend `part` and `place` of a union by its new neurons, the last n rows; `part` (n,) is their network."""
    assert c.part is not None
    assert c.place is not None
    whole = np.concatenate([c.part, part])
    before = np.concatenate([c.place, np.full(len(part), -1)])
    c = replace(c, part=whole, place=None)
    place = np.empty(c.n_nodes, np.int64)
    place[np.lexsort((before, c.level, whole))] = np.arange(c.n_nodes)
    return replace(c, place=place)


def _ids_exchanged(c: Columns, before: int) -> Columns:
    """Exchange ids and attributes between old outputs and the new neurons, from row `before` on, that replace them.

    Inputs keep their ids and attributes.
    """
    if c.n_nodes == before:
        return c
    ids, extra = list(c.ids), {key: list(column) for key, column in c.node_extra.items()}
    reads = dict(zip(c.target[-(c.n_nodes - before) :].tolist(), c.source.tolist()[before - c.n_nodes :], strict=True))
    for row, old in reads.items():
        if not c.is_input[old]:
            for column in (ids, *extra.values()):
                column[row], column[old] = column[old], column[row]
    return replace(c, ids=ids, node_extra=extra)


def _code(known: tuple[Any, ...], wanted: Any) -> tuple[int, tuple[Any, ...]]:
    """Return the index of a function in its table, and the table, extended by the function if it was missing."""
    return (known.index(wanted), known) if wanted in known else (len(known), (*known, wanted))


def _fresh(ids: Sequence[Hashable], behind: Ints) -> Sequence[Hashable]:
    """Append a new unique id for the neuron behind each row in `behind`."""
    if isinstance(ids, range):
        return range(len(ids) + len(behind))
    if all(type(name) is int for name in ids):
        largest = max(name for name in ids if isinstance(name, int))
        return [*ids, *range(largest + 1, largest + 1 + len(behind))]
    taken = dict.fromkeys(ids)
    for row in behind.tolist():
        name = f"{_text(ids[row])} standardised"
        while name in taken:
            name += "'"
        taken[name] = None
    return list(taken)


def _text(node: Hashable) -> str:
    return node if isinstance(node, str) else repr(node)


def _finite(c: Columns) -> Columns:
    """Return the columns; raise GraphError if a weight or bias is not finite."""
    edges = np.flatnonzero(~np.isfinite(c.weight))
    if len(edges):
        raise GraphError(f"the scaling folded into edge {c.edge_name(int(edges[0]))} overflows")
    neurons = np.flatnonzero(~np.isfinite(c.bias))
    if len(neurons):
        raise GraphError(f"the scaling folded into the bias of {brief(c.ids[neurons[0]])} overflows")
    return c
