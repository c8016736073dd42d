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
    """Return the page as bytes by file name.

    Args:
        program: of this network, with its θ and loss; None compiles one.
        X, T: samples (B, I) and targets; without X one sample is drawn from a seed, without T the loss is Σ_n y_n.
        sample: the row to begin with; samples: how many rows to embed, as the size allows.
        history: a History, its rows, or columns by name: the loss curve.
        title: None takes the file's name.

    Raises:
        ConfigError, DataError, ShapeError: an argument that does not fit the network.
    """
    from flowgrad.viewer.page import page
    from flowgrad.viewer.record import record

    given = {"program": program, "X": X, "T": T, "sample": sample, "samples": samples, "history": history}
    return {path.name: page(record(network, title=title or path.stem, **given))}


entry = Format(name="html", suffixes=(".html", ".htm"), summary="a page to walk through, offline", write=write)
