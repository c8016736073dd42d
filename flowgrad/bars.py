"""Progress bar, drawn by rich, of training, studies, files and commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from flowgrad.errors import MissingDependencyError


class Advance(Protocol):
    """Advance a bar by one step, or move it to position `to`; `said` is the text shown behind it."""

    def __call__(self, said: str = "", to: float | None = None) -> None: ...


@contextmanager
def bar(
    what: str, total: float, done: int = 0, wanted: bool = True, console: Any = None, transient: bool = False
) -> Iterator[Advance]:
    """Show a bar while the block runs; `total` is a number of steps, or 1.0 for a fraction shown in percent.

    Args:
        what: label in front of the bar.
        done: number of steps done already.
        wanted: False shows nothing.
        console: rich's Console; None makes a new one on stdout.
        transient: whether the bar is cleared at the end.

    Raises:
        MissingDependencyError: rich is not installed.
    """
    if not wanted:
        yield lambda said="", to=None: None
        return
    try:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
    except ModuleNotFoundError:
        raise MissingDependencyError("rich", "cli", "a progress bar") from None
    count = TaskProgressColumn() if total == 1.0 else MofNCompleteColumn()
    columns = TextColumn(what), BarColumn(), count, TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=transient) as progress:
        task = progress.add_task("", total=total, completed=done)

        def advance(said: str = "", to: float | None = None) -> None:
            if to is None:
                progress.update(task, advance=1, description=said)
            else:
                progress.update(task, completed=to, description=said)

        yield advance
