"""Every format of the registry: what comes back, which ids survive, and that damage is refused by a FlowgradError.

Nothing here names a format but where one needs more than its record says: a new format is tested by being there.
"""

from __future__ import annotations

import json
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.errors import FileWarning
from flowgrad.format import KEEPS
from flowgrad.formats._lost import lost
from flowgrad.registry import find, names
from flowgrad.testing.formats import HARD_IDS, NAMINGS, Trial, damaged, examples, fuzz, read_or_refused
from flowgrad.testing.strategies import cases

FORMATS = {name: find("formats", name) for name in names("formats")}
PAIRS = [
    pytest.param(name, suffix, id=f"{name}{suffix}")
    for name, f in FORMATS.items()
    if f.read is not None and f.write is not None
    for suffix in f.suffixes or (".txt",)
]
READERS = [name for name, f in FORMATS.items() if f.read is not None]
CASES = 60  # of damage for every reader in an ordinary run; a soak run of N makes it thousands of N


@pytest.fixture(scope="session")
def known() -> dict[str, dict[str, Any]]:
    """What each format and suffix was found to take by its first trial."""
    return {}


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path, known: dict[str, dict[str, Any]]) -> Iterator[Trial]:
    name, suffix = request.param
    for library in {"json": ["safetensors"], "safetensors": ["safetensors"], "graphml": ["defusedxml"]}.get(name, []):
        pytest.importorskip(library)
    made = Trial(FORMATS[name], suffix, tmp_path)
    vars(made).update(known.get(f"{name}{suffix}", {}))
    yield made
    known[f"{name}{suffix}"] = {k: v for k, v in vars(made).items() if k in ("naming", "functions")}


def pairs(test):
    """The test for every format that is read and written, with each of its suffixes."""
    return pytest.mark.parametrize("trial", [(*p.values,) for p in PAIRS], ids=[p.id for p in PAIRS], indirect=True)(
        test
    )


@pytest.mark.parametrize("name", FORMATS)
def test_the_record_says_what_it_must(name: str) -> None:
    f = FORMATS[name]
    assert f.name == name
    assert f.summary
    assert all(s.startswith(".") and s == s.lower() for s in f.suffixes)
    if f.read is not None and f.write is not None:
        assert f.keeps in KEEPS, "what comes back?"
    else:
        assert f.keeps is None
    if f.read is not None and f.write is None:
        assert f.example, "a reader needs a small file to begin with"


def test_the_page_has_a_row_for_every_format() -> None:
    """`python tests/benchmarks/bench_formats.py --write` makes the table."""
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    found = {row[0].split("`")[1]: row[1:4] for row in rows if len(row) == 9}
    yes = {True: "yes", False: ""}
    assert found == {
        name: [yes[f.read is not None], yes[f.write is not None], f.keeps or ""] for name, f in FORMATS.items()
    }


@pytest.mark.parametrize("name", [name for name in READERS if FORMATS[name].example])
def test_the_example_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "example").write_bytes(FORMATS[name].example)
    net = fg.load(tmp_path / "example", format=name)
    assert np.isfinite(fg.compile(net, executor="python").predict(np.ones((1, len(net.inputs))))).all()


# ---- what comes back ----------------------------------------------------------------------------------------


@pairs
@given(data=st.data())
def test_random_networks_come_back(trial: Trial, data: st.DataObject) -> None:
    naming = data.draw(st.sampled_from(trial.naming))
    case = data.draw(cases(max_neurons=6, ids=("str",), **trial.functions))
    net = trial.suited(case, naming).network()
    try:
        again = trial.there_and_back(net)
    except fg.FlowgradError as error:
        refusable(error, trial, net)
        return
    assert trial.lost(net, again) == []


