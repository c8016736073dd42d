"""Executors that are wrong on purpose, one a class of mistake: each is caught by the check that is named for it.

After a change of the list: `python tests/executors/test_wrong_executors.py` writes it anew into docs/executors.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

from flowgrad.executor import Adjoint, ExecutorInfo, Request, Saved
from flowgrad.executors.python import PythonExecutor
from flowgrad.network import Network
from flowgrad.plan import Plan, lower
from flowgrad.testing import battery, conformance
from flowgrad.testing.checks import graphs


class Reference:
    """A right executor whose parts the wrong ones replace: forward and backward of the definition."""

    def __init__(self, network: Network, request: Request) -> None:
        self.plan: Plan = lower(network)
        self.inner = PythonExecutor().compile(network, request)
        self.dtype = request.dtype

    def forward(self, theta: Any, x: Any, dropout: Any = None) -> Saved:
        return self.inner.forward(theta, x, dropout)

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        return replace(self.inner.backward(theta, saved, dy, live), counts=None)


class Wrong:
    """An executor of such a kernel."""

    info = ExecutorInfo("wrong", "wrong on purpose", dropout=True)

    def __init__(self, kernel: type[Reference]) -> None:
        self.kernel = kernel

    def can_run(self, network: Network, request: Request) -> bool:
        return True

    def compile(self, network: Network, request: Request) -> Reference:
        return self.kernel(network, request)


class WalksEveryPath(Reference):
    """Plain recursion: no ∂L/∂z is kept, so that every path is walked."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        plan, calls = self.plan, [0]

        def walk(v: int) -> None:
            calls[0] += 1
            for k in range(plan.out_ptr[v], plan.out_ptr[v + 1]):
                walk(int(plan.out_target[k]))

        if plan.n_nodes <= 3 * 24 + 1:
            walk(0)
        else:
            raise AssertionError("a ladder that it would never climb")
        return super().backward(theta, saved, dy, live)


class MissesAReuse(Reference):
    """A neuron read by two successors gathers from the first alone."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        right = super().backward(theta, saved, dy, live)
        twice = np.diff(self.plan.out_ptr) > 1
        factor = np.where(twice, 0.5, 1.0)[:, None]
        return replace(right, da=(right.da * factor).astype(self.dtype), dz=(right.dz * factor).astype(self.dtype))


class DropsSkipEdges(Reference):
    """Edges over more than one level are read as 0 on the way forward."""

    def forward(self, theta: Any, x: Any) -> Saved:
        plan = self.plan
        span = plan.level[plan.in_target] - plan.level[plan.in_source]
        slots = plan.weight_slot[(span > 1) & (plan.weight_slot >= 0)]
        moved = theta.copy()
        moved[slots] = 0
        return super().forward(moved, x)


class TransposesWeights(Reference):
    """Weights of a neuron's in-edges are used in the reverse order."""

    def forward(self, theta: Any, x: Any) -> Saved:
        moved = theta.copy()
        for v in range(self.plan.n_nodes):
            slots = self.plan.weight_slot[self.plan.in_ptr[v] : self.plan.in_ptr[v + 1]]
            slots = slots[slots >= 0]
            moved[slots] = moved[slots[::-1]]
        return super().forward(moved, x)


class KeepsAStaleTheta(Reference):
    """The first θ it sees is kept for good."""

    theta: Any = None

    def forward(self, theta: Any, x: Any) -> Saved:
        if self.theta is None:
            self.theta = theta.copy()
        return super().forward(self.theta, x)


class KeepsOneBuffer(Reference):
    """z and a live in one buffer, written over by the next call."""

    saved: Any = None

    def forward(self, theta: Any, x: Any) -> Saved:
        fresh = super().forward(theta, x)
        if self.saved is not None and self.saved.z.shape == fresh.z.shape:
            self.saved.z[...], self.saved.a[...] = fresh.z, fresh.a
            return replace(fresh, z=self.saved.z, a=self.saved.a)
        self.saved = fresh
        return fresh


class SumsAGradientTwice(Reference):
    """∂L/∂w of a shared weight's edges is added once too often."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        right = super().backward(theta, saved, dy, live)
        slots = self.plan.weight_slot
        count = np.bincount(slots[slots >= 0], minlength=len(theta) + 1)
        shared = (slots >= 0) & (count[slots] > 1)
        return replace(right, weight=np.where(shared, 2 * right.weight, right.weight).astype(self.dtype))


class DividesByTheBatch(Reference):
    """What belongs to one sample is divided by the number of samples."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        right = super().backward(theta, saved, dy, live)
        return replace(right, dz=right.dz / self.dtype.type(len(dy)))


