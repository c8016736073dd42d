"""Print for commands: by rich on a terminal, as plain aligned text elsewhere. rich respects NO_COLOR."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import zip_longest
from textwrap import TextWrapper, wrap
from typing import TYPE_CHECKING

from flowgrad.bars import bar as progress_bar

if TYPE_CHECKING:
    from rich.console import Console

    from flowgrad.metrics import Interval
    from flowgrad.network import Network

Cell = str | float | int
EIGHTHS = " ▏▎▍▌▋▊▉"
WORD = 24  # characters of its longest word that a column of text keeps room for when a table is made narrower


@cache
def console() -> Console:
    """Make the console of stdout on first use; text is printed as it is, never read as markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def width() -> int | None:
    """Return the characters that a line may have: a terminal's, else the variable COLUMNS, else None.

    At None no line is wrapped, so that output can be searched by line.
    """
    said = os.environ.get("COLUMNS", "")
    if console().is_terminal:
        return console().width
    return int(said) if said.isdecimal() and 0 < len(said) < 6 and int(said) else None


def say(text: str = "", style: str = "") -> None:
    """Print lines of text, wrapped between words where there is a `width`."""
    room = width()
    lines = text.split("\n") if room is None else [part for line in text.split("\n") for part in _wrapped(line, room)]
    console().print("\n".join(lines), style=style or None, soft_wrap=True)


def _wrapped(line: str, room: int) -> list[str]:
    """Wrap a line at `room` characters, except within longer words; all pieces but the first are indented."""
    if len(line) <= room:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    wrapper = TextWrapper(
        room, subsequent_indent=indent, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.wrap(line)


def echo(network: Network) -> None:
    """Print one line about the network's size."""
    c = network.columns
    counts = {"node": c.n_nodes, "edge": c.n_edges, "input": len(c.inputs), "output": len(c.outputs)}
    nodes, edges, inputs, outputs = (f"{n:,} {noun}{'s' * (n != 1)}" for noun, n in counts.items())
    say(f"network: {nodes}, {edges}, depth {network.depth:,}; {inputs} → {outputs}")


def shown(value: Cell) -> str:
    """Format a cell: integers with separators, other numbers to four digits."""
    if isinstance(value, (bool, str)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def bar(share: float, width: int = 24) -> str:
    """Draw a horizontal bar, `share` (0 to 1) of the width, to an eighth of a character.

    >>> bar(0.5, width=4), bar(0.28125, width=4)
    ('██', '█▏')
    """
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], title: str = "") -> None:
    """Print a table; columns of numbers are aligned to the right."""
    given = [list(row) for row in rows]
    numeric = [bool(given) and all(not isinstance(r[k], str) for r in given) for k in range(len(columns))]
    cells = [[shown(value) for value in row] for row in given]
    whole = list(zip(columns, *cells, strict=True))
    widths = [max(map(len, column)) for column in whole]
    least = [_least(column, right) for column, right in zip(whole, numeric, strict=True)]
    room = width()
    if console().is_terminal:
        for k, block in enumerate(_blocks([n + 1 for n in least], console().width - 3)):  # the box takes the rest
            some = [[row[k] for k in block] for row in ([*columns], *cells)]
            _pretty(some[0], some[1:], [numeric[k] for k in block], [least[k] for k in block], "" if k else title)
        return
    if title:
        say(title)
    for block in _blocks(least, room):
        some = [[row[k] for k in block] for row in ([*columns], *cells)]
        fitted = _fitted([widths[k] for k in block], [least[k] for k in block], room)
        _plain(some, fitted, [numeric[k] for k in block])


def _plain(cells: list[list[str]], widths: list[int], numeric: list[bool]) -> None:
    """Print rows of aligned cells; cells longer than their column are folded to several lines."""
    for row in cells:
        for line in zip_longest(*map(_folded, row, widths), fillvalue=""):
            aligned = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric, strict=True))
            console().print("  ".join(aligned).rstrip(), soft_wrap=True)


