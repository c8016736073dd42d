"""Run the battery of checks that every executor has to pass, and report its results.

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

# of the package `checks`, in the order in which they run
MODULES = ("protocol", "gradients", "functions", "losses", "graphs", "structure", "calls", "dropout", "refusals")

# The least number of checks by feature: a battery that has lost checks fails. Raise these as checks are added.
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
LEAST_RUN = 60  # of all features together, neither skipped nor expected to fail


@dataclass(frozen=True)
class Outcome:
    """One check's result; `reason` says why if it is not "pass", `compared` is the number of comparisons made.

    `cause` is the reason without its place and numbers: outcomes of one cause are grouped.
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
    """Checks with one cause and one result other than "pass"; `reason` is that of the first check."""

    result: Result
    reason: str
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What the battery found of one executor."""

    executor: str
    outcomes: tuple[Outcome, ...]
    whole: bool  # whether the whole battery was asked for; a part is not held to the minimum

    def counts(self) -> dict[str, dict[str, int]]:
        """feature → how many checks ran, were expected to fail, were skipped, and failed."""
        table: dict[str, dict[str, int]] = {}
        for o in self.outcomes:
            row = table.setdefault(o.feature, {"run": 0, "xfail": 0, "skip": 0, "fail": 0})
            row[_COLUMN[o.result]] += 1
            row["run"] += o.result in ("fail", "xpass")  # they ran, too
        return table

    def short(self) -> list[str]:
        """Where the battery was smaller than it must be; empty is good."""
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
        """Checks that failed, and those expected to fail that did not: strict."""
        return tuple(o for o in self.outcomes if o.result in ("fail", "xpass"))

    def groups(self) -> tuple[Group, ...]:
        """What did not simply pass, by its cause: failures first, those of most checks before others."""
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
        """No failure, and the battery was not smaller than it must be."""
        return not self.failures and not self.short()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
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
        """How long all checks took."""
        return sum(o.seconds for o in self.outcomes)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Report:
        """What `to_dict` gave.

        Raises:
            DataError: it is no such thing.
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
    """Every check by name, in the order in which they run.

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
    """Run the battery on an executor.

    Args:
        executor: a name, or an Executor.
        expected_failures: check → reason. Strict: one that passes is a failure.
        only: names of checks, or of features; None is the whole battery.
        on_check: called with each check's name before it runs.
        on_outcome: called with each outcome as it comes.
        quick: every check, by its smallest cases: a quarter of the random networks, a tenth of the large graphs' sizes.

    Raises:
        UnknownNameError: no such executor.
        ExecutorError: it cannot run here.
        ConfigError: no such check.
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
    """Extract the quantity that differed from a failure's message, without its place.

    >>> _quantity("∂L/∂w of 'x' → 'h': 1 of 1 differ"), _quantity("∂L/∂w of every edge: 7 of 19 differ")
    ('∂L/∂w', '∂L/∂w')
    """
    return WHERE.split(told, maxsplit=1)[0]


def _place(error: Exception, executor: Executor) -> str:
    """Name the error's type, and the last line of the executor's own package that led to it, where there is one.

    >>> _place(KeyError("h"), None)
    'KeyError'
    """
    package = type(executor).__module__.partition(".")[0]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").partition(".")[0] == package != "flowgrad":
            return f"{type(error).__name__} at {Path(frame.f_code.co_filename).name}:{line}"
    return type(error).__name__


def markdown_table(reports: Sequence[Report]) -> str:
    """Write the table features × executors in Markdown; below it every check that did not pass, and why.

    A cell has the number of checks that ran, followed by `2 xfail`, `1 skip` and the like. The last row is seconds.
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
    """A check of one executor; calling it runs it, `quick=True` by its smallest cases."""

    check: Check
    executor: str | Executor

    def __call__(self, quick: bool = False) -> None:
        """Raise AssertionError where the claim does not hold; skip where the executor declares that it cannot."""
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
    """Runs a test function with the argument `check` once for every check of the battery.

    Args:
        executor: a name, or an Executor.
        expected_failures: check → reason. They become strict xfails: one that passes fails the run.
        only: names of checks, or of features; None is the whole battery, and then holds it to its minimum.

    Raises:
        ConfigError: no such check, or no reason.
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
