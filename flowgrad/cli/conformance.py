"""`flowgrad conformance`: run the battery that every executor has to pass."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import Annotated, Any

import typer

from flowgrad.atomic import put
from flowgrad.cli._console import say, table
from flowgrad.errors import ConfigError, DataError, FileError, UnknownNameError, brief, listing, suggest
from flowgrad.executor import Executor
from flowgrad.registry import find

LIMIT = 300  # seconds an executor's battery may take, on two cores
MARKS = ("<!-- flowgrad conformance -->", "<!-- end of it -->")
COLUMNS = ("run", "xfail", "skip", "fail")


def entry(
    executors: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="Executors by name, or as MODULE:OBJECT, which needs no entry point.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write the result of every check to this file.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.md",
            help="Write the table executors × features; in a page with two markers, only the text between them.",
        ),
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="FILE.json", help="Earlier report to include in the table; may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Check or feature to run; may be repeated.")
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK=REASON", help="Check that is expected to fail, and the reason; may be repeated."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Run only the smallest cases of each check.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="Time limit for each executor.")] = LIMIT,
) -> int:
    """Check that an executor is right: oracle, reference, edge values, graphs, threads, memory and errors.

    The exit code is 1 if a check fails, if one passes that was expected to fail, or if the battery has fewer checks
    than it must have.
    """
    if not executors and not earlier:
        raise ConfigError("say which executors, or --from which reports the table is")
    under_test = [_found(name) for name in executors or ()]
    reports = [one for path in earlier or () for one in _read(path)]
    reports += [_examine(one, _expected(expect or []), only, quick, limit) for one in under_test]
    if report is not None:
        dicts = [one.to_dict() for one in reports]
        text = json.dumps(dicts[0] if len(dicts) == 1 else dicts, indent=1, ensure_ascii=False)
        put(report, [text.encode()])
    if markdown is not None:
        from flowgrad.testing.conformance import markdown_table

        _write(markdown, markdown_table(reports))
    return 0 if all(one.ok for one in reports) else 1


def _found(name: str) -> Executor:
    """Find the executor of a name, or the object of MODULE:OBJECT; a class is called without arguments.

    Raises:
        UnknownNameError: no such executor, no such module or object.
        ConfigError: the module cannot be imported, or the object is no executor.
    """
    module, colon, path = name.partition(":")
    if not (colon and module and path):
        found: Executor = find("executors", name)
        return found
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        at: Any = import_module(module)
    except Exception as error:  # the author's module may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            raise UnknownNameError(
                f"{brief(name)}: no module {brief(module)} in {here}, and none is installed"
            ) from None
        raise ConfigError(f"{brief(name)}: importing {module} fails: {type(error).__name__}: {error}") from None
    for part in path.split("."):
        if not hasattr(at, part):
            raise UnknownNameError(f"{brief(name)}: no {brief(part)} in {module}{suggest(part, public(at))}")
        at = getattr(at, part)
    made = at() if isinstance(at, type) else at
    absent = [each for each in ("info", "can_run", "compile") if not hasattr(made, each)]
    if absent:
        raise ConfigError(f"{brief(name)} is no executor: {type(made).__name__} lacks {listing(absent)}")
    executor: Executor = made
    return executor


def public(module: object) -> list[str]:
    """List the public names of a module or an object."""
    return [each for each in dir(module) if not each.startswith("_")]


def _read(path: Path) -> list[Any]:
    """Read the reports in a file that --report wrote."""
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
    """Write the table to a file; in a page that has `MARKS`, replace only the text between them."""
    page = path.read_text("utf-8") if path.exists() else ""
    before, start, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    put(path, [(f"{before}{start}\n\n{text}\n{end}{after}" if start and end else text).encode()])


def _expected(given: list[str]) -> dict[str, str]:
    """Parse `CHECK=REASON` lines to {check: reason}."""
    expected = {}
    for line in given:
        name, sign, reason = line.partition("=")
        if not sign:
            raise ConfigError(f"--expect {brief(line)}: say it as CHECK=REASON")
        expected[name.strip()] = reason.strip()
    return expected


def _examine(executor: Executor, expected: dict[str, str], only: list[str] | None, quick: bool, limit: int) -> Any:
    """Run the battery on one executor, print the results, and return its report."""
    from flowgrad.testing import conformance

    name, running = executor.info.name, ["the first check"]
    timer = Timer(limit, _give_up, (name, running, limit))
    timer.daemon = True
    timer.start()
    try:
        found = conformance(executor, expected, only, on_check=_noted(running), quick=quick)
    finally:
        timer.cancel()
    table(("feature", *COLUMNS), [(f, *(row[c] for c in COLUMNS)) for f, row in found.counts().items()], name)
    for group in found.groups():
        if len(group.checks) == 1:
            say(f"{group.result} {group.checks[0]}: {group.reason}")
        else:
            say(f"{group.result} {len(group.checks)} checks: {group.reason}\n    {listing(group.checks)}")
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
    """End the process: a check that hangs cannot be stopped from within."""
    print(f"error: {name} did not end within {limit} s, at check {running[0]!r}", file=sys.stderr, flush=True)
    os._exit(1)
