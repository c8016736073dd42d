"""Networks of neat-python and WANN: the original programs' outputs and gradients, and weights that go back."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import CycleError, DataError, GraphError, UnknownNameError
from flowgrad.formats import neat as neat_format
from flowgrad.formats import wann
from flowgrad.maths.foreign import entries
from flowgrad.registry import find


def _document(data: Path, name: str) -> dict:
    """A champion as neat-python JSON 1.0; the walker's file is a plainer listing of the same."""
    raw = json.loads((data / "neat_xor_biped" / f"{name}_winner.json").read_text())
    if "format_version" in raw:
        return raw
    nodes = [
        n | {key: {"name": n[key], "custom": False} for key in ("activation", "aggregation")} for n in raw["nodes"]
    ]
    topology = {"input_keys": raw["input_keys"], "output_keys": raw["output_keys"]}
    return {
        "format_version": "1.0",
        "network_type": "feedforward",
        "topology": topology,
        "nodes": nodes,
        "connections": raw["connections"],
    }


@pytest.mark.data
@pytest.mark.parametrize("name", ["xor", "bipedal"])
def test_neat_champions(data: Path, tmp_path: Path, name: str, executor: str) -> None:
    path = tmp_path / "net.neat.json"
    path.write_text(json.dumps(_document(data, name)))
    reference = json.loads((data / "neat_xor_biped" / f"{name}_reference.json").read_text())
    program = fg.compile(fg.load(path), executor=executor)
    acts = program.forward(reference["input"])
    np.testing.assert_allclose(acts.output, reference["output"], rtol=0, atol=1e-12)
    grads = program.backward(acts, cotangent=reference["cotangent_C"])
    for (u, v), g in zip(reference["edges"], reference["grad_weight"], strict=True):
        assert grads.weight[u, v] == pytest.approx(g, rel=1e-10, abs=1e-12)
    for v, g in zip(reference["node_order"], reference["grad_bias"], strict=True):
        assert grads.bias[v] == pytest.approx(g, rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(grads.input.array, reference["grad_input"], rtol=1e-10, atol=1e-12)
    if name == "bipedal":
        facts = json.loads((data / "FACTS.json").read_text())["neat_bipedal_winner"]
        graph = fg.load(path).graph
        assert (len(graph), graph.number_of_edges()) == (facts["nodes"], facts["edges"])


@pytest.mark.data
def test_xor_reaches_its_published_fitness(data: Path) -> None:
    net = fg.load(data / "neat_xor_biped" / "xor_winner.json", format="neat")
    y = fg.compile(net).predict([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])[:, 0]
    assert 4 - ((y - [0, 1, 1, 0]) ** 2).sum() == pytest.approx(3.9061692974679936, abs=1e-13)
    assert net.graph.graph["neat"]["fitness"] == 3.9061692974679936


def _every_function() -> fg.Network:
    """One hidden neuron for each of neat-python's functions, and one without in-edges that multiplies."""
    G = nx.DiGraph()
    hidden = 10
    for ours in neat_format.ACTIVATIONS.values():
        for aggregation in neat_format.AGGREGATIONS.values():
            G.add_node(hidden, activation=ours, aggregation=aggregation, bias=0.1, response=0.3)
            for k, u in enumerate((-1, -2, -3)):
                G.add_edge(u, hidden, weight=[0.7, -1.1, 0.45][k])
            G.add_edge(hidden, 0, weight=0.01 * (hidden - 60))
            hidden += 1
    G.add_node(5, activation="neat-tanh", aggregation="product", bias=0.2 + 0.5, response=0.5)
    G.add_edge(5, 0, weight=1.0)
    G.add_node(0, activation="identity", bias=-0.25)
    return fg.Network.from_networkx(G, inputs=[-1, -2, -3], outputs=[0])


def test_what_we_write_neat_python_runs_as_we_do(tmp_path: Path) -> None:
    neat = pytest.importorskip("neat", reason="neat-python is not installed")
    from neat.activations import ActivationFunctionSet
    from neat.aggregations import AggregationFunctionSet

    net = _every_function()
    program = fg.compile(net, loss="squared_error")
    X = np.random.default_rng(0).uniform(-2, 2, (40, 3))
    program.theta = program.theta + 0.01 * np.random.default_rng(1).standard_normal(len(program.theta))  # "trained"
    fg.save(program.network(), tmp_path / "net.neat.json")
    document = json.loads((tmp_path / "net.neat.json").read_text())
    act, agg = ActivationFunctionSet(), AggregationFunctionSet()
    links: dict[int, list] = {}
    for c in document["connections"]:
        links.setdefault(c["to"], []).append((c["from"], c["weight"]))
    neurons = [n for n in document["nodes"] if n["type"] != "input"]
    neurons.sort(key=lambda n: n["type"] == "output")
    evals = []
    for n in neurons:
        functions = act.get(n["activation"]["name"]), agg.get(n["aggregation"]["name"])
        evals.append((n["id"], *functions, n["bias"], n["response"], links.get(n["id"], [])))
    topology = document["topology"]
    theirs = neat.nn.FeedForwardNetwork(topology["input_keys"], topology["output_keys"], evals)
    wanted = np.array([theirs.activate(x) for x in X.tolist()])
    np.testing.assert_allclose(program.predict(X), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())
    again = fg.compile(fg.load(tmp_path / "net.neat.json"))
    np.testing.assert_allclose(again.predict(X), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.data
def test_neat_round_trip_keeps_every_value(data: Path, tmp_path: Path) -> None:
    net = fg.load(data / "neat_xor_biped" / "xor_winner.json", format="neat")
    fg.save(net, tmp_path / "a.neat.json")
    again = fg.load(tmp_path / "a.neat.json")
    assert nx.utils.graphs_equal(nx.DiGraph(again.graph), nx.DiGraph(net.graph))
    assert (again.inputs, again.outputs) == (net.inputs, net.outputs)


@pytest.mark.data
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format_version="2.0"), "format_version is '2.0'"),
        (lambda d: d.update(network_type="recurrent"), "only 'feedforward'"),
        (lambda d: d["nodes"][0]["activation"].update(name="sigmiod"), "did you mean 'sigmoid'"),
        (lambda d: d["nodes"][0].update(bias=None), r"nodes\[0\].bias is None"),
        (lambda d: d["nodes"].append(d["nodes"][0]), r"nodes\[5\]: node 249 is given twice"),
        (lambda d: d["connections"][0].update({"from": 77}), r"connections\[0\]: 77 is no node"),
        (lambda d: d["connections"][0].update(enabled=1), r"connections\[0\].enabled is 1"),
        (lambda d: d["connections"].append(d["connections"][0]), "connection -1 → 249 is given twice"),
        (
            lambda d: d["connections"].append({"from": 0, "to": 249, "weight": 1.0, "enabled": True}),
            "0 → 249 → 0|249 → 0 → 249",
        ),
        (lambda d: d["topology"].update(output_keys=[1]), "output 1 is no node"),
        (lambda d: d.pop("nodes"), "nodes is None: must be a list"),
        (lambda d: d["nodes"][0]["activation"].update(custom=True, name="mine"), "'mine'|mine, which is unknown"),
    ],
)
def test_a_neat_file_that_is_wrong_is_refused(data: Path, tmp_path: Path, change, words: str) -> None:
    document = copy.deepcopy(_document(data, "xor"))
    change(document)
    (tmp_path / "net.neat.json").write_text(json.dumps(document))
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / "net.neat.json")