class DrawsByLot(Reference):
    """The last bits are drawn by lot, as an unordered sum over threads draws them."""

    rng = np.random.default_rng(0)

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        right = super().backward(theta, saved, dy, live)
        noise = 1 + 4 * np.finfo(self.dtype).eps * self.rng.integers(-1, 2, right.weight.shape)
        return replace(right, weight=(right.weight * noise).astype(self.dtype))


class WritesIntoTheta(Reference):
    """θ is scratch space."""

    def forward(self, theta: Any, x: Any) -> Saved:
        theta += 0
        return super().forward(theta, x)


class Leaks(Reference):
    """Every Saved is kept."""

    def __init__(self, network: Network, request: Request) -> None:
        super().__init__(network, request)
        self.all: list[Any] = []

    def forward(self, theta: Any, x: Any) -> Saved:
        self.all.append(super().forward(theta, x))
        return self.all[-1]


class SharesScratchBetweenThreads(Reference):
    """The activations of the last forward are read by backward, whoever called it."""

    def forward(self, theta: Any, x: Any) -> Saved:
        self.last = super().forward(theta, x)
        return self.last

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        mine = self.last if self.last.a.shape == saved.a.shape else saved
        return super().backward(theta, mine, dy, live)


class IsNotAlone(Reference):
    """The batch waits in the kernel, where another thread's replaces it."""

    def forward(self, theta: Any, x: Any) -> Saved:
        self.x = x
        sleep(0.001)
        return super().forward(theta, self.x)


class SplitsByThreads(Reference):
    """Sums are split by the number of threads, and so are their last bits."""

    def __init__(self, network: Network, request: Request) -> None:
        super().__init__(network, request)
        self.factor = request.dtype.type(1 + np.finfo(request.dtype).eps * (request.threads or 1))

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        right = super().backward(theta, saved, dy, live)
        return replace(right, weight=right.weight * self.factor)


class AnswersInFloat64(Reference):
    """Whatever the dtype that was asked for."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        right = super().backward(theta, saved, dy, live)
        return replace(right, weight=right.weight.astype(np.float64))


class Recurses(Reference):
    """Walks a chain by recursion."""

    def forward(self, theta: Any, x: Any) -> Saved:
        def deep(v: int) -> int:
            return 0 if v == 0 else 1 + deep(v - 1)

        deep(int(self.plan.level.max()))
        return super().forward(theta, x)


class ClipsInfinity(Reference):
    """Numbers that are not finite are made finite."""

    def forward(self, theta: Any, x: Any) -> Saved:
        return super().forward(theta, np.nan_to_num(x))


class RoundsToFloat32(Reference):
    """float64 goes through float32 on its way."""

    def forward(self, theta: Any, x: Any) -> Saved:
        return super().forward(theta, x.astype(np.float32).astype(self.dtype))


class GivesTiesToTheLast(Reference):
    """Of equal terms the last gets the gradient of max."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        right = super().backward(theta, saved, dy, live)
        dz, da, plan = right.dz.copy(), right.da.copy(), self.plan
        for v in range(plan.n_nodes):
            if plan.aggregation[v] >= 0 and plan.aggregations[plan.aggregation[v]].name == "max":
                edges = slice(int(plan.in_ptr[v]), int(plan.in_ptr[v + 1]))
                before = plan.in_source[edges]
                dz[before], da[before] = dz[before][::-1], da[before][::-1]
        return replace(right, dz=dz, da=da)


class MultipliesDeadBranchesIn(Reference):
    """Neurons that no wanted output depends on are multiplied by their ∂L/∂z of 0, which takes no infinity away."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        return super().backward(theta, saved, dy, None)


class LooksAtAllOutputsAlways(Reference):
    """Which outputs are wanted is not asked."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        return super().backward(theta, saved, dy, self.plan.live())


class ForgetsWhatItDropped(Reference):
    """Backward knows nothing of the neurons that forward left out."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        z, a, _ = saved.extra
        return super().backward(theta, replace(saved, extra=(z, a, {})), dy, live)


class SaysValueErrors(Reference):
    """Its own errors come before flowgrad's."""

    def __init__(self, network: Network, request: Request) -> None:
        if request.loss is not None and request.loss.name == "cross_entropy":
            raise KeyError("softmax")
        super().__init__(network, request)