def refusable(error: fg.FlowgradError, trial: Trial, net: fg.Network) -> None:
    """A format of edges alone may find no network in what is left of one; one of everything may refuse nothing."""
    assert trial.format.keeps in ("edges", "weights", "outputs"), error
    graph = net.graph
    fed = {v for v in graph if graph.in_degree(v)}
    lonely = [v for v in graph if v not in fed and v not in net.inputs]
    assert lonely or not fed or set(net.inputs) & set(net.outputs), error


def chain(ids: list, trial: Trial) -> fg.Network:
    """x → id → y, the ends named as the format likes it."""
    name = NAMINGS[trial.naming[0]]
    net = fg.Network()
    net.add_input(name(1, True))
    before = name(1, True)
    for k, v in enumerate((*ids, name(2, False))):
        net.add_neuron(v, {before: 0.5 - k}, bias=0.25, activation="identity")
        before = v
    return net


@pairs
def test_an_id_comes_back_or_is_refused_by_name(trial: Trial) -> None:
    wrong = {kind: said for kind in HARD_IDS if (said := wrong_with(trial, HARD_IDS[kind]))}
    assert wrong == {}


def wrong_with(trial: Trial, name: str) -> str:
    """What is wrong with how the format keeps or refuses an id; "" is as it should be."""
    net = chain([name], trial)
    trial.path.unlink(missing_ok=True)
    try:
        fg.save(net, trial.path, trial.format.name)
    except fg.FlowgradError as error:
        said = str(error)
        named = repr(name)[1:-1][:40] in said or "numbers its nodes" in said or "holds a tab" in said
        return "a refused file stays" if trial.path.exists() else "" if named else f"refused without its name: {said}"
    try:
        again = fg.load(trial.path, trial.format.name)
    except Exception as error:
        return f"written, and not read: {error!r}"
    kept = set(again.graph) == set(net.graph) and trial.lost(net, again) == []
    return "" if kept else f"came back as {again.nodes}"


@pairs
def test_attributes_come_back_or_are_refused_by_name(trial: Trial) -> None:
    for kind, text in HARD_IDS.items():
        net = chain([], trial)
        graph = nx.DiGraph(net.graph)
        middle = next(v for v in graph if v not in net.inputs)
        graph.nodes[middle]["note"] = text
        graph.nodes[middle]["more"] = 3
        graph.graph["about"] = "the graph"
        net = fg.Network.from_networkx(graph)
        try:
            again = trial.there_and_back(net)
        except fg.FlowgradError as error:
            said = str(error)
        else:
            said = repr(middle) if trial.lost(net, again) == [] else "lost"
        assert repr(middle) in said, kind


@pairs
def test_what_is_written_twice_is_the_same(trial: Trial) -> None:
    net = chain([], trial)
    written = []
    for _ in range(2):
        fg.save(net, trial.path, trial.format.name)
        written.append({path.name: path.read_bytes() for path in trial.folder.iterdir()})
    assert written[0] == written[1]


# ---- the tools that formats belong to -----------------------------------------------------------------------


def edges_of_tool(name: str, path: Path) -> list[tuple[str, str]] | None:
    """The edges that the format's own tool finds in a file; None where the tool is not installed or there is none."""
    if name in ("edgelist", "kpnn"):
        pandas = pytest.importorskip("pandas")
        if path.suffix == ".parquet":
            pytest.importorskip("pyarrow")
            frame = pandas.read_parquet(path)
        else:
            tab = path.suffix == ".tsv"
            options = {"sep": "\t", "quoting": 3} if tab else {}
            frame = pandas.read_csv(path, keep_default_na=False, dtype={"source": str, "target": str}, **options)
        ends = ("child", "parent") if name == "kpnn" else ("source", "target")
        return list(zip(*(frame[end] for end in ends), strict=True))
    if name == "graphml":
        return list(nx.read_graphml(path).edges)
    if name == "gexf":
        return list(nx.read_gexf(path).edges)
    document = json.loads(path.read_text("utf-8")) if path.suffix == ".json" or name == "cytoscape" else None
    if name == "neat":
        return [(c["from"], c["to"]) for c in document["connections"]]
    makers = {"node-link": nx.node_link_graph, "adjacency": nx.adjacency_graph, "cytoscape": nx.cytoscape_graph}
    return list(makers[name](document).edges()) if name in makers else None