def test_neat_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(fg.FlowgradError, match="node 'a' is a str: neat-python numbers"):
        fg.save(fg.topologies.from_edge_list([("a", "b")]), tmp_path / "n.neat.json")
    with pytest.raises(fg.FlowgradError, match="neat-python has no function 'gelu'"):
        fg.save(fg.topologies.layered([1, 1], output_activation="gelu"), tmp_path / "n.neat.json")


# ---- WANN ---------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("case", ["stored", "tuned", "shared_w=1", "shared_w=-1.5"])
def test_wann_champion(data: Path, executor: str, case: str) -> None:
    folder = data / "wann_racer"
    net = fg.load(folder / "racer.out")
    facts = json.loads((data / "FACTS.json").read_text())["wann_racer"]
    assert (net.columns.n_nodes, net.columns.n_edges, len(net.inputs), len(net.outputs)) == (106, 245, 16, 3)
    assert np.bincount(net.columns.level).tolist() == facts["nodes_per_level"]
    reference = json.loads((folder / "reference.json").read_text())
    wanted = reference["cases"][case]
    program = fg.compile(net, executor=executor)
    theta, slot = program.theta.copy(), program.theta_index.weight
    weights = dict(zip(map(tuple, reference["edges"]), wanted["weights"], strict=True))
    if case == "tuned":
        tuned = wann.read_tuned(folder / "vae_racing.wann.json", net)
        c = net.columns
        for u, v, w in zip(c.source.tolist(), c.target.tolist(), tuned, strict=True):
            assert w == pytest.approx(weights[u, v], abs=1e-12)
    for (u, v), w in weights.items():
        theta[slot[u, v]] = w
    acts = program.forward(reference["input"], theta)
    np.testing.assert_allclose(acts.output, wanted["output"], rtol=1e-12, atol=1e-12)
    grads = program.backward(acts, cotangent=reference["cotangent_C"])
    got = [grads.weight[u, v] for u, v in reference["edges"]]
    np.testing.assert_allclose(got, wanted["grad_w"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(grads.input.array, wanted["grad_input"], rtol=1e-9, atol=1e-11)


SMALL = "0,0,0.5,2,1\n0,0,nan,1.5,1\n0,0,0,-1,5\n0,0,0,0,9\n"


def test_a_small_wann_by_hand(tmp_path: Path) -> None:
    (tmp_path / "net.out").write_text(SMALL)
    net = fg.load(tmp_path / "net.out")
    assert (net.inputs, net.outputs) == ((1,), (3,))
    assert set(net.graph.edges) == {(0, 2), (0, 3), (1, 3), (2, 3)}
    y = fg.compile(net).predict([[0.3]])
    assert y[0, 0] == pytest.approx(max(0.0, 2 + 1.5 * 0.3 - np.tanh(0.5)), abs=1e-15)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SMALL.replace("1.5", "x"), "line 2: 'x'"),
        (SMALL.replace("-1,5", "-1,12"), "line 3: activation 12"),
        (SMALL.replace("0,0,0,0,9", "0,0,1,0,9"), "line 4: a connection from node 3 to node 2"),
        ("0,1\n", "n_inputs=0"),
        ("0,0,0\n0,0,0\n0,0,0\n", "N rows have N"),
        (SMALL.replace("1.5", "inf"), "line 2: 'inf'"),
    ],
)
def test_a_wann_that_is_wrong_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "net.out").write_text(content)
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / "net.out")


