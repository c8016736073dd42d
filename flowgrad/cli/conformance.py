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

from flowgrad.atomic import put
from flowgrad.cli._console import say, table
from flowgrad.errors import ConfigError, DataError, FileError, UnknownNameError, brief, suggest
from flowgrad.registry import names

LIMIT = 300  # seconds an executor's battery may take, on two cores
MARKS = ("<!-- flowgrad conformance -->", "<!-- end of it -->")
COLUMNS = ("run", "xfail", "skip", "fail")


def entry(
    executors: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Executors by name.", show_default=False)
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write every check's result.")] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.md",
            help="Write the table executors × features; of a page that has its two marks, only what is between them.",
        ),
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="FILE.json", help="A report of before for the table; repeatable."),
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
    if not executors and not earlier:
        raise ConfigError("say which executors, or --from which reports the table is")
    for name in executors or ():
        if name not in names("executors"):
            raise UnknownNameError(f"unknown executor {brief(name)}{suggest(name, names('executors'))}")
    reports = [one for path in earlier or () for one in _read(path)]
    reports += [_examine(name, _expected(expect or []), only, limit) for name in executors or ()]
    if report is not None:
        dicts = [one.to_dict() for one in reports]
        text = json.dumps(dicts[0] if len(dicts) == 1 else dicts, indent=1, ensure_ascii=False)
        put(report, [text.encode()])
    if markdown is not None:
        from flowgrad.testing.conformance import markdown_table

        _write(markdown, markdown_table(reports))
    return 0 if all(one.ok for one in reports) else 1


def _read(path: Path) -> list[Any]:
    """The reports in a file that --report wrote."""
    from flowgrad.testing import Report

    try:
        given = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise FileError(f"{path}: this is no JSON: {error}") from None
    try:
        return [Report.from_dict(one) for one in (given if isinstance(given, list) else [given])]
    except DataError as error:
        raise FileError(f"{path}: {error}") from None


def _write(path: Path, text: str) -> None:
    """The table as a file; into a page that has the marks, between them."""
    page = path.read_text("utf-8") if path.exists() else ""
    before, start, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    put(path, [(f"{before}{start}\n\n{text}\n{end}{after}" if start and end else text).encode()])


def _expected(given: list[str]) -> dict[str, str]:
    """`CHECK=REASON` → {check: reason}."""
    expected = {}
    for line in given:
        name, sign, reason = line.partition("=")
        if not sign:
            raise ConfigError(f"--expect {brief(line)}: say it as CHECK=REASON")
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
    verdict = "conforms" if found.ok else "does NOT conform"
    say(f"{name} {verdict}: {', '.join(f'{total[c]} {c}' for c in COLUMNS)} in {found.seconds:.0f} s")
    return found


def _noted(running: list[str]) -> Callable[[str], None]:
    def note(check: str) -> None:
        running[0] = check

    return note


def _give_up(name: str, running: list[str], limit: int) -> None:
    """Ends the process: a check that hangs cannot be stopped from within."""
    print(f"error: {name} did not end within {limit} s, at check {running[0]!r}", file=sys.stderr, flush=True)
    os._exit(1)
