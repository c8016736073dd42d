"""Select slots of θ for penalties and bounds, by words such as "level 2" that Python and TOML share, or by index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import real
from flowgrad.columns import ABSENT
from flowgrad.errors import ConfigError, GraphError, UnknownNameError, brief, suggest
from flowgrad.program import Program

Array = npt.NDArray[Any]
Given = float | Mapping[str, Any] | Iterable[tuple[Any, Any]]
CONSTRAINT, GROUP = "constraint", "group"
"""Names of edge attributes: the bound of the edge's weight; the group by which penalties and bounds can select it."""
WORDS = "weights, biases, input weights, level N, group NAME"
BOUNDS = {"nonnegative": (0.0, np.inf), "nonpositive": (-np.inf, 0.0)}


def slots_of(program: Program, words: object, who: str) -> Array:
    """Return the slots (n,) of θ that words select; `who`, the argument that holds them, begins messages.

    weights; biases; input weights: of edges that leave an input; level N: of edges into neurons of topological level N;
    group NAME: of edges whose attribute `group` is NAME.

    Raises:
        UnknownNameError: no such words, level or group. ConfigError: `words` is no text.
    """
    plan, columns = program.plan, program._columns
    if not isinstance(words, str):
        raise ConfigError(f"{who} has the key {brief(words)}: a mapping goes by words, {WORDS}")
    if words == "biases":
        return plan.bias_slot[plan.bias_slot >= 0]
    kind, _, name = words.partition(" ")
    if words == "weights":
        mine = np.ones(plan.n_edges, np.bool_)
    elif words == "input weights":
        mine = np.isin(plan.in_source, plan.inputs)
    elif kind == "level" and name.isdecimal():
        mine = columns.level[columns.target[plan.edges]] == int(name)
    elif kind == GROUP and name:
        values = columns.edge_extra.get(GROUP, ())
        rows = plan.edges.tolist() if len(values) else []
        mine = np.array([values[row] is not ABSENT and str(values[row]) == name for row in rows], np.bool_)
        if not mine.any():
            known = sorted({f"group {value}" for value in values if value is not ABSENT})
            raise UnknownNameError(f"{who}: no edge belongs to {brief(words)}{suggest(words, known)}")
    else:
        levels = [f"level {k + 1}" for k in range(columns.level.max())]
        near = suggest(words, ["weights", "biases", "input weights", *levels])
        near = near if near.startswith(":") else f"; it may be {WORDS}"
        raise UnknownNameError(f"{who}: {brief(words)} names no slots of θ{near}")
    if not mine.any():
        rest = f"; levels are 1 … {columns.level.max()}" if kind == "level" else ""
        raise UnknownNameError(f"{who}: no edge belongs to {brief(words)}{rest}")
    marked, slots = np.zeros(plan.n_parameters, np.bool_), plan.weight_slot[mine]
    marked[slots[slots >= 0]] = True
    return np.flatnonzero(marked)


def pairs(program: Program, who: str, given: Given) -> list[tuple[Array, Any]]:
    """Convert a mapping words → value, or (slots, value) pairs, to a list of (slots (n,), value), in order."""
    if isinstance(given, Mapping):
        return [(slots_of(program, words, who), value) for words, value in given.items()]
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise ConfigError(f"{who}={brief(given)}: give a mapping of words ({WORDS}), or (slots, …) pairs")
    found = []
    for pair in given:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ConfigError(f"{who} holds {brief(pair)}: give a number, a mapping, or (slots, factor) pairs")
        found.append((indices(pair[0], program.plan.n_parameters, who), pair[1]))
    return found


def indices(given: Any, P: int, who: str) -> Array:
    """Convert slots of a θ (P,), one, several, a slice, or a mask (P,) of truth values, to indices (n,).

    Raises:
        ConfigError: `given` is none of these, or is out of range.

    >>> indices(3, 5, "l2").tolist(), indices(slice(2, None), 5, "l2").tolist(), indices([], 5, "l2").tolist()
    ([3], [2, 3, 4], [])
    """
    error = ConfigError(
        f"{who}: slots must be integers, 0 … {P - 1}, one or several, as theta_index gives, a slice of them, or a "
        f"mask of {P} truth values, and not {brief(given)}"
    )
    if isinstance(given, slice):
        ends = [end for end in (given.start, given.stop) if end is not None]
        if any(isinstance(end, bool) or not isinstance(end, (int, np.integer)) or not 0 <= end <= P for end in ends):
            raise error
        try:
            return np.arange(P)[given]
        except (TypeError, ValueError):  # an invalid step
            raise error from None
    try:
        where = np.asarray(given)
    except ValueError:  # nested lists of unequal lengths
        raise error from None
    if where.dtype.kind == "b" and where.shape == (P,):
        return np.flatnonzero(where)
    if where.ndim > 1 or (where.dtype.kind not in "iu" and where.size):
        raise error
    where = np.atleast_1d(where).astype(np.int64, copy=False)
    if where.size and not 0 <= where.min() <= where.max() < P:
        raise error
    return where


