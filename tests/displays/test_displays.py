"""How networks and gradients show themselves: ids are text, HTML is small and has no scripts, pictures are whole."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, FlowgradError, ShapeError, UnknownNameError
from flowgrad.viewer.palette import ABOVE, BELOW, EITHER_ABOVE, EITHER_BELOW

EVIL = "</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """The tags of a piece of HTML, which must close what it opens, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def network(n: int = 4) -> fg.Network:
    return fg.topologies.layered([3, n, 2], activation="tanh", seed=1)


def gradients(net: fg.Network, X: Any = None) -> fg.Gradients:
    program = fg.compile(net, executor="python", loss="squared_error")
    x = np.ones((2, len(net.inputs))) if X is None else X
    return program.backward(program.forward(x), np.zeros((len(x), len(net.outputs))))


# ---- in notebooks ----------------------------------------------------------------------------------------------


def test_a_network_shows_its_figures_and_its_graph() -> None:
    found = Tags(network()._repr_html_())
    assert found.tags <= {"div", "span", "strong", "svg", "path", "circle", "title", "table", "tr", "td"}
    assert "9 nodes, 20 edges, depth 2, 26 parameters" in found.text
    assert "4 tanh, 2 identity; 6 sum" in found.text
    assert network()._repr_html_().count("<path") == 20
    assert network()._repr_html_().count("<circle") == 9


def test_a_large_network_stays_small() -> None:
    target = np.repeat(np.arange(2000, 20_000), 5)
    big = fg.Network.from_arrays((7 * np.arange(len(target))) % 2000, target, activation="tanh")
    html = big._repr_html_()
    assert len(html) < 10_000
    assert "18,000 nodes" in Tags(html).text
    deep = fg.Network.from_arrays(range(200), range(1, 201), activation="tanh")
    assert "… 187 levels" in Tags(deep._repr_html_()).text


def test_names_are_text() -> None:
    net = fg.topologies.from_edge_list([(EVIL, "<b>h</b>"), ("<b>h</b>", 'y"&')])
    for html in (net._repr_html_(), gradients(net)._repr_html_()):
        found = Tags(html)
        assert found.tags.isdisjoint({"img", "b", "script"})
        assert EVIL in found.text
        assert 'y"&' in found.text
    long = fg.topologies.from_edge_list([("x" * 5000, "y")])
    assert len(long._repr_html_()) < 8000


def test_colours_are_the_pages_own() -> None:
    for html in (network()._repr_html_(), gradients(network())._repr_html_()):
        assert set(re.findall(r"background:([^;\"]+)", html)) <= {"transparent", EITHER_ABOVE, EITHER_BELOW}
        assert re.search(f"{EITHER_ABOVE}[^<]*></span>above 0", html)
        assert re.search(f"{EITHER_BELOW}[^<]*></span>below 0", html)
        assert set(re.findall(r"[;\"]color:([^;\"]+)", html)) == {"inherit"}
        assert not re.search(r"https?:|<script|<style|url\(", html)


def test_a_network_that_is_not_finished_says_what_it_lacks() -> None:
    assert "unfinished" in Tags(fg.Network()._repr_html_()).text


def test_gradients_show_the_largest() -> None:
    net = network()
    grads = gradients(net)
    found = Tags(grads._repr_html_())
    (u, v), value = max(grads.weight.items(), key=lambda item: abs(item[1]))
    assert f"{u} → {v}" in found.text
    assert f"{value:+.4g}" in found.text
    assert f"loss {grads.loss:.6g}; 26 parameters, 9 nodes, 2 samples" in found.text
    wild = Tags(gradients(net, np.array([[np.inf, 1.0, 1.0]]))._repr_html_())
    assert "a gradient that is not finite" in wild.text


# ---- on paper --------------------------------------------------------------------------------------------------


def collections(figure: Any, kind: str) -> list[Any]:
    return [c for c in figure.axes[0].collections if type(c).__name__ == kind]


