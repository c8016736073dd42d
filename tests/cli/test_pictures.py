"""Pictures: files that are pictures."""

from __future__ import annotations

import struct
from pathlib import Path

import networkx as nx
import pytest

import flowgrad as fg
from flowgrad.displays import _curves

pytest.importorskip("matplotlib")


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def network(edges: str) -> fg.Network:
    return fg.Network.from_networkx(nx.DiGraph([tuple(e) for e in edges.split()]))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"epoch": 1.0, "loss": 0.5}],
        [{"epoch": float(k), "loss": 10.0 ** (3 - k), "val_loss": 10.0 ** (3 - k)} for k in range(1, 9)],
        [{"epoch": 1.0, "loss": -0.5}, {"epoch": 2.0, "loss": 0.0}],
    ],
    ids=["no epoch", "one epoch", "orders of magnitude", "below zero"],
)
def test_a_loss_curve_is_a_picture(tmp_path: Path, rows: list[dict[str, float]]) -> None:
    _curves.loss_curve(tmp_path / "loss.png", rows, "a [title] $with$ signs_of_markup", best=1)
    width, height = size(tmp_path / "loss.png")
    assert width > 600
    assert height > 300


@pytest.mark.parametrize("edges", ["ab", "ax bx xy ay", "ab cd"], ids=["no hidden neuron", "a skip", "two parts"])
def test_a_drawing_of_a_network_is_a_picture(tmp_path: Path, edges: str) -> None:
    net = network(edges)
    hidden = dict.fromkeys(net.nodes[:1], 0.3)
    _curves.concept_graph(tmp_path / "net.png", net, hidden, "title")
    assert min(size(tmp_path / "net.png")) > 300
