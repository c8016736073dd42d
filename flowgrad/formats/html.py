"""Write one self-contained HTML page that shows a network: its graph, the values of both passes, its equations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowgrad.format import Format
from flowgrad.network import Network


def write(
    network: Network,
    path: Path,
    *,
    program: Any = None,
    X: Any = None,
    T: Any = None,
    sample: int = 0,
    samples: int = 8,
    history: Any = None,
    title: str | None = None,
) -> Mapping[str, bytes]:
    """Return the page of a network, as {file name: content}.

    Args:
        network: the network.
        path: path of the file, which gives its name.
        program: a program compiled from this network, whose θ and loss are shown. Default: a program compiled here.
        X: samples (B, I). Default: one sample, drawn from a normal distribution with a fixed seed.
        T: targets of the samples. Default: none; the loss shown is then L = Σ_n y_n.
        sample: index of the first sample to embed; the samples after it follow, cyclically.
        samples: number of samples to embed, an integer ≥ 1; fewer are embedded if the page would become too large.
        history: a History, its rows, or its columns by name, for the loss curve. Default: no curve.
        title: title of the page. Default: the file's name without its suffix.

    Raises:
        ConfigError, DataError, ShapeError: an argument does not fit the network, or T is given without X.
    """
    from flowgrad.viewer.page import page
    from flowgrad.viewer.record import record

    given = {"program": program, "X": X, "T": T, "sample": sample, "samples": samples, "history": history}
    return {path.name: page(record(network, title=title or path.stem, **given))}


entry = Format(name="html", suffixes=(".html", ".htm"), summary="a page to walk through, offline", write=write)