# ---- their functions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", entries)
def test_foreign_derivatives_by_differences(name: str) -> None:
    record = find("activations", name)
    for z in (-70.0, -13.0, -3.7, -1.3, -0.6, -0.011, 0.004, 0.37, 0.9, 2.2, 3.39, 11.0, 66.0):
        with np.errstate(all="ignore"):
            h = 1e-4 * max(abs(z), 1.0) if abs(z) > 0.1 else 1e-6
            near, far = ((record.f(np.float64(z + d)) - record.f(np.float64(z - d))) / (2 * d) for d in (h, 2 * h))
            wanted = near + (near - far) / 3
            got = record.df(np.float64(z))
        assert got == pytest.approx(wanted, rel=2e-6, abs=1e-8), z


@pytest.mark.parametrize("name", entries)
def test_nan_goes_through_foreign_functions(name: str) -> None:
    record = find("activations", name)
    with np.errstate(all="ignore"):
        assert np.isnan(record.f(np.float64("nan")))
        assert np.isnan(record.df(np.float64("nan")))


def _genome(nodes: dict, connections: dict) -> SimpleNamespace:
    """As neat-python has it: node key → (activation, aggregation, bias, response), ends → (weight, enabled)."""
    words = ("activation", "aggregation", "bias", "response")
    links = {k: SimpleNamespace(key=k, weight=w, enabled=e) for k, (w, e) in connections.items()}
    return SimpleNamespace(
        nodes={k: SimpleNamespace(**dict(zip(words, v, strict=True))) for k, v in nodes.items()}, connections=links
    )


