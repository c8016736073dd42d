"""Define a conformance check: a claim about executors, a function that tests it, and a minimum number of comparisons.

A check's function takes a `Subject`, which holds the executor under test and counts the comparisons. A check that makes
fewer comparisons than its `least` fails, so that a loop that has become empty does not pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.errors import BoundedOutputWarning, ConfigError, brief
from flowgrad.executor import Executor, Request
from flowgrad.maths.losses import Loss
from flowgrad.network import Network
from flowgrad.program import Program, compile
from flowgrad.registry import find, names
from flowgrad.testing import oracle
from flowgrad.testing.strategies import random_case

NEAR = {"float64": 1e-12, "float32": 2e-5}  # tolerance, relative to the largest number compared
SMOOTH = ("identity", "sigmoid", "tanh", "softplus", "softsign", "silu", "gelu", "arctan", "sin", "gaussian")
Body = Callable[..., None]


class Skip(Exception):
    """Exception of a check that needs what the executor does not declare; the message is the reason."""


def quietly(network: Network, **options: Any) -> Program:
    """Compile a network without BoundedOutputWarning; random networks often have bounded outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundedOutputWarning)
        return compile(network, **options)


class Subject:
    """The executor under test, with methods to compile networks on it, and to compare and count results.

    With `quick`, checks are reduced to their smallest cases: a quarter of the random networks, a tenth of the nodes of
    large graphs, at most 70 samples.
    """

    def __init__(self, executor: str | Executor, quick: bool = False) -> None:
        self.executor: Executor = find("executors", executor) if isinstance(executor, str) else executor
        self.info = self.executor.info
        self.compared, self.quick = 0, quick

    def __repr__(self) -> str:
        return f"Subject({self.info.name!r}, {self.compared:,} compared)"

    # ---- making programs ------------------------------------------------------------------------------------

    def compile(
        self, network: Network, dtype: str = "float64", loss: str | Loss | None = None, **options: Any
    ) -> Program:
        """Compile the network on this executor; raises Skip where the executor declares that it cannot."""
        record = find("losses", loss) if isinstance(loss, str) else loss
        request = Request(np.dtype(dtype), record, options.get("threads"))
        for answer in (self.info.supports(network, request), self.executor.can_run(network, request)):
            if answer is not True:
                raise Skip(answer)
        return quietly(network, executor=self.executor, dtype=dtype, loss=loss, **options)

    def functions(self, kind: str, among: Sequence[str]) -> tuple[str, ...]:
        """Return those of the names that this executor declares for a kind; raises Skip if there are none."""
        declared = {"activations": self.info.activations, "aggregations": self.info.aggregations}[kind]
        known = tuple(name for name in among if declared is None or name in declared)
        if not known:
            raise Skip(f"it declares none of the {kind} {', '.join(among)}")
        return known

    def declares(self, kind: str, name: str) -> None:
        """Raise Skip where the executor does not declare this function."""
        self.functions(kind, (name,))

    def random(
        self, count: int, rows: int, seed: int, smooth: bool = False, **options: Any
    ) -> Iterator[tuple[oracle.Net, Network, Any]]:
        """Yield `count` random networks: the oracle's graph, the network, and X (rows, I) in all functions' domains."""
        rng = np.random.default_rng(seed)
        known = SMOOTH if smooth else tuple(n for n in names("activations") if n in oracle.SIGMA)
        terms = ("sum", "mean", "product") if smooth else tuple(oracle.AGGREGATE)
        options.setdefault("activations", self.functions("activations", known))
        options.setdefault("aggregations", self.functions("aggregations", terms))
        for _ in range(-(-count // 4) if self.quick else count):
            case = random_case(rng, **options)
            X = rng.standard_normal((rows, len(case.inputs)))
            net = oracle.of_case(case, X.tolist())
            yield net, Network.from_networkx(net.graph, inputs=net.inputs, outputs=net.outputs), X

    def size(self, whole: int) -> int:
        """Return the number of nodes to use for a graph of `whole` nodes: a tenth in a quick run."""
        return whole // 10 if self.quick else whole

    def rows(self, whole: int) -> int:
        """Return the number of samples to use for `whole`: in a quick run at most 70, which is more than one tile."""
        return min(whole, 70) if self.quick else whole

    def dtypes(self, name: str, among: Sequence[str]) -> tuple[str, ...]:
        """Return the dtypes that the executor declares; in a quick run one, by the index of `name` in `among`."""
        turn = among.index(name) % len(self.info.dtypes)
        return (self.info.dtypes[turn],) if self.quick else self.info.dtypes

    def given(self, program: Program) -> Any:
        """Return an index of the rows of ∂L/∂z and ∂L/∂a, (V, B), that are defined.

        These are all rows, or those of neurons if the executor declares no gradients of inputs.
        """
        return slice(None) if self.info.input_gradients else np.flatnonzero(program.plan.activation >= 0)

    def needs_input_gradients(self) -> None:
        """Raise Skip where the executor declares no gradients of inputs."""
        if not self.info.input_gradients:
            raise Skip("it declares no gradients of inputs")

    # ---- comparing ------------------------------------------------------------------------------------------

    def same(self, what: str, found: Any, expected: Any, near: float = 1e-12, scale: float = 0.0) -> None:
        """Assert every number within near · max(scale, largest finite |expected|); NaN and inf in the same places."""
        f, e = self._paired(what, found, expected)
        size = max(scale, float(np.abs(e[np.isfinite(e)]).max(initial=0.0)))
        self._within(what, f, e, np.full(f.shape, near * size))

    def each(self, what: str, found: Any, expected: Any, relative: float, absolute: float) -> None:
        """Assert every number within relative · |expected| + absolute; NaN and inf in the same places."""
        f, e = self._paired(what, found, expected)
        with np.errstate(invalid="ignore"):
            self._within(what, f, e, relative * np.abs(e) + absolute)

    def bits(self, what: str, found: Any, expected: Any) -> None:
        """Assert that both have the same dtype, shape and bits."""
        f, e = np.asarray(found), np.asarray(expected)
        self.compared += 1
        assert (f.dtype, f.shape) == (e.dtype, e.shape), f"{what}: {f.dtype} {f.shape}, not {e.dtype} {e.shape}"
        different = np.flatnonzero(f.ravel().view(np.uint8) != e.ravel().view(np.uint8)) // max(f.itemsize, 1)
        if len(different):
            k = int(different[0])
            one, other, count = f.ravel()[k].item(), e.ravel()[k].item(), len(np.unique(different))
            raise AssertionError(f"{what}: {count} of {f.size} differ, first at {k}: {brief(one)}, not {brief(other)}")

    def true(self, claim: Any, what: str) -> None:
        """Assert that a claim is true."""
        self.compared += 1
        assert claim, what

    def _paired(self, what: str, found: Any, expected: Any) -> tuple[Any, Any]:
        f, e = np.asarray(found, np.float64), np.asarray(expected, np.float64)
        self.compared += 1
        assert f.shape == e.shape, f"{what}: shape {f.shape}, not {e.shape}"
        return f, e

    def _within(self, what: str, f: Any, e: Any, allowed: Any) -> None:
        finite = np.isfinite(e)
        with np.errstate(invalid="ignore"):
            wrong = np.where(finite, ~(np.abs(f - e) <= allowed), ~((f == e) | (np.isnan(f) & np.isnan(e))))
        if wrong.any():
            excess = np.where(wrong, np.where(finite & np.isfinite(f), np.abs(f - e), np.inf), -1.0)
            k = int(np.argmax(excess.ravel()))
            at = tuple(int(i) for i in np.unravel_index(k, f.shape)) if f.ndim else ()
            raise AssertionError(
                f"{what}: {int(wrong.sum())} of {f.size} differ, worst at {at}: {brief(f.ravel()[k].item())}, "
                f"not {brief(e.ravel()[k].item())} (allowed {allowed.ravel()[k]:.3g})"
            )


@dataclass(frozen=True)
class Check:
    """A conformance check.

    Attributes:
        name: name in reports and expected failures.
        feature: name of the group of checks to which it belongs.
        claim: statement that is true of a correct executor.
        least: minimum number of comparisons; in a quick run a fifth of it.
        body: function of a Subject that raises AssertionError if the claim is false.
    """

    name: str
    feature: str
    claim: str
    least: int
    body: Callable[[Subject], None]

    def __call__(self, executor: str | Executor, quick: bool = False) -> int:
        """Run the check on an executor, a name or an Executor; return the number of comparisons made.

        Args:
            quick: run the smallest cases only.

        Raises:
            AssertionError: the claim is false, or there were fewer comparisons than required.
            Skip: the executor declares that it does not support what the check needs.
            UnknownNameError: no such executor.
        """
        subject = Subject(executor, quick)
        self.body(subject)
        made, least = subject.compared, -(-self.least // 5) if quick else self.least
        assert made >= least, f"{self.name} compared {made} times, and must at least {least}"
        return made

    def __repr__(self) -> str:
        return f"Check({self.name!r}: {self.claim})"


_CHECKS: dict[str, Check] = {}


def check(feature: str, least: int = 1, over: Sequence[str] = (), name: str | None = None) -> Callable[[Body], Body]:
    """Return a decorator that adds a function to the battery under its own name, or as `name[item]` for each in `over`.

    The first line of the function's docstring is the claim.
    """

    def put(body: Body) -> Body:
        claim = (body.__doc__ or "").partition("\n")[0]
        plain = name or body.__name__
        for item in over or (None,):
            label = plain if item is None else f"{plain}[{item}]"
            if label in _CHECKS:
                raise ConfigError(f"two checks are named {brief(label)}")
            bound: Callable[[Subject], None] = body if item is None else _with(body, item)
            _CHECKS[label] = Check(label, feature, claim, least, bound)
        return body

    return put


def _with(body: Body, item: str) -> Callable[[Subject], None]:
    return lambda subject: body(subject, item)
