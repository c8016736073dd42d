"""`flowgrad list`: list the names in the registry, by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

import flowgrad as fg
from flowgrad.choice import executor_info
from flowgrad.cli._console import say, table
from flowgrad.errors import FlowgradError, UnknownNameError, brief, suggest
from flowgrad.format import Format
from flowgrad.registry import find, names

KINDS = (
    "executors", "activations", "aggregations", "losses", "optimizers", "initializers", "topologies", "formats",
    "callbacks", "metrics", "schedules", "commands",
)  # fmt: skip

MORE = {"executors": ("available",), "formats": ("read", "write", "suffixes")}  # columns between name and summary


def entry(
    kind: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(KINDS)}; default: all.", show_default=False)
    ] = None,
) -> None:
    """List the names that may be used: executors, activations, aggregations, losses, optimizers, formats and more."""
    if kind is None:
        for each in KINDS:
            say(f"{each}: {', '.join(_names(each)) or 'none'}")
        say("flowgrad list KIND shows the details")
        return
    if kind not in KINDS:
        raise UnknownNameError(f"unknown kind {brief(kind)}{suggest(kind, KINDS)}")
    rows = [(name, *_about(kind, name)) for name in _names(kind)]
    table(("name", *MORE.get(kind, ()), "what it is"), rows)


def _names(kind: str) -> tuple[str, ...]:
    return names("cli" if kind == "commands" else kind)


def _about(kind: str, name: str) -> tuple[str, ...]:
    """Make the cells behind a name; for a plugin that cannot be loaded they have the reason."""
    try:
        match kind:
            case "executors":
                answer = fg.executors()[name]
                return ("yes" if answer is True else f"no: {answer}", executor_info(name).summary)
            case "formats":
                f: Format = find(kind, name)
                return (*("yes" if act else "" for act in (f.read, f.write)), " ".join(f.suffixes), f.summary)
            case "commands":
                return (_first_line(find("cli", name)),)
        record = find(kind, name)
        return (getattr(record, "summary", None) or _first_line(_function_of(record)),)
    except (FlowgradError, ImportError) as error:
        return (*("" for _ in MORE.get(kind, ())), f"cannot be loaded: {error}")


def _function_of(record: Any) -> Callable[..., Any]:
    """Return the function of a record, `f` or `std`, or the record itself, whose docstring is the summary."""
    found: Callable[..., Any] = next((getattr(record, name) for name in ("f", "std") if hasattr(record, name)), record)
    return found


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]
