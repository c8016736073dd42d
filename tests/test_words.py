"""What errors say: short, whatever was given; the nearest name, also by other programs' words; what to give instead."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad import aliases, arguments
from flowgrad.callback import callbacks_for
from flowgrad.errors import ConfigError, DataError, FileError, UnknownNameError, brief, folded, listing, show, suggest
from flowgrad.format import Source
from flowgrad.registry import find, names, nearest
from flowgrad.schedules import schedule_for

PLUGINS = Path(__file__).parents[1] / "plugins"


def complaint(call: Callable[[], object]) -> str:
    """What flowgrad says; never more than a message holds."""
    with pytest.raises(fg.FlowgradError) as error:
        call()
    said = str(error.value)
    assert len(said) < 500, f"{len(said):,} characters"
    return said


def network() -> fg.Network:
    return fg.topologies.layered([2, 3, 1], seed=0)


def program() -> fg.Program:
    return fg.compile(network(), executor="python", loss="squared_error")


# ---- values are cut -----------------------------------------------------------------------------------------


class Wordy:
    def __repr__(self) -> str:
        return "line\n" * 100_000


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def nested() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


HUGE: dict[str, Any] = {
    "text": "n" * 500_000,
    "bytes": b"n" * 500_000,
    "list": list(range(100_000)),
    "deep": [[["n" * 1000] * 100] * 100] * 100,
    "itself": nested(),
    "dict": dict.fromkeys(range(100_000), "a name"),
    "set": set(range(100_000)),
    "array": np.zeros((500, 500)),
    "texts": np.array(["n" * 100_000] * 3),
    "integer": 10**5000,
    "negative": -(10**5000),
    "wordy": Wordy(),
    "broken": Broken(),
    "tuple": tuple("n" * 1000 for _ in range(1000)),
}
TEXTS = [value for value in HUGE.values() if isinstance(value, str)]


@pytest.mark.parametrize("kind", HUGE)
def test_a_value_of_any_size_takes_a_line_of_its_own_at_most(kind: str) -> None:
    for said in (brief(HUGE[kind]), show(HUGE[kind])):
        assert 0 < len(said) <= 80
        assert "\n" not in said


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(), lambda x: st.lists(x) | st.tuples(x, x)))
def test_what_is_short_is_shown_whole(value: Any) -> None:
    said = brief(value)
    assert len(said) <= 80
    if isinstance(value, int | str | bytes) and len(repr(value)) <= 40:
        assert said == repr(value)


@given(st.lists(st.text(max_size=300), max_size=30), st.integers(1, 12))
def test_a_list_of_names_counts_all_and_stays_short(values: list[str], limit: int) -> None:
    said = listing(values, limit)
    assert len(said) <= 340
    if values:
        assert said.startswith(show(values[0]))


CALLS: dict[str, Callable[[Any], object]] = {
    "real": lambda v: arguments.real("rate", v, 0, 1),
    "whole": lambda v: arguments.whole("n", v if not isinstance(v, int) else -abs(v), 1),
    "chance": lambda v: arguments.chance("p", v),
    "row": lambda v: arguments.row("sample", v, 3),
    "sizes": lambda v: fg.topologies.layered([v if not isinstance(v, int) else -abs(v), 1]),
    "edges": lambda v: fg.topologies.from_edge_list([[v]]),
    "an end": lambda v: fg.topologies.from_edge_list([("a", [v])]),
    "union": lambda v: fg.union([v]),
    "save": lambda v: fg.save(v, "net.json"),
    "path": lambda v: fg.save(network(), v if not isinstance(v, str | bytes) else [v]),  # type: ignore[arg-type]  # of a wrong type on purpose
    "format": lambda v: fg.load("a.json", format=v),
    "functions": lambda v: fg.load("a.json", activations=[v]),
    "no functions": lambda v: fg.load("a.json", activations=v if isinstance(v, str) else 5),  # type: ignore[arg-type]  # of a wrong type on purpose
    "option": lambda v: fg.load("a.csv", seed=v if not isinstance(v, int) else [v]),
    "executor": lambda v: fg.compile(network(), executor=f"{brief(v)}" if not isinstance(v, str) else v),
    "loss": lambda v: find("losses", v if isinstance(v, str) else "n" * 5000),
    "kind": lambda v: names(v if isinstance(v, str) else "n" * 5000),
    "schedule": lambda v: schedule_for(v, 3),
    "callback": lambda v: callbacks_for([v] if not isinstance(v, str) else v),
    "columns": lambda v: fg.Network.from_columns(v),
    "n_nodes": lambda v: fg.Network.from_arrays([0], [1], n_nodes=v if not isinstance(v, int) else -abs(v)),
    "predecessors": lambda v: network().add_neuron("new", v if isinstance(v, str | bytes) else [[v]]),
    "id": lambda v: network().add_neuron([v], [0]),  # type: ignore[arg-type]  # of a wrong type on purpose
    "node": lambda v: network().connect(v, 0),
    "param": lambda v: network().connect(0, 5, param=[v]),
    "nesterov": lambda v: type(find("optimizers", "sgd"))(nesterov=v),
    "history": lambda v: fg.History()[v if isinstance(v, str) else "n" * 5000],
    "gradcheck": lambda v: fg.gradcheck(v, [[1.0]], [[1.0]]),
}


@pytest.mark.parametrize("kind", HUGE)
@pytest.mark.parametrize("call", CALLS)
def test_no_message_echoes_a_value_whole(call: str, kind: str) -> None:
    complaint(lambda: CALLS[call](HUGE[kind]))


def test_names_in_a_network_are_cut_too() -> None:
    long = "n" * 100_000
    net = fg.Network()
    net.add_input(long)
    complaint(lambda: net.add_input(long))
    complaint(lambda: net.connect(long, long))
    complaint(lambda: net.add_neuron("h", [long, long]))
    complaint(lambda: fg.topologies.from_edge_list([(long, "y"), (long, "y")]))
    complaint(lambda: fg.Network.from_networkx(nx.DiGraph([(long, "y", {"param": []})])))


def test_a_name_in_a_file_is_cut(tmp_path: Path) -> None:
    source = Source(tmp_path / "net.json")
    complaint(lambda: source.function("activations", "n" * 100_000))
    complaint(lambda: source.beside("/" + "n" * 100_000))
    file = tmp_path / "net.csv"
    file.write_text(f"source,target\n{'n' * 100_000},y\n{'n' * 100_000},y\n")
    complaint(lambda: fg.load(file))


# ---- the nearest name ---------------------------------------------------------------------------------------

KINDS = ("activations", "aggregations", "losses", "initializers", "optimizers", "executors", "formats", "callbacks")


@pytest.mark.parametrize("kind", KINDS)
def test_case_and_separators_are_no_other_word(kind: str) -> None:
    for name in names(kind):
        for typed in {name.upper(), name.title(), name.replace("_", ""), name.replace("_", "-"), f" {name}"} - {name}:
            assert f"'{name}'" in nearest(kind, typed), (typed, nearest(kind, typed))
            with pytest.raises(UnknownNameError, match="did you mean"):
                find(kind, typed)


@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("activations", "ReLU", "relu"),
        ("activations", "LeakyReLU", "leaky_relu"),
        ("activations", "linear", "identity"),
        ("activations", "logistic", "sigmoid"),
        ("activations", "Swish", "silu"),
        ("activations", "hardtanh", "hard_tanh"),
        ("activations", "sigmiod", "sigmoid"),
        ("activations", "SIGMIOD", "sigmoid"),
        ("aggregations", "MaxPool", "max"),
        ("aggregations", "avg", "mean"),
        ("losses", "MSE", "squared_error"),
        ("losses", "l1", "absolute_error"),
        ("losses", "BCEWithLogitsLoss", "binary_cross_entropy"),
        ("losses", "nll", "cross_entropy"),
        ("losses", "CrossEntropyLoss", "cross_entropy"),
        ("losses", "SmoothL1Loss", "huber"),
        ("optimizers", "adamW", "adamw"),
        ("formats", "csv", "edgelist"),
        ("formats", "gv", "dot"),
        ("formats", "nodelink.json", "node-link"),
    ],
)
def test_the_fields_usual_names_are_suggested(kind: str, typed: str, meant: str) -> None:
    assert nearest(kind, typed) == f": did you mean '{meant}'?"


def test_every_alias_is_suggested_and_none_is_accepted() -> None:
    for kind, table in aliases.BY_KIND.items():
        known = set(names(kind))
        for ours, others in table.items():
            assert ours in known | set(aliases.PACKAGES.get(kind, {})), f"{kind} have no {ours}"
            for other in others:
                assert folded(other) not in map(folded, known), f"{other} needs no line"
                with pytest.raises(UnknownNameError, match=ours):
                    find(kind, other)


def test_a_suggestion_is_a_valid_name() -> None:
    """Of a table of aliases only those count that are valid where the message speaks."""
    assert suggest("mse", ["huber"], {"mse": ["squared_error"]}) == "; known: huber"
    assert suggest("A", ["a", "A_"]) == ": did you mean 'a' or 'A_'?"
    assert suggest("x", range(3)) == "; known: 0, 1, 2"


def test_a_function_of_a_graph_is_suggested_with_its_neuron() -> None:
    G = nx.DiGraph([("x", "h")])
    G.nodes["h"]["activation"] = "Swish"
    assert "'h': did you mean 'silu'?" in complaint(lambda: fg.Network.from_networkx(G))


def test_an_executor_names_the_package_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"executors": ("numba", "python"), "executor_info": ()}
    monkeypatch.setattr("flowgrad.registry.names", lambda kind: here.get(kind) or names(kind))
    for name, package in {**aliases.PACKAGES["executors"], "PyTorch": "flowgrad-torch"}.items():
        assert f"pip install {package}" in complaint(lambda n=name: fg.compile(network(), executor=n))


def test_the_packages_bring_what_is_said_of_them() -> None:
    found = {}
    for file in PLUGINS.glob("*/pyproject.toml"):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        for name in project.get("entry-points", {}).get("flowgrad.executors", {}):
            found[name] = project["name"]
    assert aliases.PACKAGES["executors"] == found


# ---- one thing in the place of another ----------------------------------------------------------------------


def test_a_program_in_the_place_of_a_network(tmp_path: Path) -> None:
    for call in (lambda: fg.save(program(), tmp_path / "a.json"), lambda: fg.union([network(), program()])):  # type: ignore[arg-type,list-item]  # of a wrong type on purpose
        with pytest.raises(DataError, match=r"a Network, not a Program: give program\.network\(\)"):
            call()
    with pytest.raises(DataError, match=r"not a Program: give program\.network\(\)\.columns"):
        fg.Network.from_columns(program())  # type: ignore[arg-type]  # of a wrong type on purpose
    assert "program.network().graph" in complaint(lambda: fg.Network.from_networkx(program()))  # type: ignore[arg-type]  # of a wrong type on purpose
    assert "not a Program" in complaint(lambda: fg.compile(program()))  # type: ignore[arg-type]  # of a wrong type on purpose
    for other in (program(), network(), 5):
        assert "list of Networks" in complaint(lambda o=other: fg.union(o))  # type: ignore[arg-type]  # of a wrong type on purpose


def test_a_network_in_the_place_of_a_program() -> None:
    with pytest.raises(ConfigError, match=r"a Program, not a Network: give fg\.compile\(network\)"):
        fg.gradcheck(network(), [[1.0, 2.0]], [[0.0]])  # type: ignore[arg-type]  # of a wrong type on purpose
    assert "compile" in complaint(lambda: fg.fit(network(), [[1.0, 2.0]], [[0.0]]))  # type: ignore[arg-type]  # of a wrong type on purpose


def test_every_hint_speaks_of_what_there_is() -> None:
    known = {"Network": fg.Network, "Program": fg.Program, "Activations": fg.Activations}
    for wanted, found in arguments.INSTEAD:
        assert wanted in {*known, "Columns"}
        value = type(found, (), {})()
        kind = known.get(wanted, type(network().columns))
        said = complaint(lambda v=value, k=kind: arguments.instance("it", v, k))
        assert said.endswith(f" {found}: {arguments.INSTEAD[wanted, found]}")


@pytest.mark.parametrize(
    "edges",
    [5, None, [5], ["ab"], [b"ab"], [{"a", "b"}], [{"a": 1, "b": 2}], [("a",)], [("a", None)], [(None, "a")],
     [("a", [1])], [("a", ("b", [1]))], [("a", {})], [("a", "b", 1.0, 2.0)]],
)  # fmt: skip
def test_edges_that_are_none(edges: Any) -> None:
    assert "edge" in complaint(lambda: fg.topologies.from_edge_list(edges))


def test_edges_of_any_ordered_kind() -> None:
    for edges in ([["a", "b"]], np.array([["a", "b"]]), (("a", "b") for _ in range(1)), [("a", "b", 2.0)]):
        assert fg.topologies.from_edge_list(edges).columns.n_edges == 1


def test_a_folder_says_that_it_is_one(tmp_path: Path) -> None:
    run, other = tmp_path / "runs.json", tmp_path / "other"
    run.mkdir()
    other.mkdir()
    (run / "network.json").write_text("{}")
    with pytest.raises(FileError, match=r"is a folder: give .*network\.json"):
        fg.load(run)
    for call in (lambda: fg.load(other), lambda: fg.load(other, format="json"), lambda: fg.save(network(), other)):
        with pytest.raises(FileError, match=r"other is a folder: give the name of a file"):
            call()
