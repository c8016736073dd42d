"""Run the battery of checks that every executor has to pass, and report the results.

    from flowgrad.testing import parametrize_with_executor

    @parametrize_with_executor("mine", expected_failures={"activations[mish]": "its library has none"})
    def test_conformance(check):
        check()

On the command line: `flowgrad conformance mine --report mine.json`.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from flowgrad.errors import ConfigError, DataError, ExecutorError, brief, suggest
from flowgrad.executor import PROTOCOL, Executor
from flowgrad.testing.battery import _CHECKS, Check, Skip, Subject

if TYPE_CHECKING:
    import pytest

Result = Literal["pass", "fail", "skip", "xfail", "xpass"]

# modules of the package `checks`, in the order in which they run
MODULES = ("protocol", "gradients", "functions", "losses", "graphs", "structure", "calls", "dropout", "refusals")

# Minimum number of checks by feature: a battery with fewer checks fails. Raise these numbers when checks are added.
LEAST: dict[str, int] = {
    "protocol": 4,
    "oracle": 4,
    "equality": 6,
    "activations": 43,
    "aggregations": 16,
    "losses": 8,
    "graphs": 12,
    "parameters": 7,
    "structure": 8,
    "reuse": 3,
    "order": 2,
    "depth": 1,
    "calls": 6,
    "determinism": 2,
    "threads": 1,
    "memory": 1,
    "dropout": 2,
    "errors": 3,
}
LEAST_RUN = 60  # minimum number of checks, over all features, that are neither skipped nor fail as expected


@dataclass(frozen=True)
class Outcome:
    """Result of one check.

    Attributes:
        name, feature: name of the check, and of the group of checks to which it belongs.
        result: "pass", "fail", "skip" (not declared by the executor), "xfail" (failed as expected) or "xpass" (expected
            to fail, but passed).
        reason, cause: explanation of a result other than "pass"; for "fail", the same without place and numbers.
        compared, seconds: number of comparisons made, 0 unless the check passed; duration.
    """

    name: str
    feature: str
    result: Result
    reason: str
    compared: int
    seconds: float
    cause: str = ""


@dataclass(frozen=True)
class Group:
    """Checks that share a cause and a result other than "pass"; `reason` is that of the first check."""

    result: Result
    reason: str
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Results of the battery on one executor.

    Attributes:
        executor, outcomes: name of the executor; results of the checks, in the order in which they ran.
        whole: whether the whole battery was run; only then is a minimum number of checks required.
    """

    executor: str
    outcomes: tuple[Outcome, ...]
    whole: bool  # whether the whole battery was run

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the checks of each feature: feature → {"run": …, "xfail": …, "skip": …, "fail": …}.

        "fail" includes checks that passed unexpectedly; "run" counts those that passed or failed, without "xfail".
        """
        table: dict[str, dict[str, int]] = {}
        for o in self.outcomes:
            row = table.setdefault(o.feature, {"run": 0, "xfail": 0, "skip": 0, "fail": 0})
            row[_COLUMN[o.result]] += 1
            row["run"] += o.result in ("fail", "xpass")  # they ran, too
        return table

    def short(self) -> list[str]:
        """List messages on missing checks, if fewer than required; empty if only a part of the battery was run."""
        if not self.whole:
            return []
        counts = self.counts()
        size = {feature: sum(row[k] for k in ("run", "xfail", "skip")) for feature, row in counts.items()}
        lines = [
            f"{feature}: {size.get(feature, 0)} checks, must be {least} or more"
            for feature, least in LEAST.items()
            if size.get(feature, 0) < least
        ]
        ran = sum(row["run"] for row in counts.values())
        return [*lines, *([f"{ran} checks ran, must be {LEAST_RUN} or more"] if ran < LEAST_RUN else [])]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """Outcomes of the checks that failed, and of those that passed although they were expected to fail."""
        return tuple(o for o in self.outcomes if o.result in ("fail", "xpass"))

    def groups(self) -> tuple[Group, ...]:
        """Group the checks with another result than "pass" by result and cause; failures come first."""
        found: dict[tuple[Result, str], list[Outcome]] = {}
        for o in self.outcomes:
            if o.result != "pass":
                found.setdefault((o.result, o.cause or o.reason), []).append(o)
        groups = [Group(some[0].result, some[0].reason, tuple(o.name for o in some)) for some in found.values()]
        failed = ("fail", "xpass")
        return tuple(
            sorted(groups, key=lambda g: (g.result not in failed, -len(g.checks) if g.result in failed else 0))
        )

    @property
    def ok(self) -> bool:
        """Whether there is no failure and `short()` is empty."""
        return not self.failures and not self.short()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict of values that JSON can represent; `from_dict` is the inverse."""
        return {
            "executor": self.executor,
            "protocol": PROTOCOL,
            "ok": self.ok,
            "short": self.short(),
            "counts": self.counts(),
            "seconds": round(self.seconds, 3),
            "checks": [asdict(o) for o in self.outcomes],
        }

    @property
    def seconds(self) -> float:
        """Total duration of the checks."""
        return sum(o.seconds for o in self.outcomes)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Report:
        """Create a Report from a dict that `to_dict` returned.

        `whole` is True if the names of the checks are those of the battery of this version.

        Raises:
            DataError: `given` has no such structure.
        """
        try:
            outcomes = tuple(Outcome(**one) for one in given["checks"])
            whole = {o.name for o in outcomes} == set(battery())
            return cls(str(given["executor"]), outcomes, whole)
        except (KeyError, TypeError) as error:
            raise DataError(f"this is no report of `flowgrad conformance`: {brief(error)}") from None

    def __repr__(self) -> str:
        total = {k: sum(row[k] for row in self.counts().values()) for k in ("run", "xfail", "skip", "fail")}
        return f"Report({self.executor!r}: {', '.join(f'{n} {k}' for k, n in total.items())})"


