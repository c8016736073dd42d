"""Plan: a network lowered to read-only arrays, the input of every executor that works on arrays.

The topology is data for kernels that are compiled once; no code is generated from a graph. Nodes are in canonical
order: inputs first, in their own order; then neurons by topological level (the longest path from a node without
in-edges) and, within a level, by id; in a union the neurons are in this order network by network. Edges are grouped
by target (CSR), in the order of the target's in-edges. θ holds the trainable weights in that edge order, one slot for
each shared parameter at its first edge, then the trainable biases in node order. If all parameters are trainable and
none is shared, θ = [weights, biases of the neurons], and a kernel reads θ without a gather (`Plan.direct`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import frozen
from flowgrad.maths.aggregations import coefficients
from flowgrad.order import grouped, levels, offsets, stretches, upstream

if TYPE_CHECKING:
    from flowgrad.columns import Columns
    from flowgrad.maths.activation import Activation
    from flowgrad.maths.aggregations import Aggregation
    from flowgrad.maths.dropout import Dropout
    from flowgrad.network import Network

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Plan:
    """Topology, functions and parameters of a network as arrays: V nodes, E edges, I inputs, O outputs, P parameters.

    A plan is part of the executor protocol and is made by `lower`. The position of a node is its index in `nodes`, the
    number of an edge its index in `in_source`.

    nodes           (V,) int32   row of each node in the network's columns
    level           (V,) int32   number of edges on the longest path to the node from a node without in-edges; never
                                 decreases after the inputs, in a union within each network (*)
    inputs          (I,) int32   positions of the inputs: 0 … I−1 (*)
    outputs         (O,) int32   positions of the outputs, in the order of the network's outputs
    in_ptr          (V+1,) int64 node v has the in-edges number in_ptr[v] … in_ptr[v+1]−1, in the network's edge
                                 order (*)
    in_source       (E,) int32   position of each edge's source
    out_ptr         (V+1,) int64 node u has the out-edges out_ptr[u] … out_ptr[u+1]−1 of `out_target` and `out_edge`,
                                 by rising edge number (*)
    out_target      (E,) int32   position of each out-edge's target
    out_edge        (E,) int32   edge number of each out-edge
    edges           (E,) int64   row of each edge in the network's columns
    activation      (V,) int16   index into `activations`; −1 for inputs
    aggregation     (V,) int16   index into `aggregations`; −1 for inputs
    response        (V,) float64 r_v of (2)
    weight          (E,) float64 weights at the time of lowering, trainable and frozen
    bias            (V,) float64 b_v of (2) at the time of lowering, trainable and frozen; 0 for inputs
    weight_slot     (E,) int32   index into θ, −1 if frozen; the same for edges that share a parameter
    bias_slot       (V,) int32   index into θ, −1 if frozen and for inputs
    theta           (P,) float64 values of the trainable parameters at the time of lowering
    activations, aggregations    tuples of the network's `Activation` and `Aggregation` records

    (*) holds for plans made by `lower`, not for those made by `reverse`.
    """

    nodes: Ints
    level: Ints
    inputs: Ints
    outputs: Ints
    in_ptr: Longs
    in_source: Ints
    out_ptr: Longs
    out_target: Ints
    out_edge: Ints
    edges: Longs
    activation: npt.NDArray[np.int16]
    aggregation: npt.NDArray[np.int16]
    response: Floats
    weight: Floats
    bias: Floats
    weight_slot: Ints
    bias_slot: Ints
    theta: Floats
    activations: tuple[Activation, ...]
    aggregations: tuple[Aggregation, ...]

    def __post_init__(self) -> None:
        for f in fields(self):
            frozen(getattr(self, f.name))

    def __reduce__(self) -> tuple[type[Plan], tuple[Any, ...]]:
        return Plan, tuple(getattr(self, f.name) for f in fields(self))  # no cached properties

    @property
    def n_nodes(self) -> int:
        """Number V of nodes."""
        return len(self.nodes)

    @property
    def n_edges(self) -> int:
        """Number E of edges."""
        return len(self.in_source)

    @property
    def n_parameters(self) -> int:
        """Number P of trainable parameters, the length of θ."""
        return len(self.theta)

    @cached_property
    def direct(self) -> bool:
        """Whether θ is [weights of all edges, biases of all neurons], in order, so that no gather is needed."""
        E, I = self.n_edges, len(self.inputs)
        return (
            self.n_parameters == E + self.n_nodes - I
            and bool((self.weight_slot == np.arange(E)).all())
            and bool((self.bias_slot[I:] == np.arange(E, self.n_parameters)).all())
        )

    @cached_property
    def in_target(self) -> Ints:
        """Position of each edge's target, (E,) int32, by edge number as `in_source`."""
        return frozen(np.repeat(np.arange(self.n_nodes, dtype=np.int32), np.diff(self.in_ptr)))

    def slopes_into(self, v: int, terms: Floats) -> Floats:
        """Compute ∂m_v/∂t of neuron v for each of its terms t = w_uv·a_u, a factor of (6) and (10).

        Args:
            v: position of a neuron with K in-edges.
            terms: (K, B) float64, in the order of the in-edges, with one column per sample.

        Returns:
            (K, B) float64.
        """
        if not np.isnan(self.coefficient[v]):
            return np.full(terms.shape, self.coefficient[v])
        aggregation = self.aggregations[self.aggregation[v]]
        slope = np.empty(terms.shape[::-1])
        with np.errstate(all="ignore"):
            for t, d in zip(np.ascontiguousarray(terms.T), slope, strict=True):
                aggregation.df(t, d)
        return slope.T

    def term_slopes(self, weight: npt.NDArray[Any], a: npt.NDArray[Any]) -> Floats:
        """Compute ∂m_v/∂(w_uv·a_u) of every edge for one sample, a factor of (6) and (10).

        The cost is O(E) for aggregations whose gradient is O(K).

        Args:
            weight: (E,) weights of all edges, trainable and frozen.
            a: (V,) values of all nodes.

        Returns:
            (E,) float64, by edge number.
        """
        slope = self.coefficient[self.in_target]
        with np.errstate(all="ignore"):
            terms = weight.astype(np.float64) * a[self.in_source]
        for v in np.flatnonzero(np.isnan(self.coefficient)).tolist():
            edges = slice(int(self.in_ptr[v]), int(self.in_ptr[v + 1]))
            slope[edges] = self.slopes_into(v, terms[edges, None])[:, 0]
        return slope

    def live(self, wanted: Bools | None = None) -> Bools | None:
        """Mark the nodes from which a wanted output can be reached, wanted outputs included.

        At any other node, ∂L/∂z, ∂L/∂a and the gradients of its bias and in-edges are 0 by structure, whatever its
        values are. It must enter no product, so that 0 · inf does not occur.

        Args:
            wanted: (O,) bool, True for outputs whose base cases (9) are not 0 by construction; None: all outputs.

        Returns:
            (V,) bool, read-only; None if all outputs are wanted and every node reaches one.
        """
        if wanted is None or wanted.all():
            return self._live
        return frozen(upstream(self.outputs[wanted], self.in_ptr, self.in_source))

    @cached_property
    def _live(self) -> Bools | None:
        found = upstream(self.outputs, self.in_ptr, self.in_source)
        return None if found.all() else frozen(found)

    @cached_property
    def coefficient(self) -> npt.NDArray[np.float64]:
        """The factor c, (V,) float64, of neurons with m = c·Σ_k t_k in (1) for all terms t_k, so that ∂m/∂t_k = c.

        It is 1 for inputs and for neurons without in-edges, and NaN for neurons whose m is no multiple of the sum.
        """
        return frozen(coefficients(self.aggregations, self.aggregation, np.diff(self.in_ptr)))

    @cached_property
    def blocks(self) -> Ints:
        """Dense blocks, (K, 2) int32: each row (first, last) stands for the neurons at positions first … last − 1.

        The neurons of a block have the same sources in the same order, m is the sum of their terms, and the response
        is 1. Their weights are a matrix, one row per neuron, contiguous in edge order. A block has at least two
        neurons, is as long as possible, and none of its neurons depends on another.
        """
        fan_in = np.diff(self.in_ptr)
        plain = (self.coefficient == 1.0) & (self.response == 1.0) & (fan_in > 0)
        alike = plain[1:] & plain[:-1] & (fan_in[1:] == fan_in[:-1])
        v = np.flatnonzero(alike) + 1
        v = v[self.in_source[self.in_ptr[v]] == self.in_source[self.in_ptr[v - 1]]]
        ends = np.cumsum(fan_in[v])
        k = np.arange(ends[-1] if len(v) else 0) + np.repeat(self.in_ptr[v] - (ends - fan_in[v]), fan_in[v])
        differs = self.in_source[k] != self.in_source[k - np.repeat(fan_in[v], fan_in[v])]
        follows = np.zeros(self.n_nodes + 1, np.bool_)
        follows[v] = np.diff(np.concatenate([[0], np.cumsum(differs)])[np.concatenate([[0], ends])]) == 0
        return frozen(stretches(follows).astype(np.int32))

    def parameters(self, theta: Any) -> tuple[Any, Any]:
        """Return all weights (E,) and biases (V,) in the dtype of the array θ (P,); frozen values are the plan's."""
        weight = np.where(self.weight_slot >= 0, theta[self.weight_slot], self.weight) if len(theta) else self.weight
        bias = np.where(self.bias_slot >= 0, theta[self.bias_slot], self.bias) if len(theta) else self.bias
        return weight.astype(theta.dtype, copy=False), bias.astype(theta.dtype, copy=False)

    def fold(self, weight: Any, bias: Any, out: Any) -> Any:
        """Compute ∂L/∂θ from the gradients of all edges and biases; those of a shared weight are added in edge order.

        Args:
            weight: (…, E) gradients of all edges, frozen ones included.
            bias: (…, V) gradients of the biases of all nodes.
            out: (…, P) array, into which ∂L/∂θ is written.

        Returns:
            out.
        """
        if self.direct:
            out[..., : self.n_edges] = weight
            out[..., self.n_edges :] = bias[..., len(self.inputs) :]
            return out
        alone, shared, neurons = self._trainable
        out[..., self.weight_slot[alone]] = weight[..., alone]
        if len(shared):
            out[..., self.weight_slot[shared]] = 0
            place: Any = (..., self.weight_slot[shared])
            np.add.at(out, place, weight[..., shared])
        out[..., self.bias_slot[neurons]] = bias[..., neurons]
        return out

    def dropped(self, dropout: Dropout, samples: int) -> Floats:
        """Return the dropout factors 0 or 1/(1 − p) of every node and sample, (V, B) float64; 1 for outputs.

        Args:
            dropout: draw of one training step.
            samples: number B of samples.
        """
        found = np.ones((self.n_nodes, samples))
        for nodes, inputs in ((np.flatnonzero(self.activation >= 0), False), (self.inputs, True)):
            found[nodes] = dropout.factors(nodes, samples, inputs)
        found[self.outputs] = 1.0
        return found

    @cached_property
    def _trainable(self) -> tuple[Longs, Longs, Longs]:
        """Find the trainable edges with a slot of θ of their own, those with a shared slot, and trainable biases."""
        edges = np.flatnonzero(self.weight_slot >= 0)
        crowded = np.bincount(self.weight_slot[edges], minlength=self.n_parameters)[self.weight_slot[edges]] > 1
        return edges[~crowded], edges[crowded], np.flatnonzero(self.bias_slot >= 0)

    def slots_by_part(self, part: Ints | None) -> tuple[Longs, ...]:
        """Return the slots of θ of each network of a union, an int64 array each, in rising order.

        Args:
            part: (V,) column `part` of the network's columns, in their order; None for a network that is not a union,
                whose result is one array of all slots.
        """
        if part is None:
            return (np.arange(self.n_parameters),)
        of_node = part[self.nodes]
        of_slot = np.full(self.n_parameters + 1, -1, np.int32)  # the last entry absorbs slot −1 of frozen parameters
        of_slot[self.weight_slot] = of_node[self.in_target]
        of_slot[self.bias_slot] = of_node
        order = np.argsort(of_slot[:-1], kind="stable")
        ends = np.cumsum(np.bincount(of_slot[:-1], minlength=int(part.max()) + 1))
        return tuple(np.split(order, ends[:-1]))

    def reverse(self) -> Plan:
        """Return the plan of the reversed graph: edges point from target to source, and positions run backwards.

        Inputs and outputs change places. `plan.reverse().reverse()` equals the plan, array by array.
        """
        V, E = self.n_nodes, self.n_edges
        number = np.empty(E, np.int32)  # edge number here → edge number in the reversed plan
        number[self.out_edge] = E - 1 - np.arange(E, dtype=np.int32)

        def nodes(column: Any) -> Any:
            return column[::-1].copy()

        def edges(column: Any) -> Any:
            return column[self.out_edge][::-1].copy()

        in_source = V - 1 - self.out_target[::-1]
        level = levels(V, in_source, V - 1 - edges(self.in_source))
        assert level is not None  # a plan has no cycle, whichever way its arrows point
        return Plan(
            nodes=nodes(self.nodes),
            level=level,
            inputs=V - 1 - self.outputs,
            outputs=V - 1 - self.inputs,
            in_ptr=E - self.out_ptr[::-1],
            in_source=in_source,
            out_ptr=E - self.in_ptr[::-1],
            out_target=V - 1 - self.in_source[::-1],
            out_edge=nodes(number),
            edges=edges(self.edges),
            activation=nodes(self.activation),
            aggregation=nodes(self.aggregation),
            response=nodes(self.response),
            weight=edges(self.weight),
            bias=nodes(self.bias),
            weight_slot=edges(self.weight_slot),
            bias_slot=nodes(self.bias_slot),
            theta=self.theta,
            activations=self.activations,
            aggregations=self.aggregations,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # compared array by array

    def __repr__(self) -> str:
        return (
            f"Plan({self.n_nodes:,} nodes, {self.n_edges:,} edges, {len(self.inputs):,} inputs, "
            f"{len(self.outputs):,} outputs, {self.n_parameters:,} parameters)"
        )


_plans: WeakKeyDictionary[Columns, Plan] = WeakKeyDictionary()
"""Cache of plans by the columns of their network; an entry is dropped when its columns are garbage-collected."""


def lower(network: Network) -> Plan:
    """Return the plan of a network; it is made once and cached, so that programs and executors share it.

    Raises:
        GraphError: the network is not valid, for example empty or cyclic.
    """
    plan = _plans.get(network.columns)
    if plan is None:
        plan = _plans[network.columns] = _lower(network.columns)
    return plan


def _lower(c: Columns) -> Plan:
    """Make the plan in O(V + E) besides the sort of ids, without a Python loop over nodes or edges."""
    V, E = c.n_nodes, c.n_edges
    nodes = c.order
    position = np.empty(V, np.int32)
    position[nodes] = np.arange(V, dtype=np.int32)
    source, target = position[c.source], position[c.target]
    if bool((target[1:] >= target[:-1]).all()):
        edges = np.arange(E)
    else:
        edges = grouped(target, V)
        source, target = source[edges], target[edges]
    out_edge = grouped(source, V).astype(np.int32)
    weight = c.weights[edges]
    weight_slot, bias_slot, theta = _theta(c, nodes, edges, weight)
    return Plan(
        nodes=nodes,
        level=c.level[nodes],
        inputs=np.arange(len(c.inputs), dtype=np.int32),
        outputs=position[c.outputs],
        in_ptr=offsets(target, V),
        in_source=source,
        out_ptr=offsets(source, V),
        out_target=target[out_edge],
        out_edge=out_edge,
        edges=edges,
        activation=c.activation[nodes],
        aggregation=c.aggregation[nodes],
        response=c.response[nodes],
        weight=weight,
        bias=c.bias[nodes],
        weight_slot=weight_slot,
        bias_slot=bias_slot,
        theta=theta,
        activations=c.activations,
        aggregations=c.aggregations,
    )


def _theta(c: Columns, nodes: Ints, edges: Longs, weight: Floats) -> tuple[Ints, Ints, Floats]:
    """Assign slots of θ: returns weight_slot (E,), bias_slot (V,), −1 where frozen, and the values of θ (P,).

    Edges that share a param have one slot, at the place of the first of them; it is trainable if any of them is.
    """
    trainable, param = c.edge_trainable[edges], c.param[edges]
    shared = np.flatnonzero(param >= 0)
    leads = trainable.copy()  # edges that get a new slot: unshared ones, and the first of each shared param
    if len(shared):
        trains = np.zeros(len(c.params), np.bool_)
        trains[param[shared][trainable[shared]]] = True
        trainable[shared] = trains[param[shared]]
        _, first = np.unique(param[shared], return_index=True)
        leads[shared] = False
        leads[shared[first]] = trainable[shared[first]]
    slot = np.where(leads, np.cumsum(leads, dtype=np.int32) - 1, -1).astype(np.int32, copy=False)
    n_weights = int(leads.sum())
    if len(shared):
        of_param = np.full(len(c.params), -1, np.int32)
        of_param[param[shared[first]]] = slot[shared[first]]
        slot[shared] = of_param[param[shared]]
    neurons = np.flatnonzero(c.trainable[nodes])
    bias_slot = np.full(len(nodes), -1, np.int32)
    bias_slot[neurons] = np.arange(n_weights, n_weights + len(neurons), dtype=np.int32)
    return slot, bias_slot, np.concatenate([weight[leads], c.bias[nodes[neurons]]])