def ends(low: float, high: float) -> str:
    """Format an interval as a cell; a dash where `low` is NaN.

    >>> ends(0.5, 0.75), ends(float("nan"), float("nan"))
    ('0.5 – 0.75', '–')
    """
    return "–" if low != low else f"{low:.4g} – {high:.4g}"


def intervals(what: str, found: Mapping[str, Interval]) -> None:
    """Print a table of figures, each with its 95 % interval."""
    table((what, "value", "95 % interval"), [(name, f.value, ends(f.low, f.high)) for name, f in found.items()])


def _least(column: Sequence[str], numeric: bool) -> int:
    """Find the least width of a column: numbers stay whole, and so do words of up to `WORD` characters."""
    words = column if numeric else (word[:WORD] for cell in column for word in cell.split())
    return max(map(len, words), default=0)


def _blocks(least: Sequence[int], room: int | None) -> list[list[int]]:
    """Split the columns into blocks that fit into `room`, each beginning with the first column.

    >>> _blocks([4, 10, 10, 10], 30), _blocks([4, 10], None)
    ([[0, 1, 2], [0, 3]], [[0, 1]])
    """
    found = [[0]]
    for k in range(1, len(least)):
        taken = sum(least[j] + 2 for j in found[-1]) + least[k]
        if room is not None and taken > room and len(found[-1]) > 1:
            found.append([0])
        found[-1].append(k)
    return found


def _fitted(widths: Sequence[int], least: Sequence[int], room: int | None) -> list[int]:
    """Reduce the widest columns, down to `least`, until the table fits into `room`; returns all widths."""
    found = list(widths)
    while room is not None and sum(found) + 2 * (len(found) - 1) > room:
        able = [k for k, n in enumerate(found) if n > least[k]]
        if not able:
            break
        found[max(able, key=found.__getitem__)] -= 1
    return found


def _folded(cell: str, room: int) -> list[str]:
    """Wrap a cell into lines."""
    return [cell] if len(cell) <= room else wrap(cell, room, break_on_hyphens=False)


def _pretty(columns: Sequence[str], cells: list[list[str]], numeric: list[bool], least: list[int], title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    pretty = Table(
        title=Text(title, style="bold") if title else None, title_justify="left", box=box.ROUNDED, header_style="bold"
    )
    for name, right, n in zip(columns, numeric, least, strict=True):
        pretty.add_column(name, justify="right" if right else "left", overflow="fold", min_width=n)
    for row in cells:
        pretty.add_row(*(Text(c, style="cyan") if c.startswith(("█", *EIGHTHS[1:])) else Text(c) for c in row))
    console().print(pretty)


@contextmanager
def epochs_shown(total: int, quiet: bool = False, done: int = 0) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield a function that takes each epoch's row: a bar on a terminal, else a line per tenth (none if `quiet`)."""
    if not console().is_terminal:
        yield (lambda row: None) if quiet else (lambda row: _line(row, max(1, total // 10)))
        return
    with progress_bar("epoch", total, done, console=console(), transient=True) as advance:
        yield lambda row: advance("  ".join(f"{name} {row[name]:.4f}" for name in ("loss", "val_loss") if name in row))


@contextmanager
def share_shown(text: str) -> Iterator[Callable[[float], None] | None]:
    """Yield a function that shows the share done, 0 to 1, by a bar on a terminal; elsewhere yield None."""
    if not console().is_terminal:
        yield None
        return
    with progress_bar(text, 1.0, console=console(), transient=True) as advance:
        yield lambda share: advance(to=share)


def _line(row: Mapping[str, float], every: int) -> None:
    if row["epoch"] == 1 or row["epoch"] % every == 0:
        values = (f"{name} {value:.4g}" for name, value in row.items() if name not in ("epoch", "rate", "seconds"))
        say(f"epoch {row['epoch']:g}: {', '.join(values)}")