_COLUMN: dict[Result, str] = {"pass": "run", "fail": "fail", "xpass": "fail", "skip": "skip", "xfail": "xfail"}


def battery() -> dict[str, Check]:
    """Return all checks by name, in the order in which they run.

    >>> battery()["values_equal_the_oracle"].feature
    'oracle'
    """
    for module in MODULES:
        import_module(f"flowgrad.testing.checks.{module}")
    return dict(_CHECKS)


def conformance(
    executor: str | Executor,
    expected_failures: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    on_check: Callable[[str], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    quick: bool = False,
) -> Report:
    """Run the battery of conformance checks on an executor.

    Args:
        executor: name of an executor, or an Executor.
        expected_failures: name of a check → reason, a non-empty str. Such a check is reported as "xfail" if it fails,
            and counts as a failure, "xpass", if it passes.
        only: names of checks or features to run. Default: all.
        on_check, on_outcome: functions that are called with a check's name before it runs, and its Outcome afterwards.
        quick: run every check on its smallest cases: a quarter of the random networks, a tenth of the nodes of large
            graphs, fewer samples and dtypes.

    Returns:
        A Report. Failing checks are recorded in it and raise nothing.

    Raises:
        UnknownNameError: no such executor.
        ExecutorError: the executor cannot run here.
        ConfigError: an unknown check or feature, or an expected failure without a reason.
    """
    subject = Subject(executor)
    available = subject.info.available()
    if available is not True:
        raise ExecutorError(f"executor {subject.info.name!r} cannot run here: {available}")
    checks, expected = _chosen(only), dict(expected_failures or {})
    _known(expected)
    outcomes = []
    for one in checks.values():
        if on_check:
            on_check(one.name)
        outcomes.append(_outcome(one, subject.executor, expected.get(one.name), quick))
        if on_outcome:
            on_outcome(outcomes[-1])
    return Report(subject.info.name, tuple(outcomes), only is None)


def _chosen(only: Iterable[str] | None) -> dict[str, Check]:
    checks = battery()
    if only is None:
        return checks
    wanted = set(only)
    unknown = wanted - set(checks) - {c.feature for c in checks.values()}
    if unknown:
        name = sorted(unknown)[0]
        raise ConfigError(
            f"unknown check {brief(name)}{suggest(name, [*checks, *{c.feature for c in checks.values()}])}"
        )
    return {name: c for name, c in checks.items() if name in wanted or c.feature in wanted}


def _known(expected: Mapping[str, str]) -> None:
    checks = battery()
    for name, reason in expected.items():
        if name not in checks:
            raise ConfigError(f"expected failure of an unknown check {brief(name)}{suggest(name, checks)}")
        if not isinstance(reason, str) or not reason:
            raise ConfigError(f"the expected failure of {brief(name)} wants a reason, not {brief(reason)}")


def _outcome(one: Check, executor: Executor, expected: str | None, quick: bool) -> Outcome:
    start, compared, cause = perf_counter(), 0, ""
    result: Result
    try:
        compared = one(executor, quick)
        result, reason = ("pass", "") if expected is None else ("xpass", f"expected to fail, and passed: {expected}")
    except Skip as skip:
        item = one.name.partition("[")[2].removesuffix("]")  # the check's name has the item already
        result, reason = "skip", str(skip).removesuffix(f" {item}") if item else str(skip)
    except Exception as error:
        told = f"{_place(error, executor)}: {error}" if not isinstance(error, AssertionError) else str(error)
        result, reason = ("fail", told) if expected is None else ("xfail", expected)
        cause = _quantity(told) if isinstance(error, AssertionError) else _place(error, executor)
    cause = cause if result == "fail" else ""
    return Outcome(one.name, one.feature, result, reason, compared, round(perf_counter() - start, 3), cause)


WHERE = re.compile(r": | (?:of|by|in|under|beside|at|after) |, ")


def _quantity(told: str) -> str:
    """Return the quantity that differed, extracted from the message of a failure, without its place.

    >>> _quantity("∂L/∂w of 'x' → 'h': 1 of 1 differ"), _quantity("∂L/∂w of every edge: 7 of 19 differ")
    ('∂L/∂w', '∂L/∂w')
    """
    return WHERE.split(told, maxsplit=1)[0]


def _place(error: Exception, executor: Executor) -> str:
    """Return the type of an error, and the last line of the executor's own package that led to it, if there is one.

    >>> _place(KeyError("h"), None)
    'KeyError'
    """
    package = type(executor).__module__.partition(".")[0]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").partition(".")[0] == package != "flowgrad":
            return f"{type(error).__name__} at {Path(frame.f_code.co_filename).name}:{line}"
    return type(error).__name__


def markdown_table(reports: Sequence[Report]) -> str:
    """Return a Markdown table features × executors, followed by a list of the checks that did not pass, with reasons.

    A cell has the number of checks that ran, followed by numbers of other results, as in `4, 2 xfail, 1 skip`. The last
    rows have the sums and the durations in seconds.
    """
    features = list(dict.fromkeys(o.feature for r in reports for o in r.outcomes))
    lines = [f"| feature | {' | '.join(r.executor for r in reports)} |", "|---|" + "---|" * len(reports)]
    for feature in features:
        lines.append(f"| {feature} | {' | '.join(_cell(r.counts().get(feature)) for r in reports)} |")
    sums = [{k: sum(row[k] for row in r.counts().values()) for k in ("run", "xfail", "skip", "fail")} for r in reports]
    lines += [f"| **all** | {' | '.join(_cell(total) for total in sums)} |"]
    lines += [f"| seconds | {' | '.join(f'{r.seconds:.0f}' for r in reports)} |", ""]
    for r in reports:
        told = ((g.result, ", ".join(f"`{name}`" for name in g.checks), g.reason) for g in r.groups())
        lines += [f"- {r.executor}: {result} {checks}: {why}" for result, checks, why in told]
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, int] | None) -> str:
    if row is None:
        return "–"
    return ", ".join([f"{row['run']}", *(f"{row[k]} {k}" for k in ("xfail", "skip", "fail") if row[k])])


