"""HTML fragments for notebooks: small, without scripts, readable on light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from flowgrad.viewer.palette import EITHER_ABOVE, EITHER_BELOW

NAME = 40  # characters of an id that are shown


def card(title: str, inside: str) -> str:
    """Make a titled box that inherits its colours from the page. `inside` is HTML, `title` is text."""
    return (
        '<div style="border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:8px 12px;margin:4px 0;'
        'max-width:640px;line-height:1.5;overflow-x:auto;color:inherit;background:transparent">'
        f"<strong>{escape(title)}</strong>{inside}</div>"
    )


def short(name: object) -> str:
    """Format an id as escaped HTML text of at most `NAME` characters."""
    text = name if isinstance(name, str) else repr(name)
    return escape(text if len(text) <= NAME else f"{text[: NAME - 1]}…")


def named(ids: Sequence[object], most: int = 5) -> str:
    """List the first `most` ids, followed by the number of the others."""
    return ", ".join(map(short, ids[:most])) + (f" … {len(ids) - most:,} more" if len(ids) > most else "")


def count(n: int, noun: str) -> str:
    """Format a count with its noun: `1 node`, `1,234 nodes`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def signs(what: str) -> str:
    """Make a legend of the colours for values of the quantity `what` above and below 0."""
    look = "display:inline-block;width:18px;height:4px;margin:0 6px 2px 0"
    parts = [
        f'<span style="{look};background:{colour}"></span>{side}'
        for colour, side in ((EITHER_ABOVE, "above"), (EITHER_BELOW, "below"))
    ]
    return f"<div>{what}: {parts[0]} 0, {parts[1]} 0</div>"


def bars(rows: Iterable[tuple[str, float, str]]) -> str:
    """Make a table with a name, a bar and a caption in each row; bars of values below 0 are orange.

    Args:
        rows: name as escaped HTML, value, caption as escaped HTML.
    """
    listed = list(rows)
    most = max((abs(value) for _, value, _ in listed), default=0.0) or 1.0
    cell = (
        'style="padding:0 8px 0 0;text-align:left;background:transparent;border:none;white-space:nowrap;color:inherit"'
    )
    found = []
    for name, value, said in listed:
        look = f"width:{120 * abs(value) / most:.0f}px;background:{EITHER_ABOVE if value >= 0 else EITHER_BELOW}"
        bar = f'<div style="{look};height:9px;border-radius:2px"></div>'
        found.append(f"<tr><td {cell}>{name}</td><td {cell}>{bar}</td><td {cell}>{said}</td></tr>")
    look = "border:none;border-collapse:collapse;margin:4px 0;font-size:90%;color:inherit"
    return f'<table style="{look}">{"".join(found)}</table>'
