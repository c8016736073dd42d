"""Write pictures as SVG or PNG: DOT that is drawn by Graphviz's program `dot`, which must be installed."""

from __future__ import annotations

from flowgrad.format import Format
from flowgrad.formats.dot import PICTURES, write

entry = Format(
    name="picture",
    suffixes=PICTURES,
    summary="SVG or PNG, drawn by Graphviz",
    packs=False,
    write=write,
)