CATCH: list[tuple[type[Reference], str]] = [
    (WalksEveryPath, "each_edge_is_visited_once"),
    (MissesAReuse, "gradients_equal_the_sum_over_paths"),
    (DropsSkipEdges, "graph[skip_edges]"),
    (TransposesWeights, "graph[neurons_that_share_all_predecessors]"),
    (KeepsAStaleTheta, "theta_is_read_anew"),
    (KeepsOneBuffer, "earlier_activations_stay_valid"),
    (SumsAGradientTwice, "parameters[shared_weights]"),
    (DividesByTheBatch, "gradients_equal_the_complex_step"),
    (DrawsByLot, "same_bits_from_run_to_run"),
    (WritesIntoTheta, "inputs_are_not_mutated"),
    (Leaks, "memory_is_flat_over_steps"),
    (SharesScratchBetweenThreads, "earlier_activations_stay_valid"),
    (IsNotAlone, "concurrent_callers"),
    (SplitsByThreads, "same_bits_for_any_number_of_threads"),
    (AnswersInFloat64, "shapes_and_dtypes[float32]"),
    (Recurses, "chain_100000"),
    (ClipsInfinity, "what_is_not_finite_flows"),
    (RoundsToFloat32, "equals_python[float64]"),
    (GivesTiesToTheLast, "aggregations[max]"),
    (MultipliesDeadBranchesIn, "a_branch_without_a_wanted_output[infinite_derivative]"),
    (ForgetsWhatItDropped, "drops_what_the_definition_drops"),
    (LooksAtAllOutputsAlways, "one_output_beside_one_that_is_not_finite"),
    (SaysValueErrors, "errors_are_the_references"),
]


@pytest.mark.parametrize(("kernel", "check"), CATCH, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_executor_is_caught_by_the_check_named_for_it(
    kernel: type[Reference], check: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "PATIENCE", 0.1)  # with what walks every path; a right one has a second
    report = conformance(Wrong(kernel), only=[check], quick=quick)
    assert [o.name for o in report.failures] == [check]


def test_the_right_one_that_they_are_made_from_passes_those_checks(quick: bool) -> None:
    slow = {"memory_is_flat_over_steps", "chain_100000"}  # the Python executor's own run has these
    assert conformance(Wrong(Reference), only={check for _, check in CATCH} - slow, quick=quick).ok


class GivesNoInputGradients(Reference):
    """Right, but for the gradients of inputs, which it declares not to give."""

    def backward(self, theta: Any, saved: Saved, dy: Any, live: Any) -> Adjoint:
        found = super().backward(theta, saved, dy, live)
        found.dz[self.plan.inputs] = found.da[self.plan.inputs] = -1.0
        return found


def test_one_that_declares_to_give_less_is_not_asked_for_it(quick: bool) -> None:
    short = Wrong(GivesNoInputGradients)
    slow = ["memory_is_flat_over_steps", "chain_100000", "equals_python_on_larger_graphs", "fan_", "each_edge"]
    checks = [name for name in battery() if not name.startswith(("activations", "losses[", *slow))]
    assert not conformance(short, only=["gradients_equal_the_complex_step", "aggregations[sum]"], quick=quick).ok
    short.info = ExecutorInfo("short", "gives less", per_output=False, input_gradients=False)
    report = conformance(
        short,
        only=[*checks, "losses[huber]", "fan_out_10000[1]", "equals_python_on_larger_graphs[dense]"],
        quick=quick,
    )
    assert report.ok, report.failures
    skipped = [o for o in report.outcomes if o.result == "skip"]
    assert {o.reason for o in skipped} <= {
        "it declares no gradients of inputs",
        "it declares no dropout",
        "it declares every function and dtype",
    }


GUIDE, MARKS = Path(__file__).parents[2] / "docs" / "executors.md", ("<!-- wrong executors -->", "<!-- that is all -->")


def catch_list() -> str:
    """CATCH as a table of the guide."""
    lines = ["| an executor that… | | is caught by |", "|---|---|---|"]
    lines += [f"| `{k.__name__}` | {(k.__doc__ or '').strip()} | `{check}` |" for k, check in CATCH]
    return "\n\n" + "\n".join(lines) + "\n\n"


def test_the_guide_lists_them() -> None:
    page = GUIDE.read_text("utf-8")
    assert page.partition(MARKS[0])[2].partition(MARKS[1])[0] == catch_list()


def test_every_mistake_has_its_own_executor() -> None:
    assert {check for _, check in CATCH} <= set(battery())
    assert len({kernel.__doc__ for kernel, _ in CATCH}) == len(CATCH)


if __name__ == "__main__":
    page = GUIDE.read_text("utf-8")
    before, after = page.partition(MARKS[0])[0], page.partition(MARKS[1])[2]
    GUIDE.write_text(before + MARKS[0] + catch_list() + MARKS[1] + after, "utf-8")
