"""Construction of a network's columns from arrays of neuron numbers (`Network.from_arrays`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import digits, plain
from flowgrad.attributes import encode, formula, numbers, rows_of
from flowgrad.columns import Coded, Columns
from flowgrad.errors import GraphError, UnknownNameError, brief
from flowgrad.sizes import fits
from flowgrad.weights import initializer_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from flowgrad.maths.activation import Activation


def read(
    source: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    bias: ArrayLike | None,
    activation: str | Activation | Sequence[str | Activation],
    inputs: Iterable[int] | None,
    outputs: Iterable[int] | None,
    n_nodes: int | None,
    seed: int,
    output_activation: object,
    initializer: object,
    part: ArrayLike | None,
) -> Columns:
    """Make columns of neurons 0 … n_nodes−1 with edges in their order; takes and raises as `Network.from_arrays`."""
    src, dst = _node_numbers(source, "source"), _node_numbers(target, "target")
    if len(src) != len(dst):
        raise GraphError(f"source has {len(src)} entries and target {len(dst)}: an edge needs both")
    V, E = _count_nodes(src, dst, n_nodes), len(src)
    is_input = np.zeros(V, np.bool_)
    input_rows = _named_rows(inputs, V, "input", np.bincount(dst, minlength=V) == 0)
    is_input[input_rows] = True
    output_rows = _named_rows(outputs, V, "output", (np.bincount(src, minlength=V) == 0) & ~is_input)
    of = None if part is None else _parts(part, is_input, src, dst)
    c = Columns.of(
        range(V),
        input_rows,
        output_rows,
        src,
        dst,
        _activation_codes(activation, output_activation, is_input, output_rows),
        bias=_column(bias, V, "bias", lambda row: f"node {row}", 0.0),
        weight=_column(weight, E, "weight", lambda row: f"edge {row}, {src[row]} → {dst[row]}", np.nan),
        seed=seed,
        initializer=initializer_for(initializer),
        part=of,
    )
    if of is None:
        return c
    place = np.empty(V, np.int64)
    place[np.lexsort((c.level, of))] = np.arange(V)
    return replace(c, place=place, known_level=c.level)


def _parts(given: ArrayLike, is_input: npt.NDArray[np.bool_], source: Any, target: Any) -> npt.NDArray[np.int32]:
    """Validate `part`: (V,) int32, the number of the network that each node belongs to, −1 for a shared input."""
    array, V = plain(given, "part"), len(is_input)
    if array.shape != (V,) or (array.dtype.kind not in "iu" and V):
        raise GraphError(f"part is {array.dtype} of shape {array.shape}: must be ({V},) integers, one a node")
    wrong = np.flatnonzero((array < -1) | (array > V) | ((array == -1) & ~is_input))
    if len(wrong):
        row = int(wrong[0])
        raise GraphError(f"part is {array[row]} at node {row}: must be the number of a network, or −1 at an input")
    across = np.flatnonzero((array[source] != array[target]) & (array[source] != -1))
    if len(across):
        u, v = int(source[across[0]]), int(target[across[0]])
        raise GraphError(f"edge {across[0]}, {u} → {v}, goes from network {array[u]} to network {array[v]}")
    none = np.flatnonzero(np.bincount(array[array >= 0], minlength=1) == 0)
    if len(none):
        raise GraphError(f"part names no node of network {none[0]}: networks are numbered from 0 without gaps")
    return array.astype(np.int32)


def _node_numbers(values: ArrayLike, what: str) -> npt.NDArray[np.int32]:
    """Convert a column of node numbers to int32; `what` names it in errors."""
    if isinstance(values, Sized) and not hasattr(values, "dtype"):
        fits(f"{what} of {len(values):,} entries", 0, len(values))
    array = plain(values, what)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
        raise GraphError(f"{what} must be one column of integers, not {array.dtype} of shape {array.shape}")
    if len(array) and (int(array.min()) < 0 or int(array.max()) > np.iinfo(np.int32).max - 1):
        bad = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise GraphError(f"{what} holds {bad}: neurons are numbered 0 … n_nodes−1")
    return array.astype(np.int32)


def _count_nodes(source: npt.NDArray[np.int32], target: npt.NDArray[np.int32], n_nodes: int | None) -> int:
    largest = max((int(c.max()) for c in (source, target) if len(c)), default=-1)
    if n_nodes is None:
        fits(f"source and target name neuron {largest}", largest + 1, 0)
        return largest + 1
    if isinstance(n_nodes, bool) or not isinstance(n_nodes, (int, np.integer)) or n_nodes < 0:
        raise GraphError(f"n_nodes={brief(n_nodes)}: must be an integer, 0 or more")
    if largest >= n_nodes:
        raise GraphError(f"an edge names neuron {largest}, and n_nodes={n_nodes} numbers them 0 … {n_nodes - 1}")
    fits(f"n_nodes={digits(int(n_nodes))}", int(n_nodes), 0)
    return int(n_nodes)


def _named_rows(names: Iterable[int] | None, V: int, what: str, default: Any) -> npt.NDArray[np.int32]:
    """Convert the numbers of inputs or outputs to int32 rows; None takes those marked in `default`, (V,) bool."""
    if names is None:
        return np.flatnonzero(default).astype(np.int32)
    if isinstance(names, Sized) and not hasattr(names, "dtype") and len(names) > V:
        raise GraphError(f"{len(names):,} {what}s are named, and the graph has {V:,} nodes")
    array = plain(names if isinstance(names, Sized) else list(islice(names, V + 1)), f"{what}s")
    if array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
        return rows_of(np.atleast_1d(array).tolist(), {row: row for row in range(V)}, what)  # raises, naming the entry
    outside = (array < 0) | (array >= V)
    if outside.any():
        raise UnknownNameError(f"{what} {array[outside][0]} is no node of the graph: neurons are numbered 0 … {V - 1}")
    if len(np.unique(array)) < len(array):
        seen, count = np.unique(array, return_counts=True)
        raise GraphError(f"{what} {seen[count > 1][0]} is named twice")
    return array.astype(np.int32)


def _activation_codes(activation: Any, output_activation: Any, is_input: npt.NDArray[np.bool_], outputs: Any) -> Coded:
    """Encode activations: one for all neurons, with an optional other one for the outputs; or one per node."""
    V = len(is_input)
    if isinstance(activation, str) or not isinstance(activation, Iterable):
        record = formula("activations", activation, lambda: "")
        if output_activation is None:
            return 0, (record,)
        last, codes = formula("activations", output_activation, lambda: ""), np.zeros(V, np.int16)
        codes[outputs] = 1
        hidden = ~is_input & (codes == 0)
        return (codes, (record, last)) if hidden.any() and record != last else (0, (last,))
    if output_activation is not None:
        raise GraphError(f"output_activation={brief(output_activation)}: activation says one a node already")
    named = list(islice(activation, V + 1))
    if len(named) != V:
        many = len(activation) if isinstance(activation, Sized) else f"{len(named)}{' or more' * (len(named) > V)}"
        raise GraphError(f"activation has {many} entries for {V} nodes: give one for all, or one a node")
    return encode("activations", [None if i else a for a, i in zip(named, is_input.tolist(), strict=True)], range(V))


def _column(values: ArrayLike | None, n: int, what: str, name: Callable[[int], str], absent: float) -> Any:
    """Convert to (n,) float64, finite numbers; None gives the scalar `absent`, which stands for all entries."""
    if values is None:
        return absent
    listed = isinstance(values, Iterable) and not hasattr(values, "dtype")
    column: Any = list(islice(values, n + 1)) if listed else plain(values, what)  # type: ignore[arg-type]  # it iterates
    shape = (len(values if isinstance(values, Sized) else column),) if listed else column.shape
    if shape != (n,):
        raise GraphError(f"{what} has shape {shape}: must be ({n},), one {'a node' if what == 'bias' else 'an edge'}")
    return numbers(column, what, name)