@pairs
def test_the_tool_of_the_format_finds_the_edges(trial: Trial) -> None:
    hard = [
        HARD_IDS[kind] for kind in ("blank", "pipe", "unicode", "quotation mark", "script", "sql", "colon", "number")
    ]
    net = chain(hard if "text" in trial.naming or "genes" in trial.naming else [], trial)
    fg.save(net, trial.path, trial.format.name)
    found = edges_of_tool(trial.format.name, trial.path)
    if found is not None:
        assert {tuple(e[:2]) for e in found} == set(net.columns.ends)


# ---- damage -------------------------------------------------------------------------------------------------


def sealed(name: str, data: bytes) -> bytes:
    """Native files end in a digest: made right again, so that the damage is looked at and not only found."""
    body, found, _ = data.rpartition(b'"sha256": "')
    if name != "json" or not found:
        return data
    return body + b'"sha256": "%s"\n}\n' % sha256(body).hexdigest().encode()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")  # a library may warn of what it finds; what counts is what it raises
def test_damage_is_refused_or_read(name: str, tmp_path: Path, request: pytest.FixtureRequest, capfd) -> None:
    soak = request.config.getoption("--soak")
    rng = np.random.default_rng(None if soak else zlib.crc32(name.encode()))
    others = [f.example for f in FORMATS.values() if f.example]
    refused, read = fuzz(FORMATS[name], tmp_path, 1000 * soak or CASES, rng, others, partial(sealed, name))
    if soak:
        with capfd.disabled():
            print(f"{name}: {refused + read:,} files, {refused:,} refused, {read:,} read")
    assert refused > CASES // 10


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")
def test_every_beginning_of_a_file_is_refused_or_read(name: str, tmp_path: Path, request) -> None:
    cuts = 60 if request.config.getoption("--soak") else 20
    for suffix, data in examples(FORMATS[name], tmp_path).items():
        for length in range(0, len(data), max(1, len(data) // cuts)):
            read_or_refused(FORMATS[name], tmp_path / f"net{suffix}", data[:length])


@pytest.fixture
def many(request: pytest.FixtureRequest) -> int:
    """Bytes where a few are expected."""
    return 200_000 if request.config.getoption("--soak") else 20_000


BOMBS: dict[str, Callable[[int], bytes]] = {  # of n bytes or more; deeper than any parser's stack, wider than any line
    "lists": lambda n: b"[" * n,
    "objects": lambda n: b'{"a":' * n,
    "elements": lambda n: b"<a>" * n,
    "entities": lambda n: (
        b'<!DOCTYPE x [<!ENTITY a "%b"><!ENTITY b "%b">]><graphml>&b;</graphml>' % (b"x" * 100, b"&a;" * 100)
    ),
    "digits": lambda n: b'{"nodes": [' + b"9" * n + b"]}",
    "one line": lambda n: b"a" * (5 * n),
    "fields": lambda n: b"a,b\t" * (n // 2),
    "nothing": lambda n: b"",
    "NUL": lambda n: b"\0" * 1000,
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("name", READERS)
def test_bombs(name: str, bomb: str, tmp_path: Path, many: int) -> None:
    for suffix in FORMATS[name].suffixes or ("",):
        refused = read_or_refused(FORMATS[name], tmp_path / f"net{suffix}", BOMBS[bomb](many))
        assert refused is not None
        assert re.search(r"net|numbers|graph|network", refused)


def test_json_of_damage_is_kept_small() -> None:
    rng = np.random.default_rng(0)
    data = json.dumps({"nodes": [{"id": k} for k in range(5)]}).encode()
    assert max(len(damaged(data, data, rng)) for _ in range(500)) < 50_000


@pytest.mark.parametrize("name", READERS)
def test_a_message_does_not_repeat_the_file(name: str, tmp_path: Path, many: int) -> None:
    """Twenty thousand letters where a name or a number stands are no such message."""
    for suffix, data in examples(FORMATS[name], tmp_path).items():
        for place in list(re.finditer(rb"[\w.]+", data))[::3][:15]:
            for long in (b"9" * many, b"[" + b"1," * (many // 2) + b"1]"):
                made = data[: place.start()] + long + data[place.end() :]
                refused = read_or_refused(FORMATS[name], tmp_path / f"net{suffix}", made)
                assert refused is None or len(refused) < 0.35 * many


# ---- what is lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trial", [p.values for p in PAIRS if FORMATS[p.values[0]].keeps in ("edges", "weights", "functions")], indirect=True
)
@given(data=st.data())
def test_what_no_warning_names_comes_back(trial: Trial, data: st.DataObject) -> None:
    naming = data.draw(st.sampled_from(trial.naming))
    net = trial.suited(data.draw(cases(max_neurons=6, ids=("str",), **trial.functions)), naming).network()
    keeps = trial.format.keeps
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fg.save(net, trial.path, trial.format.name)
            options = {"integer_ids": True} if naming == "integers" and trial.suffix in (".csv", ".tsv") else {}
            again = fg.load(trial.path, trial.format.name, **options)
    except fg.FlowgradError as error:
        refusable(error, trial, net)
        return
    named = " ".join(str(each.message) for each in said)
    assert (named != "") == (lost(net, keeps) != [])
    c = net.columns
    values = {
        "weights": lambda n: dict(zip(n.columns.ends, n.columns.weights.tolist(), strict=True)),
        "bias": lambda n: {v: x for v, x in zip(n.columns.ids, n.columns.bias.tolist(), strict=True) if x},
        "responses": lambda n: {
            v: x for v, x in zip(n.columns.ids, n.columns.response.tolist(), strict=True) if x != 1
        },
        "activations": lambda n: {v: n.graph.nodes[v].get("activation") for v in n.nodes if n.graph.pred[v]},
        "aggregations": lambda n: {v: n.graph.nodes[v].get("aggregation", "sum") for v in n.nodes if n.graph.pred[v]},
        "without edges": lambda n: set(n.nodes),
        "inputs": lambda n: n.inputs,
        "outputs": lambda n: n.outputs,
        "shared": lambda n: (n.columns.param >= 0).any(),
        "not trained": lambda n: (n.columns.edge_trainable.all(), n.columns.trainable[~n.columns.is_input].all()),
    }
    if net.inputs != again.inputs:  # which is named, and has no bias to train
        del values["not trained"]
    lacking = [what for what, of in values.items() if of(net) != of(again) and what not in named]
    if keeps == "edges" and np.isnan(c.weight).all():
        lacking = [what for what in lacking if what != "weights"]
    assert lacking == []


@pytest.mark.parametrize("name", ["net.csv", "net.tsv", "net.parquet", "net.csv.gz"])
def test_a_list_of_edges_says_what_it_leaves_out(tmp_path: Path, name: str) -> None:
    net = fg.Network()
    for v in ("x", "alone"):
        net.add_input(v)
    net.add_neuron("h", {"x": 2.0}, bias=0.5, activation="relu")
    net.add_neuron("y", {"h": 1.0}, activation="identity")
    net.set_outputs(["h", "y"])
    said = "1 bias, activations, 1 node without edges, which nodes are inputs.*, which nodes are outputs"
    with pytest.warns(FileWarning, match=rf"^{name} holds nodes with edges, and weights, and not: {said}"):
        fg.save(net, tmp_path / name)
    assert (tmp_path / name).exists()
    plain = fg.load(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fg.save(plain, tmp_path / name)
