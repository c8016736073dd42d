"""`flowgrad conformance`: the battery that every executor has to pass."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Annotated, Any

import typer

from flowgrad.cli._console import say, table
from flowgrad.errors import ConfigError, UnknownNameError, suggest
from flowgrad.registry import names

LIMIT = 300  # seconds an executor's battery may take, on two cores
COLUMNS = ("run", "xfail", "skip", "fail")


def entry(
    executors: Annotated[list[str], typer.Argument(metavar="NAME...", help="Executors by name.")],
    report: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write every check's result.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Write the table executors × checks.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Checks or features; repeatable.")] = None,
    expect: Annotated[
        list[str] | None, typer.Option(metavar="CHECK=REASON", help="A check that has to fail, and why; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How long one executor may take.")] = LIMIT,
) -> int:
    """Check that an executor is right: oracle, reference, edge values, graphs, threads, memory and errors.

    The exit code is 1 where a check fails, where one passes that was expected to fail, or where the battery is
    smaller than it must be.
    """
    for name in executors:
        if name not in names("executors"):
            raise UnknownNameError(f"unknown executor {name!r}{suggest(name, names('executors'))}")
    reports = [_examine(name, _expected(expect or []), only, limit) for name in executors]
    if report is not None:
        dicts = [one.to_dict() for one in reports]
        report.write_text(json.dumps(dicts[0] if len(dicts) == 1 else dicts, indent=1, ensure_ascii=False), "utf-8")
    if markdown is not None:
        from flowgrad.testing.conformance import markdown_table

        markdown.write_text(markdown_table(reports), "utf-8")
    return 0 if all(one.ok for one in reports) else 1


def _expected(given: list[str]) -> dict[str, str]:
    """`CHECK=REASON` → {check: reason}."""
    expected = {}
    for line in given:
        name, sign, reason = line.partition("=")
        if not sign:
            raise ConfigError(f"--expect {line!r}: say it as CHECK=REASON")
        expected[name.strip()] = reason.strip()
    return expected


def _examine(name: str, expected: dict[str, str], only: list[str] | None, limit: int) -> Any:
    """One executor's report, printed."""
    from flowgrad.testing import conformance

    running = ["the first check"]
    timer = Timer(limit, _give_up, (name, running, limit))
    timer.daemon = True
    timer.start()
    try:
        found = conformance(name, expected, only, on_check=_noted(running))
    finally:
        timer.cancel()
    table(("feature", *COLUMNS), [(f, *(row[c] for c in COLUMNS)) for f, row in found.counts().items()], name)
    for outcome in found.outcomes:
        if outcome.result != "pass":
            say(f"{outcome.result} {outcome.name}: {outcome.reason}")
    for line in found.short():
        say(f"too few {line}")
    total = {c: sum(row[c] for row in found.counts().values()) for c in COLUMNS}
    seconds = sum(outcome.seconds for outcome in found.outcomes)
    verdict = "conforms" if found.ok else "does NOT conform"
    say(f"{name} {verdict}: {', '.join(f'{total[c]} {c}' for c in COLUMNS)} in {seconds:.0f} s")
    return found


def _noted(running: list[str]) -> Callable[[str], None]:
    def note(check: str) -> None:
        running[0] = check

    return note


def _give_up(name: str, running: list[str], limit: int) -> None:
    """Ends the process: a check that hangs cannot be stopped from within."""
    print(f"error: {name} did not end within {limit} s, at check {running[0]!r}", file=sys.stderr, flush=True)
    os._exit(1)
