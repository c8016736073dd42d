"""How commands print: rich on a terminal, plain aligned text anywhere else. NO_COLOR is rich's to respect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Cell = str | float | int
EIGHTHS = " ▏▎▍▌▋▊▉"


@cache
def console() -> Console:
    """The console of stdout, whatever that is by then; names are printed as they are, never read as markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def say(text: str = "", style: str = "") -> None:
    """One line, never wrapped, so that it can be searched for."""
    console().print(text, style=style or None, soft_wrap=True)


def shown(value: Cell) -> str:
    """A cell as text: whole numbers with separators, others to four digits."""
    if isinstance(value, (bool, str)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def bar(share: float, width: int = 24) -> str:
    """A horizontal bar, `share` of the width from 0 to 1, to an eighth of a character.

    >>> bar(0.5, width=4), bar(0.28125, width=4)
    ('██', '█▏')
    """
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], title: str = "") -> None:
    """A table; columns that hold numbers stand to the right."""
    given = [list(row) for row in rows]
    numeric = [bool(given) and all(not isinstance(r[k], str) for r in given) for k in range(len(columns))]
    cells = [[shown(value) for value in row] for row in given]
    if console().is_terminal:
        _pretty(columns, cells, numeric, title)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if title:
        say(title)
    for row in [list(columns), *cells]:
        aligned = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True))
        say("  ".join(aligned).rstrip())


def _pretty(columns: Sequence[str], cells: list[list[str]], numeric: list[bool], title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    pretty = Table(
        title=Text(title, style="bold") if title else None, title_justify="left", box=box.ROUNDED, header_style="bold"
    )
    for name, right in zip(columns, numeric, strict=True):
        pretty.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in cells:
        pretty.add_row(*(Text(c, style="cyan") if c.startswith(("█", *EIGHTHS[1:])) else Text(c) for c in row))
    console().print(pretty)


@contextmanager
def epochs_shown(total: int, quiet: bool = False) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """What takes the row of each epoch: a bar on a terminal, else a line at each tenth (none where `quiet`)."""
    if not console().is_terminal:
        yield (lambda row: None) if quiet else (lambda row: _line(row, max(1, total // 10)))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task("", total=total)

        def advance(row: Mapping[str, float]) -> None:
            losses = (f"{name} {row[name]:.4f}" for name in ("loss", "val_loss") if name in row)
            progress.update(task, advance=1, description="  ".join(losses))

        yield advance


@contextmanager
def share_shown(text: str) -> Iterator[Callable[[float], None] | None]:
    """What takes the share of something that is done, from 0 to 1: a bar on a terminal, else None."""
    if not console().is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _line(row: Mapping[str, float], every: int) -> None:
    if row["epoch"] == 1 or row["epoch"] % every == 0:
        values = (f"{name} {value:.4g}" for name, value in row.items() if name not in ("epoch", "rate", "seconds"))
        say(f"epoch {row['epoch']:g}: {', '.join(values)}")