def _population() -> tuple[list[SimpleNamespace], SimpleNamespace]:
    """Responses, a disabled connection, a dead node (9), orphans (4 and 5), an output that nothing feeds."""
    one = _genome(
        {
            0: ("tanh", "sum", 0.3, 0.7),
            3: ("sigmoid", "max", -0.2, 1.5),
            4: ("identity", "product", 0.25, 0.5),
            9: ("relu", "sum", 1.0, 1.0),
        },
        {
            (-1, 3): (0.4, True),
            (-2, 3): (-0.6, True),
            (3, 0): (1.1, True),
            (4, 0): (0.8, True),
            (3, 9): (2.0, True),
            (-1, 0): (9.0, False),
        },
    )
    two = _genome(
        {0: ("sigmoid", "sum", 0.1, 2.0), 5: ("tanh", "sum", 0.4, 1.0)}, {(5, 0): (-0.3, True), (-2, 0): (0.2, True)}
    )
    three = _genome({0: ("tanh", "sum", 0.2, 1.0)}, {})
    keys = SimpleNamespace(input_keys=[-1, -2], output_keys=[0])
    return [one, two, three], SimpleNamespace(genome_config=keys)


def test_a_population_computes_what_neat_python_computes_and_goes_back_into_its_genomes() -> None:
    neat = pytest.importorskip("neat", reason="neat-python is not installed")
    from neat.activations import ActivationFunctionSet
    from neat.aggregations import AggregationFunctionSet

    genomes, config = _population()
    config.genome_config.activation_defs = ActivationFunctionSet()
    config.genome_config.aggregation_function_defs = AggregationFunctionSet()
    X = np.random.default_rng(0).standard_normal((5, 2))

    def theirs() -> np.ndarray:
        nets = [neat.nn.FeedForwardNetwork.create(g, config) for g in genomes]
        return np.array([[n.activate(list(x))[0] for n in nets] for x in X])

    program = fg.compile(neat_format.population(genomes, config), executor="python")
    np.testing.assert_allclose(program.predict(X), theirs(), rtol=1e-13)
    assert [len(s) for s in program.theta_slices] == [4 + 3, 2 + 2, 1]
    program.theta = program.theta + 0.125
    neat_format.write_back(program.network(), genomes)
    np.testing.assert_allclose(theirs(), program.predict(X), rtol=1e-13)
    assert genomes[0].connections[-1, 0].weight == 9.0, "a disabled connection is let be"


def test_a_population_is_the_union_of_its_genomes() -> None:
    genomes, config = _population()
    both = neat_format.population(dict(enumerate(genomes)), config)
    one = neat_format.population([(7, genomes[0])], config)
    assert both.inputs == (-1, -2)
    assert both.outputs == ((0, 0), (1, 0), (2, 0))
    a, b = (fg.compile(net, executor="python") for net in (both, one))
    np.testing.assert_array_equal(a.theta[a.theta_slices[0]], b.theta)


def test_a_population_says_which_genome_is_wrong() -> None:
    genomes, config = _population()
    with pytest.raises(DataError, match="one genome or more"):
        neat_format.population([], config)
    with pytest.raises(DataError, match="a list of genomes, not 5"):
        neat_format.population(5, config)
    with pytest.raises(DataError, match="genome_config"):
        neat_format.population(genomes, None)
    with pytest.raises(DataError, match="genome 1 is 3"):
        neat_format.population([genomes[0], 3], config)
    genomes[1].nodes[0].activation = "tahn"
    with pytest.raises(UnknownNameError, match=r"no activation 'tahn'.*'tanh'"):
        neat_format.population(genomes, config)
    with pytest.raises(DataError, match="1 are given"):
        neat_format.write_back(neat_format.population([genomes[0], genomes[2]], config), genomes[:1])
    genomes[2].connections[8, 0] = SimpleNamespace(key=(8, 0), weight=1.0, enabled=True)
    with pytest.raises(GraphError, match="genome 2: 8 is neither"):
        neat_format.population(genomes, config)
    a = _genome({0: ("tanh", "sum", 0.0, 1.0), 1: ("tanh", "sum", 0.0, 1.0)}, {(0, 1): (1, True), (1, 0): (1, True)})
    with pytest.raises(CycleError):
        neat_format.population([a], config)