def factors(program: Program, who: str, given: Given) -> Array | None:
    """Return a penalty's factors (P,), None where all are 0; a number is for all weights, later pairs override."""
    if isinstance(given, (int, float, np.number)) or not isinstance(given, Iterable):
        given = {"weights": given} if real(who, given, 0) and program.plan.n_edges else {}
    found = np.zeros(program.plan.n_parameters, program.dtype)
    for where, factor in pairs(program, who, given):
        found[where] = real(who, factor, 0)
    return found if found.any() else None


# ---- bounds ---------------------------------------------------------------------------------------------------


class Bounds(NamedTuple):
    """Lower and upper bounds `low`, `high` (P,) of the slots of θ."""

    low: Array
    high: Array

    def project(self, theta: Array) -> None:
        """Clip θ (P,) to the bounds, in place."""
        np.clip(theta, self.low, self.high, out=theta)


def bounds(program: Program, constraints: Any, start: Array | None = None) -> Bounds | None:
    """Combine the edges' attribute `constraint` and the argument `constraints`; None where nothing is bounded.

    A constraint is "nonnegative", "nonpositive", "sign" (to keep the sign in `start` (P,), None being the program's θ;
    a slot at 0 is not bounded) or (low, high), None for no bound. A slot with several constraints keeps to all of them.

    Raises:
        ConfigError: no constraint, or no value satisfies all of a slot's. GraphError: the same of an edge's attribute.
    """
    low, high = np.full(program.plan.n_parameters, -np.inf), np.full(program.plan.n_parameters, np.inf)
    theta, found = program.theta if start is None else start, False

    def keep(where: Array, constraint: Any, error: Callable[[str], Exception]) -> None:
        nonlocal found
        least, most = _bound(constraint, theta[where], error)
        low[where], high[where] = np.maximum(low[where], least), np.minimum(high[where], most)
        if (low[where] > high[where]).any():
            raise error("leaves a weight no value at all")
        found = True

    for where, constraint, edge in _by_edges(program):
        keep(where, constraint, lambda rule, edge=edge: GraphError(f"{edge}: {rule}"))  # type: ignore[misc]  # binds this edge
    for where, constraint in pairs(program, "constraints", constraints) if constraints is not None else ():
        keep(where, constraint, lambda rule, c=constraint: ConfigError(f"constraints: {brief(c)} {rule}"))  # type: ignore[misc]  # binds this constraint
    return Bounds(low.astype(program.dtype), high.astype(program.dtype)) if found else None


def _by_edges(program: Program) -> list[tuple[Array, Any, str]]:
    """Group edges by constraint: for each, the slots of their weights, the constraint, and the name of the first."""
    columns, plan = program._columns, program.plan
    values = columns.edge_extra.get(CONSTRAINT, ())
    found: dict[str, tuple[Any, int, list[int]]] = {}
    for row, slot in zip(plan.edges.tolist(), plan.weight_slot.tolist(), strict=True) if len(values) else ():
        value = values[row]
        if slot >= 0 and value is not ABSENT and value is not None:
            found.setdefault(repr(value), (value, row, []))[2].append(slot)
    return [
        (np.array(slots), value, f"{CONSTRAINT} {brief(value)} of edge {columns.edge_name(row)}")
        for value, row, slots in found.values()
    ]


def is_bound(given: object) -> bool:
    """Return whether `given` is a constraint: "nonnegative", "nonpositive", "sign" or (low, high)."""
    if isinstance(given, str):
        return given == "sign" or given in BOUNDS
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        return False
    ends = [end for end in given if end is not None]
    numbers = all(isinstance(x, (int, float, np.number)) and not isinstance(x, bool) and x == x for x in ends)
    return numbers and (len(ends) < 2 or ends[0] <= ends[1])


def _bound(constraint: Any, theta: Array, error: Callable[[str], Exception]) -> tuple[Any, Any]:
    """Return the lower and upper bound that a constraint means for slots of values `theta` (n,), or raise `error`."""
    if not is_bound(constraint):
        raise error("must be 'nonnegative', 'nonpositive', 'sign' or (low, high), low ≤ high")
    if isinstance(constraint, str):
        sign = np.where(theta > 0, 0.0, -np.inf), np.where(theta < 0, 0.0, np.inf)
        return BOUNDS.get(constraint, sign)
    low, high = constraint
    return -np.inf if low is None else low, np.inf if high is None else high
