"""Pictures: files that are pictures, and a layout that reads from left to right."""

from __future__ import annotations

import struct
from pathlib import Path

import networkx as nx
import pytest

import flowgrad as fg
from flowgrad.cli import _pictures

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
    _pictures.loss_curve(tmp_path / "loss.png", rows, "a [title] $with$ signs_of_markup", best=1)
    width, height = size(tmp_path / "loss.png")
    assert width > 600
    assert height > 300


def test_layout_puts_every_edge_from_left_to_right_and_no_two_nodes_in_one_place() -> None:
    net = network("ax bx bc cx xy ay cy yz bz")
    place = _pictures.layout(net)
    assert set(place) == set(net.nodes)
    assert all(place[u][0] < place[v][0] for u, v in net.graph.edges)
    assert len(set(place.values())) == len(place)
    assert all(0 <= y <= 1 for _, y in place.values())


def test_layout_does_not_cross_what_need_not_cross() -> None:
    place = _pictures.layout(network("ax by cz xr yr zr"))
    heights = [place[v][1] for v in "abc"]
    assert sorted(range(3), key=heights.__getitem__) == sorted(range(3), key=[place[v][1] for v in "xyz"].__getitem__)


@pytest.mark.parametrize("edges", ["ab", "ax bx xy ay", "ab cd"], ids=["no hidden neuron", "a skip", "two parts"])
def test_a_drawing_of_a_network_is_a_picture(tmp_path: Path, edges: str) -> None:
    net = network(edges)
    weight = dict.fromkeys(net.graph.edges, 0.0)
    _pictures.concept_graph(tmp_path / "net.png", net, {"x": 0.3}, weight, "title")
    assert min(size(tmp_path / "net.png")) > 300
