"""Run a command line, by `main`, and return its exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, TextIO, cast

from flowgrad.errors import (
    BoundedOutputWarning,
    CheckpointWarning,
    FileWarning,
    FlowgradError,
    MissingDependencyError,
    UnknownNameError,
    brief,
    suggest,
)
from flowgrad.fitting.signals import as_interrupts
from flowgrad.registry import find, names

if TYPE_CHECKING:
    import typer

SUMMARY = "Exact gradients for networks that are graphs. Start with: flowgrad demo"
HELP = ("--help", "-h")
VERSION = ("--version", "-V")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        argv: the words after `flowgrad`; None takes `sys.argv`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show "→" shows "?", and no traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        with _warnings_shown(), as_interrupts():
            code = _obey(words)
        sys.stdout.flush()
    except FlowgradError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of stdout has closed it: print nothing, also not while Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show each of flowgrad's warnings once, in one line, whatever filters are set; others as Python shows them."""
    said: set[str] = set()

    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, FlowgradError):
                before(message, category, filename, lineno, file, line)
            elif str(message) not in said:
                said.add(str(message))
                _say("warning", "33", str(message))

        for own in (BoundedOutputWarning, CheckpointWarning, FileWarning):
            warnings.simplefilter("always", own)
        warnings.showwarning = show
        yield


def _obey(words: list[str]) -> int:
    if words and words[0] in VERSION:
        from flowgrad import __version__

        print(f"flowgrad {__version__}")
        return 0
    chosen = words[0] if words and words[0] not in HELP else None
    if chosen is not None and chosen not in names("cli"):
        what, valid = ("option", (*HELP, *VERSION)) if chosen.startswith("-") else ("command", names("cli"))
        raise UnknownNameError(f"unknown {what} {brief(chosen)}{suggest(chosen, valid)} (flowgrad --help lists all)")
    try:
        import rich  # noqa: F401 (only whether it is there)
        import typer
    except ModuleNotFoundError as error:
        raise MissingDependencyError(str(error.name), "cli", "the command line") from None
    usage_error = cast("type[Exception]", typer.BadParameter.__mro__[2])  # ClickException, which typer keeps to itself
    try:
        return _exit_code(_app(chosen)(words or ["--help"], prog_name="flowgrad", standalone_mode=False))
    except usage_error as error:
        message = cast(Any, error).format_message()
        raise FlowgradError(f"{message.rstrip('.')} (flowgrad {chosen} --help lists the options)") from None
    except OSError as error:
        if isinstance(error, (FlowgradError, BrokenPipeError)):
            raise
        raise FlowgradError(_of_the_system(error)) from None


def _app(chosen: str | None) -> typer.Typer:
    """Build the typer app with the chosen command only, or, for the list of commands, with all."""
    import typer

    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": [*HELP]},
    )
    version = typer.Option(False, *VERSION, help="Print the version and exit.")
    app.callback(help=SUMMARY)(lambda version=version: None)
    for name in names("cli") if chosen is None else (chosen,):
        entry = find("cli", name)
        app.command(name, help=_paragraphs(entry.__doc__))(_interruptible(entry))
    return app


def _paragraphs(doc: str | None) -> str:
    """Convert a docstring to a help text with one line per paragraph, which typer wraps."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(doc or "").split("\n\n"))


def _interruptible(entry: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command so that Ctrl-C is reported as `main` does and exits with 130, not in typer's way."""
    import typer

    @wraps(entry)
    def command(*args: Any, **options: Any) -> Any:
        try:
            return entry(*args, **options)
        except KeyboardInterrupt:
            _fail("interrupted", 130)
            raise typer.Exit(130) from None

    return command


def _exit_code(result: Any) -> int:
    return result if isinstance(result, int) else 0


def _of_the_system(error: OSError) -> str:
    """Format an error of the operating system in one line: `runs/x: permission denied`."""
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _fail(message: str, code: int = 2) -> int:
    """Print one line on stderr; returns the exit code."""
    if code == 130:
        print(" ".join(message.splitlines()), file=sys.stderr)
    else:
        _say("error", "31", message)
    return code


def _say(what: str, colour: str, message: str) -> None:
    """Print one line on stderr that begins with the word `what`, coloured on a terminal."""
    pretty = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    start = f"\x1b[1;{colour}m{what}:\x1b[0m" if pretty else f"{what}:"
    print(start, " ".join(message.splitlines()), file=sys.stderr)
