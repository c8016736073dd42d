"""`flowgrad convert`, `flowgrad export` and `flowgrad info`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.cli._reader_options import reader_options
from flowgrad.cli.info import facts
from flowgrad.files import check_options
from flowgrad.registry import find, names


def test_convert_there_and_back(run, tmp_path: Path) -> None:
    net = fg.topologies.random_dag(3, 9, fan_in=2, seed=1)
    fg.save(net, tmp_path / "a.json")
    for one, two in [("a.json", "b.graphml"), ("b.graphml", "c.nodelink.json"), ("c.nodelink.json", "d.json")]:
        result = run("convert", one, two)
        assert (result.code, result.err) == (0, "")
        assert two in result.out
    again = fg.load(tmp_path / "d.json")
    assert dict(again.graph.edges) == dict(net.graph.edges)
    assert (again.inputs, again.outputs) == (net.inputs, net.outputs)
    result = run("convert", "a.json", "e.txt", "--to", "edgelist")
    assert result.code == 0
    result = run("convert", "e.txt", "f.json", "--from", "edgelist")
    assert result.code == 0
    assert fg.load(tmp_path / "f.json").columns.n_edges == net.columns.n_edges


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("convert", "absent.json", "b.json"), "no file"),
        (("convert", "a.csv", "b.xyz"), "no format to write"),
        (("convert", "a.csv", "b.json", "--from", "graphmll"), "did you mean 'graphml'"),
        (("info", "absent.json"), "no file"),
        (("info", "a.csv", "--from", "dcell"), "line 1"),
        (("info", "a.csv", "--option", "seed"), "--option 'seed': must be KEY=VALUE"),
        (("info", "a.csv", "--option", "sed=1"), "no option 'sed' to read with: did you mean 'seed'"),
        (("info", "a.csv", "--option", "seed=x"), "option seed='x' of format 'edgelist': must be int"),
        (("info", "a.csv", "--option", "seed=1", "--option", "seed=2"), "seed is given twice"),
        (("info", ".", "--option", "seed=1"), "--from and --option are for files of networks"),
        (("export", "a.csv", "--to", "b.xyz"), "no format to write"),
        (("export", "a.csv", "--to", "b.json", "--sample", "1"), "give --data too"),
        (("export", "a.csv", "--to", "b.json", "--data", "x.csv"), "no place for values of samples; these have"),
        (("export", "a.csv", "--to", "b.gexf", "--data", "x.csv", "--sample", "7"), "sample=7: must be 0 … 1"),
        (("export", "a.csv", "--to", "b.gexf", "--data", "y.csv"), "cannot read y.csv"),
        (("export", "a.csv", "--to", "b.gexf", "--format", "gxf"), "did you mean 'gexf'"),
    ],
)
def test_what_is_refused(run, tmp_path: Path, words: tuple, said: str) -> None:
    (tmp_path / "a.csv").write_text("a,b\nb,c\n")
    (tmp_path / "x.csv").write_text("a,c\n1,0\n2,1\n")
    result = run(*words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err


@pytest.mark.data
def test_info_says_what_is_known_of_real_graphs(run, data: Path) -> None:
    known = json.loads((data / "FACTS.json").read_text())["reactome_HSA_child_to_parent"]
    path = data / "reactome" / "ReactomePathwaysRelation.txt"
    said = facts(fg.load(path, format="reactome"))
    assert said["nodes"].startswith(f"{known['nodes']:,}: {known['sources']:,} inputs")
    assert said["edges"] == f"{known['edges']:,}, {known['skip_edges']:,} of them skip a level"
    assert said["depth"] == str(known["depth_edges"])
    assert said["neurons a level"] == ", ".join(f"{n:,}" for n in known["nodes_per_level"])
    assert said["sources, sinks"] == f"{known['sources']:,}, {known['sinks']:,}"
    assert said["fan-in"].startswith("177 × 1, 217 × 2")
    assert said["fan-in"].endswith("up to 71")
    result = run("info", path, "--from", "reactome")
    assert result.code == 0
    assert "2,516" in result.out


def test_info_counts_parameters_and_dead_ends() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": 1.0}, activation="relu", trainable=False)
    net.add_neuron("idle", {"h": 1.0}, aggregation="max")
    net.add_neuron("y", {"h": 1.0})
    net.connect("x", "y", 0.5, param="k", trainable=False)
    net.set_outputs(["y"])
    said = facts(net)
    assert said["parameters"] == "5: 3 weights, 2 biases"
    assert said["frozen"] == "1 weights, 1 biases"
    assert said["shared weights"] == "1 edges under 1 names"
    assert said["dead: no output depends on them"] == "1 neurons: idle"
    assert said["constant: they depend on no input"] == "0 neurons"
    assert said["dense blocks"] == "none"
    assert facts(fg.topologies.layered([5, 7, 3]))["dense blocks"] == "2 (7 × 5, 3 × 7): 100% of the edges"
    assert said["activations"] == "1 identity, 1 relu, 1 tanh"
    assert said["aggregations"] == "2 sum, 1 max"
    assert said["fan-out"] == f"{np.sum([1, 1])} × 0, 2 × 2"


# ---- export -------------------------------------------------------------------------------------------------


def read_back(path: Path) -> nx.DiGraph:
    return nx.read_gexf(path) if path.suffix == ".gexf" else nx.read_graphml(path)


@pytest.mark.parametrize("sample", [None, 2])
@pytest.mark.parametrize("suffix", ["gexf", "graphml"])
def test_export_writes_what_both_passes_find(run, job: Path, executor: str, suffix: str, sample: int | None) -> None:
    words = [] if sample is None else ["--sample", sample]
    result = run(
        "export", "edges.csv", "--to", f"net.{suffix}", "--data", "samples.csv", "--executor", executor, *words
    )
    assert (result.code, result.err) == (0, "")
    assert "with z, a, dz, da, bias_gradient, gradient" in result.out
    net = fg.load(job / "edges.csv")
    table = np.genfromtxt(job / "samples.csv", delimiter=",", names=True)
    rows = slice(None) if sample is None else slice(sample, sample + 1)
    X, T = np.stack([table[v] for v in net.inputs], axis=1)[rows], table["y"][rows, None]
    program = fg.compile(net, executor="python", loss="squared_error")
    acts = program.forward(X)
    grads = program.backward(acts, T)
    graph = read_back(job / f"net.{suffix}")
    close = {"rel": 1e-10, "abs": 1e-14}
    for v, attributes in graph.nodes(data=True):
        for name, of_node in (("z", acts.z), ("a", acts.a), ("dz", grads.dz), ("da", grads.da)):
            assert attributes[name] == pytest.approx(of_node[v].mean(), **close)
        if v not in net.inputs:
            assert attributes["bias_gradient"] == pytest.approx(grads.bias[v], **close)
    for u, v, attributes in graph.edges(data=True):
        assert attributes["gradient"] == pytest.approx(grads.weight[u, v], **close)
    assert fg.load(job / f"net.{suffix}").outputs == net.outputs


def test_export_of_edges_in_columns(run, job: Path) -> None:
    pandas = pytest.importorskip("pandas")
    assert run("export", "edges.csv", "--to", "out.csv", "--data", "samples.csv", "--sample", 0).code == 0
    frame = pandas.read_csv(job / "out.csv")
    assert list(frame.columns) == ["source", "target", "weight", "gradient"]
    net = fg.load(job / "edges.csv")
    assert list(zip(frame.source, frame.target, strict=True)) == net.columns.ends
    assert frame.weight.tolist() == net.columns.weights.tolist()
    again = fg.load(job / "out.csv", weight_column="gradient")
    assert again.columns.weight.tolist() == frame.gradient.tolist()


def test_export_without_targets_has_no_gradients(run, job: Path) -> None:
    lines = (job / "samples.csv").read_text().splitlines()
    (job / "x.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    result = run("export", "edges.csv", "--to", "net.graphml", "--data", "x.csv")
    assert (result.code, result.err) == (0, "")
    assert result.out.rstrip().endswith("with z, a")
    assert "gradient" not in next(iter(read_back(job / "net.graphml").edges(data=True)))[2]


@pytest.mark.parametrize("name", names("formats"))
def test_export_to_every_format(run, job: Path, name: str) -> None:
    chosen = find("formats", name)
    if chosen.write is None:
        return
    net = fg.load(job / "edges.csv", activation="relu")
    c = net.columns
    ids = {"neat": range(c.n_nodes), "kpnn": [f"{v}_gene" if v in net.inputs else v for v in c.ids]}.get(name, c.ids)
    fg.save(fg.Network.from_columns(replace(c, ids=list(ids), weight=c.weights)), job / "n.json")
    result = run("export", "n.json", "--to", "out.any", "--format", name)
    assert result.code == 0
    assert result.err.startswith("warning: out.any holds") == (chosen.keeps in ("edges", "weights"))
    assert (job / "out.any").stat().st_size > 50


def test_export_to_the_page(run, job: Path) -> None:
    assert run("export", "edges.csv", "--to", "net.html", "--data", "samples.csv", "--sample", 1).code == 0
    assert b"<!doctype html" in (job / "net.html").read_bytes()[:200].lower()


def test_options_of_readers_from_the_command_line(run, tmp_path: Path) -> None:
    text = "pre;post;type\nA;B;x\nB;C;x\nA;C;y\n"
    (tmp_path / "worm.csv").write_text(text)
    words = ["source_column=pre", "target_column=post", "where.type=x", 'delimiter=";"', "outputs.C=end"]
    options = [word for option in words for word in ("--option", option)]
    result = run("convert", "worm.csv", "worm.nodelink.json", *options)
    assert (result.code, result.err) == (0, "")
    net = fg.load(tmp_path / "worm.nodelink.json")
    assert list(net.graph.edges) == [("A", "B"), ("B", "C")]
    assert net.graph.nodes["C"]["label"] == "end"


def test_a_cycle_is_named_with_its_file(run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\nb,c\nc,b\n")
    result = run("info", "a.csv")
    assert result.code == 2
    assert "a.csv: the graph has a cycle, and a feed-forward network has none: b → c → b" in result.err


def test_info_as_json(run, job: Path) -> None:
    found = json.loads(run("info", "edges.csv", "--json").out)
    assert (found["nodes"], found["edges"], found["nodes_per_level"]) == (6, 8, [3, 1, 1, 1])
    assert found["dead"] == []


@pytest.mark.parametrize(
    ("name", "file", "words", "wanted"),
    [
        ("edgelist", "n.csv", ["outputs=h"], {"outputs": ["h"]}),
        ("edgelist", "n.csv", ["inputs=7157,4193"], {"inputs": ["7157", "4193"]}),
        ("edgelist", "n.csv", ['inputs="7157","4193"'], {"inputs": ["7157", "4193"]}),
        ("edgelist", "n.csv", ['inputs="a,b", c ,"say ""so"""'], {"inputs": ["a,b", "c", 'say "so"']}),
        ("edgelist", "n.csv", ["integer_ids=true", "inputs=1,2"], {"integer_ids": True, "inputs": [1, 2]}),
        ("edgelist", "n.csv", ["inputs=1", "integer_ids=true"], {"integer_ids": True, "inputs": [1]}),
        ("edgelist", "n.parquet", ["inputs=1"], {"inputs": [1]}),
        ("edgelist", "n.csv", ["delimiter=,"], {"delimiter": ","}),
        ("edgelist", "n.csv", ["source_column=0", "target_column=to"], {"source_column": 0, "target_column": "to"}),
        (
            "edgelist",
            "n.csv",
            ['source_column="0"', "weight_column=false"],
            {"source_column": "0", "weight_column": False},
        ),
        ("edgelist", "n.csv", ["attributes=sign", "header=true"], {"attributes": ["sign"], "header": True}),
        ("edgelist", "n.csv", ["where.type=true", "where.n=3"], {"where": {"type": "true", "n": 3}}),
        ("edgelist", "n.csv", ["outputs.7=end", "outputs.y=3"], {"outputs": {"7": "end", "y": "3"}}),
        ("sif", "n.sif", ["relations=pp", "outputs=7"], {"relations": ["pp"], "outputs": ["7"]}),
        ("kpnn", "n.csv", ["measured=genes.txt"], {"measured": "genes.txt"}),
        ("kpnn", "n.csv", ["measured=TP53,MYC", "suffix="], {"measured": ["TP53", "MYC"], "suffix": ""}),
        ("node-link", "n.json", ["inputs=7"], {"inputs": [7]}),
        ("reactome", "n.txt", ["species=true"], {"species": "true"}),
    ],
)
def test_the_type_of_an_option_says_what_its_value_is(name: str, file: str, words: list[str], wanted: object) -> None:
    found = reader_options(words, find("formats", name), Path(file))
    assert found == wanted
    check_options(find("formats", name), "read", found)


def test_one_output_and_numeric_ids_on_the_command_line(run, tmp_path: Path) -> None:
    (tmp_path / "genes.csv").write_text("source,target\n7157,h\n4193,h\nh,y\n")
    for inputs in ("7157,4193", '"7157","4193"'):
        result = run("convert", "genes.csv", "n.json", "--option", "outputs=h", "--option", f"inputs={inputs}")
        assert (result.code, result.err) == (0, "")
        net = fg.load(tmp_path / "n.json")
        assert (net.inputs, net.outputs) == (("7157", "4193"), ("h",))
    with pytest.raises(fg.FlowgradError, match="must be a list of ids of nodes"):
        fg.load(tmp_path / "genes.csv", inputs=3)
