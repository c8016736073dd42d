"""What the tests of other tools' files share: reading one, and saving what came in, in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flowgrad as fg
from flowgrad.formats._assembly import same

SUFFIXES = [".gexf", ".graphml", ".cyjs", ".nodelink.json", ".adjacency.json", ".dot", ".json", ".safetensors"]


@pytest.fixture
def carried() -> Callable[[fg.Network], tuple[dict[Any, Any], ...]]:
    """The attributes of nodes by id, of edges by their ends, and of the graph."""
    return _carried


def _carried(net: fg.Network) -> tuple[dict[Any, Any], ...]:
    nodes, edges = ({k: dict(a) for k, a in some.items()} for some in (net.graph.nodes, net.graph.edges))
    return nodes, edges, dict(net.graph.graph)


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., fg.Network]:
    """loaded(name, text) is the network of a file, once it is shown that every format saves it and gives it back."""
    pytest.importorskip("safetensors", reason="flowgrad's own formats")
    pytest.importorskip("defusedxml", reason="GraphML and GEXF")

    def of(name: str, text: str, **options: Any) -> fg.Network:
        (tmp_path / name).write_text(text, encoding="utf-8")
        net = fg.load(tmp_path / name, **options)
        fg.save(net, tmp_path / "again.dot")
        for suffix in SUFFIXES:
            fg.save(net, tmp_path / f"again{suffix}")
            again = fg.load(tmp_path / f"again{suffix}")
            assert same(_carried(again), _carried(net)), suffix
            assert (again.inputs, again.outputs) == (net.inputs, net.outputs), suffix
        return net

    return of


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str, str], str]:
    """refused(name, text) is the message that refuses a file; it is short."""
    pytest.importorskip("defusedxml", reason="GraphML and GEXF")

    def by(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(fg.FlowgradError) as caught:
            fg.load(tmp_path / name)
        assert len(str(caught.value)) < 500 + len(str(tmp_path))
        return str(caught.value)

    return by
