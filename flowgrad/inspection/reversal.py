"""The backward pass as a network: the reversed graph of linear neurons, whose forward pass is equations (8)–(10)."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from flowgrad.arguments import instance, row
from flowgrad.columns import ABSENT, Columns
from flowgrad.errors import ConfigError, GraphError, brief
from flowgrad.executor import Array
from flowgrad.inspection.local import activation_slopes, reached
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.registry import find
from flowgrad.results import Activations

BASE = "base"


def reversed_network(program: Program, acts: Activations, *, sample: int = 0) -> Network:
    """Build the linear network whose forward pass, on any executor, is the backward pass at one sample.

    Every edge is reversed. Once z_v is known, σ'_v(z_v) is a constant, (7), and so is ∂z_s/∂a_v. Equations (8) and (10)
    are then the forward pass of a linear neuron with response σ'_v(z_v) and weights ∂z_s/∂a_v on its in-edges:

        ∂L/∂z_v = σ'_v(z_v) · ( [base] + Σ_s ∂z_s/∂a_v · ∂L/∂z_s ),    ∂z_s/∂a_v = r_s · ∂m_s/∂t · w_vs

    t is a term w_vs · a_v of (1). ∂m_s/∂t is 1 for a sum, 1/K for a mean of K terms, 1 at the largest term of a maximum
    and 0 elsewhere, and the product of the other terms for a product. For every aggregation, user-defined ones
    included, it is a number once a is known.

    The inputs of the result are the base cases (9), ∂L/∂y_n of the outputs n in their order, with ids ("base", n);
    primes are appended to "base" if the network has a node with such an id. Its neurons have the ids of the
    network's nodes, with a_v = ∂L/∂z_v. Its outputs are the network's inputs, with a_x = ∂L/∂x. None of its parameters
    is trainable. Nodes from which no output can be reached have response 0 in it, and their out-edges have weight 0.

    The constants, and therefore the result, belong to one sample. The network for a batch of B samples is
    `fg.union([fg.reversed_network(program, acts, sample=b) for b in range(B)], share_inputs=False)`.

    Args:
        program: the program that computed `acts`.
        acts: result of `program.forward(X)`; its θ and its dropout are used.
        sample: the row of X, an integer in 0 … B − 1.

    Raises:
        ConfigError: program is not a Program.
        DataError: acts is not an Activations, or another program computed it; sample is out of range.
        GraphError: σ'(z) or ∂z_s/∂a_v is not finite at the sample.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [1, 2], weight=[0.5, 2.0], activation="identity")
    >>> program = fg.compile(net, executor="python")
    >>> backwards = reversed_network(program, program.forward([[3.0]]))
    >>> backwards
    Network(4 nodes, 3 edges, depth 3, 1 input: ('base', 2), 1 output: 0)
    >>> fg.compile(backwards, executor="python").predict([[1.0]]).tolist()
    [[1.0]]
    """
    instance("reversed_network", program, Program, ConfigError)
    program._need_own(acts, "reversed_network")
    plan, O = program.plan, len(program.outputs)
    slope, through = _constants(program, acts, row("sample", sample, acts.a.array.shape[1]))
    label = program.labels.columns.node_extra.get("label")
    columns = Columns.of(
        [*_base_ids(program), *program.labels.nodes],
        np.arange(O),
        O + plan.inputs,
        np.concatenate([np.arange(O), O + plan.in_target]),
        np.concatenate([O + plan.outputs, O + plan.in_source]),
        (0, (find("activations", "identity"),)),
        weight=np.concatenate([np.ones(O), through]),
        response=np.concatenate([np.ones(O), slope]),
        trainable=False,
        edge_trainable=False,
        node_extra={} if label is None else {"label": [ABSENT] * O + [label[r] for r in plan.nodes.tolist()]},
    )
    return Network.from_columns(columns)


def _constants(program: Program, acts: Activations, k: int) -> tuple[Array, Array]:
    """Return (V,) σ'(z) and (E,) ∂z_s/∂a_v at sample k, float64; 0 at nodes and edges that reach no output.

    Raises:
        GraphError: one of them is not finite.
    """
    plan, live = program.plan, reached(program.plan)
    z, a = (values.array[:, k].astype(np.float64) for values in (acts.z, acts.a))
    weight, _ = plan.parameters(acts.theta.astype(np.float64))
    slope = np.where(live, activation_slopes(plan, z), 0.0)
    if acts.dropout is not None:
        slope = slope * plan.dropped(acts.dropout, acts.a.array.shape[1])[:, k]
    with np.errstate(all="ignore"):
        through = np.where(live, plan.response, 0.0)[plan.in_target] * plan.term_slopes(weight, a) * weight
    through[~live[plan.in_target]] = 0.0
    names, ends = program.labels.nodes, program.labels.edges
    for v in np.flatnonzero(~np.isfinite(slope))[:1].tolist():
        raise GraphError(f"σ'(z) of neuron {brief(names[v])} is {slope[v]} at sample {k}: no network has such a number")
    for e in np.flatnonzero(~np.isfinite(through))[:1].tolist():
        edge = " → ".join(map(brief, ends[e]))
        said = f"∂z/∂a of edge {edge} is {through[e]} at sample {k}"
        raise GraphError(f"{said}: no network has such a number")
    return slope, through


def _base_ids(program: Program) -> list[Hashable]:
    """Return the id ("base", n) of each output n; primes are added to the word where a node has such an id."""
    taken, word = program.labels.columns.index, BASE
    while any((word, n) in taken for n in program.outputs):
        word += "'"
    return [(word, n) for n in program.outputs]