# ---- under pytest -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoundCheck:
    """A check bound to an executor; a call runs it, with `quick=True` on its smallest cases."""

    check: Check
    executor: str | Executor

    def __call__(self, quick: bool = False) -> None:
        """Run the check; raise AssertionError if it fails, and skip the test if the executor declares no support."""
        import pytest

        try:
            self.check(self.executor, quick)
        except Skip as skip:
            pytest.skip(str(skip))

    def __repr__(self) -> str:
        return f"{self.check!r} on {self.executor!r}"


def parametrize_with_executor(
    executor: str | Executor,
    expected_failures: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
) -> pytest.MarkDecorator:
    """Return a pytest decorator that runs a test function once for each check of the battery, as argument `check`.

    The test function calls `check()`, or `check(quick=True)` for the smallest cases.

    Args:
        executor: name of an executor, or an Executor.
        expected_failures: name of a check → reason, a non-empty str. Such a check is marked as a strict xfail: if it
            passes, the test fails.
        only: names of checks or features. Default: all checks, and one more, "minimum_count", which fails if a feature
            has fewer checks than required.

    Raises:
        ConfigError: an unknown check or feature, or an expected failure without a reason.
    """
    import pytest

    expected = dict(expected_failures or {})
    _known(expected)
    checks = _chosen(only)
    if only is None:
        checks["minimum_count"] = Check("minimum_count", "battery", "No feature lost checks.", 1, _minimum)
    return pytest.mark.parametrize(
        "check",
        [
            pytest.param(
                BoundCheck(one, executor),
                id=one.name,
                marks=[pytest.mark.xfail(reason=expected[name], strict=True)] if name in expected else [],
            )
            for name, one in checks.items()
        ],
    )


def _minimum(subject: Subject) -> None:
    counted = [c.feature for c in battery().values()]
    for feature, least in LEAST.items():
        subject.true(counted.count(feature) >= least, f"{feature}: {counted.count(feature)} checks, must be {least}")
