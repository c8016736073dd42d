"""Program: a network compiled for an executor, with θ, labels, loss and reduction; one class serves all executors."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from math import ldexp
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from flowgrad import batch
from flowgrad.arguments import frozen, instance
from flowgrad.attributes import numbers
from flowgrad.batch import SampleWeights
from flowgrad.choice import choose, requested
from flowgrad.errors import ConfigError, DataError, ExecutorError, ShapeError, brief, suggest
from flowgrad.executor import (
    PER_OUTPUT,
    Adjoint,
    Array,
    Differentiates,
    Executor,
    ExecutorInfo,
    Keeps,
    Kernel,
    Predicts,
    Pulls,
    Request,
    Saved,
)
from flowgrad.inturn import InTurn
from flowgrad.labels import ByOutput, Labels, ThetaIndex
from flowgrad.maths.dropout import Dropout
from flowgrad.maths.losses import Loss
from flowgrad.network import Network
from flowgrad.plan import Plan, lower
from flowgrad.recycling import Recycler
from flowgrad.registry import names
from flowgrad.results import Activations, Gradients, Origin

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

Reduction = Literal["mean", "sum"]


def compile(
    network: Network,
    executor: str | Executor = "auto",
    dtype: DTypeLike = "float64",
    loss: str | Loss | None = None,
    reduction: Reduction = "mean",
    threads: int | None = None,
) -> Program:
    """Compile a network into a program.

    Args:
        network: the network to run. Later changes to it do not affect the program.
        executor: a name (`flowgrad list executors`), an Executor, or "auto", which chooses, by the ranks that executors
            declare, the fastest one that can run the network; `program.why` gives the reason.
        dtype: float32 or float64, the dtype of θ and of the arrays of z, a and gradients.
        loss: a name (`flowgrad list losses`) or a Loss. None makes a program without a loss, which gives outputs, and
            gradients from ∂L/∂y.
        reduction: "mean" or "sum" over the samples, for losses and for gradients of parameters. With sample weights the
            mean is the weighted one.
        threads: largest number of threads that the executor may use, an integer ≥ 1; None lets the executor decide.
            Results of executors that declare to be deterministic do not depend on it.

    Raises:
        ConfigError: an argument has the wrong type or is out of range, or the loss needs more outputs than there are.
        UnknownNameError: no executor or loss has this name.
        ExecutorError: the executor cannot run here, or cannot run this network. There is no silent fallback.
        GraphError: the network is not valid, for example empty or cyclic.

    Warns:
        BoundedOutputWarning: the loss takes logits, but an output's activation is bounded on both sides.

    >>> net = Network.from_arrays([0, 1], [1, 2], weight=[0.5, 2.0])
    >>> program = compile(net, executor="python", loss="squared_error")
    >>> program.predict([[1.0]]).round(6).tolist()
    [[0.727894]]
    """
    instance("compile", network, Network, ConfigError)
    request = requested(network, dtype, loss, threads)
    if reduction not in ("mean", "sum"):
        raise ConfigError(f"reduction={brief(reduction)}: must be 'mean' or 'sum'")
    asked = replace(request, loss=None) if request.loss is not None and request.loss.of_batch else request
    chosen, why = choose(executor, network, asked)
    return Program(network, chosen.compile(network, asked), request, reduction, chosen.info, why)


class Program:
    """A network compiled for one executor, with its parameters θ; only θ changes during training.

    Programs are made by `compile`. Shapes: B samples, I inputs, O outputs, V nodes, E edges, P parameters. Arrays of
    z, a and gradients have the program's dtype, except as stated.

    inputs, outputs  names of the I inputs and O outputs, in the order of the columns of X and Y
    executor, why    name of the executor, and the reason why it was chosen
    dtype, loss, reduction  as given to `compile`; dtype is a `numpy.dtype`, loss a `Loss` or None
    plan, labels     the network as arrays (`flowgrad.plan.Plan`), and the ids of its nodes and edges
    """

    def __init__(
        self,
        network: Network,
        kernel: Kernel,
        request: Request,
        reduction: Reduction,
        executor: ExecutorInfo,
        why: str,
    ) -> None:
        self.plan: Plan = lower(network)
        self.kernel = kernel
        in_turn = InTurn(kernel, self.plan, request.loss)
        self._forward = in_turn.forward
        by_batch = request.loss is not None and request.loss.of_batch
        at_once = kernel if isinstance(kernel, Differentiates) and not by_batch else in_turn
        self._differentiate = at_once.value_and_grad
        self._pull = (kernel if isinstance(kernel, Pulls) else in_turn).vjp
        self._predict = (kernel if isinstance(kernel, Predicts) else in_turn).predict
        self._keeping = kernel if isinstance(kernel, Keeps) else None
        self._arrays = Recycler()
        self.dtype, self.loss, self.reduction = request.dtype, request.loss, reduction
        self.executor, self.why = executor.name, why
        self.inputs, self.outputs = network.inputs, network.outputs
        self._columns = network.columns
        self.labels = Labels(self._columns, self.plan)
        self.origin = Origin(self.labels, self.dtype, executor)  # referenced by all results of this program
        self._theta: Array = self.plan.theta.astype(self.dtype)
        self._shape_of_x = -1, len(self.inputs)

    # ---- θ --------------------------------------------------------------------------------------------------

    @property
    def theta(self) -> Array:
        """Parameter vector θ (P,), in the program's dtype: each trainable weight and bias once, shared weights once.

        `theta_index` maps edges and neurons to entries of θ. An array assigned to `theta` is converted and copied.

        Raises:
            ShapeError, DataError: the assigned value is not an array of P real numbers.
        """
        return self._theta

    @theta.setter
    def theta(self, values: ArrayLike) -> None:
        self._theta = batch.parameters(values, self.plan, self.dtype).copy()

    @cached_property
    def theta_index(self) -> ThetaIndex:
        """Map from edges and neurons to slots of θ: `theta_index.weight["x", "h"]`, `theta_index.bias["h"]`."""
        return ThetaIndex(self.labels)

    @cached_property
    def theta_slices(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Slots of θ, an int64 array for each network of a union, in the order of that network's own θ.

        A network that is not a union has one array of all slots.
        """
        return self.plan.slots_by_part(self._columns.part)

    def network(self, theta: ArrayLike | None = None) -> Network:
        """Return a network whose weights and biases are those of θ, for example to save it or to extend it.

        Args:
            theta: (P,); default: `program.theta`.

        Raises:
            GraphError: a parameter is NaN or infinite.
            ShapeError, DataError: theta is not an array of P real numbers.
        """
        weight, bias = self.plan.parameters(self._given(theta).astype(np.float64))
        c, by_row, by_edge = self._columns, np.empty(self.plan.n_nodes), np.empty(self.plan.n_edges)
        by_row[self.plan.nodes], by_edge[self.plan.edges] = bias, weight
        bias = numbers(by_row, "bias", lambda row: f"node {c.ids[row]!r}")
        weight = numbers(by_edge, "weight", lambda row: f"edge {c.edge_name(row)}")
        return Network.from_columns(replace(c, bias=bias, weight=weight))

    def _given(self, theta: ArrayLike | None) -> Array:
        return self._theta if theta is None else batch.parameters(theta, self.plan, self.dtype)

    # ---- running it -----------------------------------------------------------------------------------------

    def forward(self, X: Any, theta: ArrayLike | None = None, dropout: Dropout | None = None) -> Activations:
        """Compute z and a of every neuron by equations (1)–(3).

        Args:
            X: (B, I) array, or a mapping or data frame with one column per input name; B ≥ 1. inf and NaN are allowed
                and propagate.
            theta: (P,); default: `program.theta`. The result keeps a copy, which `backward` uses.
            dropout: `fg.Dropout`, the random draw of one training step: a of hidden neurons, and of inputs if
                `dropout.inputs` is above 0, is multiplied by m/(1 − p), and `backward` uses the same factors. Default:
                no dropout.

        Raises:
            ShapeError, DataError, UnknownNameError: X or theta has the wrong shape, dtype or columns.
            ConfigError: dropout is not a Dropout.
            ExecutorError: dropout is given, and the executor does not support it.
        """
        x = self._x(X)
        theta = self._given(theta).copy()
        return Activations(self.origin, self._forward(theta, x, *self._drawn(dropout)), theta, dropout)

    def _drawn(self, dropout: Dropout | None) -> tuple[Dropout, ...]:
        """Return the trailing arguments of a kernel's call: (dropout,), or () for None; refuse it if undeclared."""
        if dropout is not None and not self.origin.executor.dropout:
            raise ExecutorError(f"executor {brief(self.executor)} drops no neurons: it does not declare dropout")
        return () if dropout is None else (instance("dropout=", dropout, Dropout, ConfigError),)

    def backward(
        self,
        acts: Activations,
        T: Any = None,
        sample_weight: ArrayLike | None = None,
        cotangent: ArrayLike | None = None,
        per_output: bool = False,
    ) -> Gradients:
        """Compute the gradients (5)–(12) in one pass over the reversed graph and, from targets, the loss (4).

        Either T or `cotangent` must be given. The gradients are those at the θ of `acts`.

        Args:
            acts: result of this program's `forward`.
            T: targets, a (B, O) array, or a mapping or data frame with one column per output name; also (B,) class
                indices under a coupled loss, as cross_entropy, or (B,) for a network with one output.
            sample_weight: (B,) finite factors ≥ 0 of the samples' losses, not all 0; default: 1. A weight of 2 counts
                the sample twice; a sample of weight 0 is ignored.
            cotangent: ∂L/∂y, (B, O), or by output name, in place of T. The program's loss and reduction are not used:
                gradients of parameters are summed over the samples. It excludes sample_weight and per_output.
            per_output: whether to compute also ∂l_n/∂θ of each output n, equation (11), by one more backward pass per
                output.

        Raises:
            DataError: neither or both of T and cotangent are given; T is given to a program without a loss; `acts` is
                not a result of this program; a class index or target is out of range; a sample weight is negative or
                not finite, all are 0, or one is 0 under dropout.
            ShapeError, UnknownNameError: T, cotangent or sample_weight has the wrong shape or columns.
            ExecutorError: per_output is True, and the executor does not support it.
        """
        if per_output and not self.origin.executor.per_output:
            raise ExecutorError(f"executor {brief(self.executor)} gives no {PER_OUTPUT}")
        self._need_own(acts, "backward")
        if (T is None) == (cotangent is None):
            raise DataError("backward wants targets T or cotangent=, and not both")
        if cotangent is not None:
            if sample_weight is not None or per_output:
                raise DataError("sample_weight and per_output go with targets T, not with a cotangent")
            return Gradients(self.origin, acts, self._pulled(acts, cotangent), None, 1.0)
        loss, B = self._need_loss(), acts.saved.a.shape[1]
        s = batch.weights_of_samples(sample_weight, B)
        t = batch.targets(T, self.outputs, B, loss, self.dtype, None if s is None else s.kept).astype(np.float64)
        saved = acts.saved if s is None or s.kept is None else self._again(acts, s.kept)
        y, scale = self.origin.outputs_of(saved).astype(np.float64), self._scale(B, s)
        value, of_output, dy = loss.summed(y, t, None if s is None else s.s)
        adjoint = self._backward(acts.theta, saved, dy)
        rows = None
        if per_output:
            rows = ByOutput(self.labels, frozen(self._each_output(acts.theta, saved, loss, y, t, s, scale)))
        losses = ByOutput(self.labels, frozen(of_output * scale))
        return Gradients(self.origin, acts, batch.of_all_samples(adjoint, B, s), value * scale, scale, rows, losses)

    def _pulled(self, acts: Activations, cotangent: Any) -> Adjoint:
        """Run backward from ∂L/∂y (B, O); an output whose column is all 0 counts as not wanted (`Plan.live`)."""
        dy = self._cotangent(cotangent, acts.saved.a.shape[1])
        return self._backward(acts.theta, acts.saved, dy, (dy != 0).any(axis=0))

    def _cotangent(self, given: Any, B: int) -> Array:
        """Convert a cotangent to an array ∂L/∂y (B, O) of the program's dtype."""
        if batch.is_plain(given, self.dtype, (B, len(self.outputs))):
            return given  # type: ignore[no-any-return]  # is_plain: it is an array
        dy = batch.table(given, self.outputs, "cotangent", "output", self.dtype)
        if len(dy) != B:
            raise ShapeError(f"cotangent has shape {dy.shape}: must be {(B, len(self.outputs))}, as the output")
        return dy

    def _again(self, acts: Activations, kept: npt.NDArray[np.intp]) -> Saved:
        """Run forward again on the samples `kept` alone, so that inf or NaN in the others reaches no sum."""
        if acts.dropout is not None:
            raise DataError("samples of weight 0 under dropout: leave them out of X, a draw goes by the row")
        return self.kernel.forward(acts.theta, np.ascontiguousarray(acts.saved.a[self.plan.inputs].T[kept]))

    def _backward(self, theta: Array, saved: Saved, dy: Array, wanted: npt.NDArray[np.bool_] | None = None) -> Adjoint:
        """Run the kernel's backward; ∂L/∂x is set to NaN where the executor declares not to give it."""
        adjoint = self.kernel.backward(theta, saved, dy.astype(self.dtype, copy=False), self.plan.live(wanted))
        if not self.origin.executor.input_gradients:
            adjoint.dz[self.plan.inputs] = adjoint.da[self.plan.inputs] = np.nan
        return adjoint

    def _each_output(
        self, theta: Array, saved: Saved, loss: Loss, y: Array, t: Array, s: SampleWeights | None, scale: float
    ) -> Array:
        """Compute ∂l_n/∂θ, (O, P), for every output n, equation (11): one backward pass per output."""
        rows = np.empty((len(self.outputs), self.plan.n_parameters), self.dtype)
        for n in range(len(rows)):
            dy, read = loss.alone(y, t, n, None if s is None else s.s)
            adjoint = self._backward(theta, saved, dy, read)
            self.plan.fold(adjoint.weight, adjoint.bias, rows[n])
        rows *= self.dtype.type(scale)
        return rows

    def value_and_grad(
        self,
        theta: ArrayLike,
        X: Any,
        T: Any,
        out: Array | None = None,
        sample_weight: ArrayLike | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient with respect to θ, as `scipy.optimize.minimize(jac=True)` expects them.

        Args:
            theta: (P,). The gradient has its dtype if that is a float dtype, else the program's; the computation is in
                the program's dtype.
            X, T, sample_weight: as for `forward` and `backward`.
            out: (P,) writable array of the gradient's dtype, into which the gradient is written; default: a new array.
            dropout: as for `forward`, except that the draw numbers only the samples of weight above 0.

        Returns:
            The reduced loss, and ∂L/∂θ (P,), which is `out` if that is given.

        Raises:
            ShapeError: as `forward` and `backward`, or out has the wrong shape or dtype.
            DataError: as `forward` and `backward`, or out is read-only.
            UnknownNameError, ConfigError, ExecutorError: as `forward` and `backward`.
        """
        th, x, t, s, rows = self._operands(theta, X, T, sample_weight)
        out, g = batch.room_for_gradient(out, theta, th, self._arrays)
        share = None if s is None else s.s.astype(self.dtype, copy=False)
        value = self._differentiate(th, x, t, share, self._scale(rows, s), g, *self._drawn(dropout))
        if g is not out:
            out[...] = g
        return value, out

    def _operands(
        self, theta: Any, X: Any, T: Any, sample_weight: Any
    ) -> tuple[Array, Array, Array, SampleWeights | None, int]:
        """Validate arguments; return θ, x and t of the samples of weight above 0, their weights, and the full B."""
        loss, is_plain, dtype = self._need_loss(), batch.is_plain, self.dtype
        if sample_weight is None and is_plain(X, dtype, self._shape_of_x) and is_plain(theta, dtype, self._theta.shape):
            rows = len(X)
            if rows and is_plain(T, dtype, (rows, len(self.outputs))):
                if loss.domain is not None:
                    loss.check(T, self.outputs)
                return theta, X, T, None, rows
        th, x = batch.parameters(theta, self.plan, self.dtype), self._x(X)
        s = batch.weights_of_samples(sample_weight, len(x))
        kept = None if s is None else s.kept
        t = batch.targets(T, self.outputs, len(x), loss, self.dtype, kept)
        return th, x if kept is None else x[kept], t, s, len(x)

    def vjp(
        self,
        X: Any,
        cotangent: Any,
        theta: ArrayLike | None = None,
        inputs: bool = True,
        kept: Array | None = None,
    ) -> tuple[Array, Array | None]:
        """Compute the vector–Jacobian product of the outputs: the gradients ∂L/∂θ and ∂L/∂x from a given ∂L/∂y.

        Up to rounding, the result is that of `forward` and `backward(cotangent=…)`, without gradients of neurons.

        Args:
            X, cotangent: (B, I) and ∂L/∂y (B, O), or by name, as for `forward` and `backward`.
            theta: (P,); default: `program.theta`.
            inputs: whether to compute ∂L/∂x; without it a dense first layer takes half the work.
            kept: second result of `predict_keeping` for the same X and θ, which saves the forward pass. It can be used
                once; a used one is ignored. One of another X or θ must not be given: it is ignored if it is detected,
                but only about a hundred numbers of X and of θ are compared.

        Returns:
            ∂L/∂θ (P,), summed over the samples, and ∂L/∂x (B, I), or None without `inputs`, in the program's dtype.

        Raises:
            ShapeError, UnknownNameError: as `forward` and `backward`.
            DataError: as `forward` and `backward`, or kept is not a writable uint8 array as `predict_keeping` returns.
            ExecutorError: `inputs` is True, and the executor does not compute gradients of inputs.

        >>> program = compile(Network.from_arrays([0, 1], [1, 2], weight=[0.5, 2.0], activation="identity"))
        >>> [g.tolist() for g in program.vjp([[3.0], [1.0]], [[1.0], [10.0]])]
        [[26.0, 6.5, 22.0, 11.0], [[1.0], [10.0]]]
        """
        if inputs:
            self.origin.need_input_gradients()
        x = self._x(X)
        dy, out = self._cotangent(cotangent, len(x)), self._arrays.empty(len(self._theta), self.dtype)
        dx = self._arrays.empty(x.shape, self.dtype) if inputs else None
        wanted = None if all(dy[0].tolist()) else (dy != 0).any(axis=0)
        live, memory = self.plan.live(wanted), batch.memory(kept)
        self._pull(self._given(theta), x, dy, live, out, dx, *(() if self._keeping is None else memory))
        return out, dx

    def predict(self, X: Any, theta: ArrayLike | None = None) -> Array:
        """Compute the outputs y (B, O) of X (B, I): under losses that take logits, the logits.

        Args:
            X, theta: as for `forward`.

        Raises:
            ShapeError, DataError, UnknownNameError: as `forward`.
        """
        return self._predict(self._given(theta), self._x(X))

    def predict_keeping(self, X: Any, theta: ArrayLike | None = None) -> tuple[Array, Array]:
        """Compute the outputs, and keep intermediate values for `vjp`, so that the forward pass runs only once.

        Args:
            X, theta: as for `predict`.

        Returns:
            Outputs (B, O), and an opaque array (N,) uint8 for the argument `kept` of `vjp`. N is 0 if the executor
            keeps nothing. The Numba executor keeps about 1 GiB at most: of a larger batch, the values of its first
            samples. The results of `vjp` are bit-identical with and without this array.

        Raises:
            ShapeError, DataError, UnknownNameError: as `predict`.

        >>> program = compile(Network.from_arrays([0, 1], [1, 2], weight=[0.5, 2.0], activation="identity"))
        >>> Y, kept = program.predict_keeping([[3.0]])
        >>> Y.tolist(), program.vjp([[3.0]], [[1.0]], kept=kept)[1].tolist()
        ([[3.0]], [[1.0]])
        """
        if self._keeping is None:
            return self.predict(X, theta), np.empty(0, np.uint8)
        return self._keeping.predict_keeping(self._given(theta), self._x(X))

    def _need_own(self, acts: Any, who: str) -> None:
        """Raise DataError unless `acts` are Activations that this program made; `who` names the caller in messages."""
        if not instance(who, acts, Activations).belong_to(self):
            raise DataError(
                f"these Activations belong to another program: {who} takes what this program's own forward(X) gave"
            )

    def _x(self, X: Any) -> Array:
        fits = batch.is_plain(X, self.dtype, self._shape_of_x) and len(X)
        return X if fits else batch.table(X, self.inputs, "X", "input", self.dtype)

    def _need_loss(self) -> Loss:
        if self.loss is None:
            raise DataError(f"this program has no loss: compile(..., loss=...){suggest('', names('losses'))}")
        return self.loss

    def _scale(self, rows: int, s: SampleWeights | None) -> float:
        """Return the factor of the reduction: sums over the samples times it are the reported values."""
        if self.reduction == "sum":
            return 1.0 if s is None else ldexp(1.0, s.power)
        return 1.0 / (rows if s is None else s.total)

    def __repr__(self) -> str:
        loss = self.loss.name if self.loss else "no loss"
        return f"Program({self.plan!r}, executor={self.executor}, dtype={self.dtype}, {loss}, {self.reduction})"