def test_a_picture_has_every_node_edge_and_name(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    net = network()
    figure = net.plot(title="a $title$")
    (edges,) = collections(figure, "PathCollection")[:1]
    assert len(edges.get_paths()) == 20
    assert sum(len(dots.get_offsets()) for dots in collections(figure, "PathCollection")[1:]) == 9
    assert [t.get_text() for t in figure.axes[0].texts] == [str(v) for v in net.nodes]
    for suffix in ("png", "pdf", "svg"):
        figure.savefig(tmp_path / f"net.{suffix}")
        assert (tmp_path / f"net.{suffix}").stat().st_size > 1000
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_values_colour_the_neurons_and_signs_the_edges() -> None:
    to_hex = pytest.importorskip("matplotlib.colors").to_hex
    net = fg.topologies.from_edge_list([("x", "h", 2.0), ("h", "y", -1.0)])
    figure = net.plot({"h": 3.0}, label="importance")
    assert len(figure.axes) == 2  # and the colour bar
    assert figure.axes[1].get_ylabel() == "importance"
    edges = collections(figure, "PathCollection")[0]
    colour = dict(zip(("weak", "strong"), edges.get_edgecolors(), strict=True))
    assert to_hex(colour["weak"]) == BELOW  # −1
    assert to_hex(colour["strong"]) == ABOVE  # +2
    assert edges.get_linewidths()[1] > edges.get_linewidths()[0]
    signed = net.plot([1.0, -4.0, 0.5])
    assert {dots.get_clim() for dots in collections(signed, "PathCollection")[1:]} == {(-4.0, 4.0)}
    acts = fg.compile(net, executor="python").forward([[1.0]])
    net.plot({v: a[0] for v, a in acts.a.items()}, edge_values=gradients(net).weight)


def test_neurons_have_the_colours_of_edges() -> None:
    to_hex = pytest.importorskip("matplotlib.colors").to_hex
    net = fg.topologies.from_edge_list([("x", "h", 2.0), ("h", "y", -1.0)])
    for values in ([-3.0, 1.0, 3.0], [0.0, 1.0, 3.0]):
        dots = collections(net.plot(values), "PathCollection")[1:]
        found = {v: to_hex(d.cmap(d.norm(v))) for d in dots for v in d.get_array().tolist()}
        assert found[3.0] == ABOVE
        assert found.get(-3.0, BELOW) == BELOW


def test_a_picture_says_what_the_colour_of_an_edge_means() -> None:
    to_hex = pytest.importorskip("matplotlib.colors").to_hex
    net = fg.topologies.from_edge_list([("x", "h", 2.0), ("h", "y", -1.5)])

    def said(**more: Any) -> dict[str, str]:
        legend = net.plot(**more).axes[0].get_legend()
        words = [text.get_text() for text in legend.get_texts()]
        return dict(zip([to_hex(line.get_color()) for line in legend.get_lines()], words, strict=True))

    assert said() == {ABOVE: "weight above 0, to 2", BELOW: "weight below 0, to −1.5"}
    assert said(edge_values=[1.0, 3.0], edge_label="∂L/∂w") == {ABOVE: "∂L/∂w above 0, to 3"}
    assert net.plot(edge_values=[0.0, np.nan]).axes[0].get_legend() is None


def boxes(figure: Any) -> tuple[list[Any], list[Any]]:
    """What names and neurons cover, in pixels, as left, bottom, right, top."""
    figure.draw_without_rendering()
    axes, dots = figure.axes[0], []
    for drawn in collections(figure, "PathCollection")[1:]:
        half = np.sqrt(drawn.get_sizes()[0]) / 2 * figure.dpi / 72
        dots += [(*(at - half), *(at + half)) for at in axes.transData.transform(drawn.get_offsets())]
    return [text.get_window_extent().extents for text in axes.texts], dots


def over(p: Any, q: Any) -> bool:
    return bool(p[0] < q[2] and q[0] < p[2] and p[1] < q[3] and q[1] < p[3])


def broken() -> fg.Network:
    """An input column that is broken into four, with names as long as genes'."""
    return fg.topologies.from_edge_list([(f"g:YAL{k:03}W", f"GO:{k % 7:07}") for k in range(150)])


def test_a_name_without_room_is_not_drawn_and_nothing_else_is_lost() -> None:
    pytest.importorskip("matplotlib")
    nets = broken(), network(150), fg.topologies.layered([30, 30, 3], seed=2)
    figures = [net.plot(labels=True) for net in nets]
    assert 60 < len(figures[0].axes[0].texts) < 157
    for net, figure in zip(nets, figures, strict=True):
        names, dots = boxes(figure)
        assert not any(over(p, q) for k, p in enumerate(names) for q in names[:k])
        assert sum(over(p, q) for p in names for q in dots) == 0
        written = {text.get_text() for text in figure.axes[0].texts}
        assert written >= {str(v) for v in net.outputs}
        assert len(dots) == len(net.nodes)
        assert len(collections(figure, "PathCollection")[0].get_paths()) == net.columns.n_edges


@pytest.mark.parametrize("where", ["labels", "ax", "values", "edge_values"])
@pytest.mark.parametrize(
    "given", [dict.fromkeys(range(5000), "a name"), ["a name"] * 5000, "x" * 5000, {"x" * 5000: 1.0}, object()]
)
def test_what_is_given_is_not_echoed_whole(where: str, given: Any) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(FlowgradError) as caught:
        network().plot(**{where: given})
    assert len(str(caught.value)) < 500


def test_a_few_towering_values_leave_the_rest_their_colours() -> None:
    pytest.importorskip("matplotlib")
    net = network(200)
    values = np.linspace(0.5, 1.0, 205)
    values[7] = 1000.0
    figure = net.plot(values)
    assert collections(figure, "PathCollection")[1].get_clim()[1] < 1.1


def test_a_large_picture_is_drawn_with_lines_and_without_names() -> None:
    pytest.importorskip("matplotlib")
    figure = network(1000).plot()
    assert len(collections(figure, "LineCollection")[0].get_segments()) == 5000
    assert len(figure.axes[0].texts) == 0


def test_a_picture_on_axes_that_are_there() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    assert network().plot(ax=axes[1]) is axes[1].figure
    assert len(axes[0].collections) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"values": {"hh": 1.0}}, UnknownNameError, "values: 'hh' is no node"),
        ({"values": [1.0]}, ShapeError, r"values has shape \(1,\): must be \(9,\)"),
        ({"values": {3: [1.0, 2.0]}}, ShapeError, r"values\[3\] has shape \(2,\): give one number"),
        ({"values": {}}, ConfigError, "no number for any node"),
        ({"edge_values": {(0, 1): 1.0}}, UnknownNameError, r"there is no edge \(0, 1\)"),
        ({"edge_values": [1.0]}, ShapeError, r"must be \(20,\)"),
        ({"labels": "all"}, ConfigError, "labels='all'"),
        ({"ax": 3}, ConfigError, "ax=3"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(error, match=words):
        network().plot(**arguments)
