"""The public functions have one form, and every way to make a network has the same defaults.

Order: program (or network), X, T, then names of nodes; all else by keyword. Where a function looks at samples through a
program's θ it takes `theta=` and `sample=`.
"""

from __future__ import annotations

import inspect
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, GraphError, UnknownNameError
from flowgrad.registry import TABLES, find, names

POSITIONAL, KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
DATA = ("program", "network", "X", "T")
NODES = ("node", "source", "target", "outputs")
ONE, ALL = 0, None  # what `sample` is by default: the first row, or all of them


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions that take a program or a network, and samples."""
    for home in (fg, fg.inspection):
        for name in home.__all__:
            value = getattr(home, name)
            if inspect.isfunction(value) and "X" in inspect.signature(value).parameters:
                yield name, value


FUNCTIONS = dict(functions())
LOOKING = {
    "explain": ONE,
    "trace": ONE,
    "path_attribution": ONE,
    "health": ALL,
    "node_importance": ALL,
    "gradcheck": ALL,
}


def test_the_functions_that_look_at_samples_are_all_here() -> None:
    assert set(FUNCTIONS) == {*LOOKING, "fit", "minimize", "importance_stability"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_data_come_first_then_nodes_and_the_rest_by_keyword(name: str) -> None:
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    placed = [p for p, value in parameters.items() if value.kind is POSITIONAL]
    order = [*DATA, *NODES]
    assert placed == sorted(placed, key=order.index)
    assert all(value.kind is KEYWORD for p, value in parameters.items() if p not in order)


@pytest.mark.parametrize("name", LOOKING)
def test_what_looks_at_samples_takes_theta_and_sample(name: str) -> None:
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert parameters["theta"].default is None
    assert parameters["sample"].default == LOOKING[name]
    rest = [p for p in parameters if p in ("theta", "sample")]
    assert rest == ["theta", "sample"]


# ---- theta= and sample= do what they say ------------------------------------------------------------------------

CALLS: dict[str, Callable[..., Any]] = {
    "explain": lambda p, X, T, **k: fg.inspection.explain(p, X, T, "h", **k),
    "trace": lambda p, X, T, **k: [s for s in fg.inspection.trace(p, X, T, **k) if "head" not in s],
    "path_attribution": lambda p, X, T, **k: repr(fg.inspection.path_attribution(p, X, "x", "y", **k)),
    "health": lambda p, X, T, **k: fg.inspection.health(p, X, T, **k).gradient.tolist(),
    "node_importance": lambda p, X, T, **k: fg.inspection.node_importance(p, X, T, **k).records(),
    "gradcheck": lambda p, X, T, **k: [(s.label, s.analytic) for s in fg.gradcheck(p, X, T, **k).slots],
}


def graph() -> Any:
    return nx.DiGraph([("x", "h"), ("u", "h"), ("h", "k"), ("k", "y"), ("x", "k")])


@pytest.mark.parametrize("name", LOOKING)
def test_theta_stands_in_the_place_of_the_program_s(name: str, executor: str) -> None:
    program = fg.compile(fg.Network.from_networkx(graph()), executor=executor, loss="squared_error")
    X, T = np.array([[0.5, -1.0], [1.5, 0.25]]), np.array([[0.1], [0.9]])
    theta = program.theta + 0.125
    found = CALLS[name](program, X, T, theta=theta)
    assert found != CALLS[name](program, X, T)
    program.theta = theta
    assert found == CALLS[name](program, X, T)


@pytest.mark.parametrize("name", LOOKING)
def test_a_sample_is_that_row_alone(name: str, executor: str) -> None:
    program = fg.compile(fg.Network.from_networkx(graph()), executor=executor, loss="squared_error")
    X, T = np.array([[0.5, -1.0], [1.5, 0.25]]), np.array([[0.1], [0.9]])
    said = str(CALLS[name](program, X, T, sample=1)).replace("at sample 1", "at sample 0")
    assert said == str(CALLS[name](program, X[1:], T[1:]))
    by_name = {v: X[:, k] for k, v in enumerate(program.inputs)}
    assert str(CALLS[name](program, by_name, {"y": T[:, 0]}, sample=1)).replace("at sample 1", "at sample 0") == said
    for wrong in (2, -1, True, "first"):
        with pytest.raises(fg.FlowgradError, match="sample="):
            CALLS[name](program, X, T, sample=wrong)


def test_one_sample_of_a_class_and_of_a_weight() -> None:
    program = fg.compile(fg.Network.from_networkx(graph()), executor="python", loss="squared_error")
    X, T = np.array([[0.5, -1.0], [1.5, 0.25]]), np.array([[0.1], [0.9]])
    found = fg.inspection.node_importance(program, X, classes=["a", "b"], sample=1)
    assert list(found.classes) == ["b"]
    assert found.samples == 1
    weighed = fg.gradcheck(program, X, T, sample=1, sample_weight=[9.0, 3.0])
    assert weighed.slots[0].analytic == fg.gradcheck(program, X[1:], T[1:], sample_weight=[3.0]).slots[0].analytic


# ---- former orders ----------------------------------------------------------------------------------------------


def test_the_former_orders_are_taken_with_a_warning() -> None:
    program = fg.compile(fg.Network.from_networkx(graph()), executor="python", loss="squared_error")
    X, T = [[0.5, -1.0]], [[0.1]]
    with pytest.warns(DeprecationWarning, match=r"explain\(program, X, T, node\) now"):
        assert fg.inspection.explain(program, "h", X, T) == fg.inspection.explain(program, X, T, "h")  # type: ignore[arg-type]  # of a wrong type on purpose
    with pytest.warns(DeprecationWarning, match="outputs=outputs"):
        former = fg.inspection.node_importance(program, X, ["y"])
    assert former.records() == fg.inspection.node_importance(program, X, outputs=["y"]).records()


def test_the_former_name_of_schedules_warns() -> None:
    sys.modules.pop("flowgrad.schedule", None)
    with pytest.warns(DeprecationWarning, match=r"flowgrad\.schedules now"):
        from flowgrad.schedule import cosine
    assert cosine is fg.schedules.cosine


# ---- every way to make a network --------------------------------------------------------------------------------

DOORS: dict[str, Callable[..., Any]] = {
    "from_networkx": fg.Network.from_networkx,
    "from_edge_list": fg.topologies.from_edge_list,
    **{name: find("topologies", name) for name in names("topologies")},
}
READERS = {
    name: find("formats", name).read
    for name in names("formats")
    if find("formats", name).read and "initializer" in inspect.signature(find("formats", name).read).parameters
}
FIXED = {  # reader → what it takes at outputs, and why: docs/formats.md
    "gennet": "sigmoid",
    "dcell": "tanh",
    "drugcell": "tanh",
}
AT_ONCE = ("gmt",)  # its neurons are outputs: `activation` alone is theirs


@pytest.mark.parametrize("name", [*DOORS, *READERS])
def test_functions_and_weights_are_the_same_by_default(name: str) -> None:
    parameters = inspect.signature((DOORS | READERS)[name]).parameters
    assert parameters["initializer"].kind is KEYWORD
    assert parameters["initializer"].default is None
    assert parameters["seed"].default == 0
    if name not in AT_ONCE:
        assert parameters["activation"].default == "tanh"
        assert parameters["output_activation"].default == FIXED.get(name, "identity")


def test_every_reader_that_draws_weights_takes_an_initializer() -> None:
    drawing = [n for n in names("formats") if find("formats", n).read]
    drawing = [n for n in drawing if "seed" in inspect.signature(find("formats", n).read).parameters]
    assert set(drawing) == set(READERS)


def test_arrays_and_networks_by_hand_take_the_same() -> None:
    arrays = inspect.signature(fg.Network.from_arrays).parameters
    assert (arrays["activation"].default, arrays["output_activation"].default) == ("tanh", None)
    assert [arrays[name].kind for name in ("output_activation", "initializer")] == [KEYWORD, KEYWORD]
    by_hand = inspect.signature(fg.Network).parameters
    assert (by_hand["seed"].default, by_hand["initializer"].default) == (0, None)


EDGES = [("x", "h"), ("h", "k"), ("k", "y")]
FILES = {
    "edgelist": "".join(f"{u},{v}\n" for u, v in EDGES),
    "node-link": json.dumps(
        {
            "directed": True,
            "nodes": [{"id": v} for v in "xhky"],
            "edges": [{"source": u, "target": v} for u, v in EDGES],
        }
    ),
    "kpnn": "parent,child\nh,x_gene\nk,h\ny,k\n",
    "reactome": "R-HSA-4\tR-HSA-3\nR-HSA-3\tR-HSA-2\nR-HSA-2\tR-HSA-1\n",
    "gmt": "y\tthe first\tx\n",
    "gennet": "layer0_node,layer0_name,layer1_node,layer1_name\n0,s,0,g\n",
    "dcell": "ROOT: y 1\nGENES: \nTERMS: k\nROOT: k 1\nGENES: x\nTERMS: \n",
    "drugcell": "y\tk\tdefault\nk\tx\tgene\n",
}


def by_hand(**given: Any) -> fg.Network:
    net = fg.Network(**{key: value for key, value in given.items() if key in ("seed", "initializer")})
    net.add_input("x")
    functions = {key: value for key, value in given.items() if key == "activation"}
    for u, v in EDGES:
        last = {"activation": given["output_activation"]} if "output_activation" in given else {}
        net.add_neuron(v, [u], **(last if v == "y" else functions))
    return net


def made(tmp_path: Path) -> dict[str, Callable[..., fg.Network]]:
    """Ways to make a network, each taking the options that all have."""
    ways: dict[str, Callable[..., fg.Network]] = {
        "from_networkx": lambda **k: fg.Network.from_networkx(nx.DiGraph(EDGES), **k),
        "from_arrays": lambda **k: fg.Network.from_arrays(
            [0, 1, 2], [1, 2, 3], **({"output_activation": "identity"} | k)
        ),
        "by hand": by_hand,
        "from_edge_list": lambda **k: fg.topologies.from_edge_list(EDGES, **k),
        "layered": lambda **k: fg.topologies.layered([1, 1, 1, 1], **k),
        "random_dag": lambda **k: fg.topologies.random_dag(2, 9, fan_in=2, **k),
        "watts_strogatz": lambda **k: fg.topologies.watts_strogatz(8, 4, 0.5, **k),
        "erdos_renyi": lambda **k: fg.topologies.erdos_renyi(8, 0.5, **k),
        "barabasi_albert": lambda **k: fg.topologies.barabasi_albert(8, 2, **k),
    }
    for name, content in FILES.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(content, encoding="utf-8")
        ways[name] = lambda path=path, name=name, **k: fg.load(path, name, **k)
    return ways


def test_every_way_gives_the_same_functions(tmp_path: Path) -> None:
    for name, way in made(tmp_path).items():
        for given in ({}, {"activation": "relu"}, {"output_activation": "softplus"}):
            net = way(**given)
            hidden, last = given.get("activation", "tanh"), given.get("output_activation", FIXED.get(name, "identity"))
            if name in AT_ONCE and "activation" in given:
                last = hidden
            for v in net.nodes:
                if v not in net.inputs:
                    assert net.graph.nodes[v]["activation"] == (last if v in net.outputs else hidden), (name, v)


def test_every_way_draws_weights_by_the_initializer(tmp_path: Path) -> None:
    nothing = fg.Initializer("nothing", lambda fan_in, fan_out: 0.0)
    for name, way in made(tmp_path).items():
        assert (way().columns.weights != 0).all(), name
        assert (way(initializer=nothing).columns.weights == 0).all(), name
        rules = "he", fg.initializers.entries["glorot"], "glorot_spectral"
        he, glorot, saturating = (way(initializer=rule, seed=3).columns for rule in rules)
        function = [glorot.activations[code].name for code in glorot.activation[glorot.target]]
        suits_tanh, suits_the_rest = saturating.weights, glorot.weights
        expected = np.where(np.array(function) == "tanh", suits_tanh, suits_the_rest)
        np.testing.assert_array_equal(way(seed=3).columns.weights, expected)
        fan_in, fan_out = (np.bincount(end, minlength=he.n_nodes)[end] for end in (he.target, he.source))
        np.testing.assert_allclose(he.weights, glorot.weights * np.sqrt((fan_in + fan_out) / fan_in), rtol=1e-12)
        with pytest.raises(UnknownNameError, match="did you mean 'glorot'"):
            _ = way(initializer="xavier").columns
        for wrong in (lambda i, o: np.nan, lambda i, o: -1.0, lambda i, o: np.ones(99), lambda i, o: "x"):
            with pytest.raises(GraphError, match="initializer 'mine' gives"):
                _ = way(initializer=fg.Initializer("mine", wrong)).columns.weights


def test_an_initializer_stays_with_the_network() -> None:
    nothing = fg.Initializer("nothing", lambda fan_in, fan_out: 0.0)
    net = fg.Network.from_networkx(nx.DiGraph(EDGES), initializer=nothing)
    net.add_neuron("z", ["y"])
    assert net.columns.weights.tolist() == [0.0] * 4
    assert fg.union([net, net]).columns.initializer == nothing
    assert fg.union([net, fg.topologies.layered([1, 1])]).columns.initializer is None


@pytest.mark.parametrize("wrong", [3, ["he"]])
def test_what_is_no_initializer_is_refused(wrong: Any) -> None:
    with pytest.raises(GraphError, match="give a name, an Initializer, or None"):
        fg.Network.from_networkx(nx.DiGraph(EDGES), initializer=wrong)
    with pytest.raises(ConfigError, match="must be a text, not empty"):
        fg.Initializer("", lambda i, o: 1.0)
    with pytest.raises(ConfigError, match="cannot be called"):
        fg.Initializer("mine", 1.0)  # type: ignore[arg-type]  # wrong on purpose


def test_a_neuron_by_hand_that_turns_out_to_be_an_output_is_plain() -> None:
    net = by_hand()
    assert net.graph.nodes["y"]["activation"] == "identity"
    net.add_neuron("z", ["y"])  # y is hidden now
    assert [net.graph.nodes[v]["activation"] for v in "hkyz"] == ["tanh", "tanh", "tanh", "identity"]
    net.set_outputs(["k", "z"])
    assert [net.graph.nodes[v]["activation"] for v in "hkyz"] == ["tanh", "identity", "tanh", "identity"]


# ---- what arguments accept is exported --------------------------------------------------------------------------


def test_records_that_arguments_take_are_public() -> None:
    program = fg.compile(
        fg.topologies.layered([1, 2, 1], initializer=fg.Initializer("mine", lambda i, o: i**-0.5)),
        executor="python",
        loss=fg.Loss("mine", lambda y, t: (y - t) ** 2, lambda y, t: 2 * (y - t)),
    )
    metric = fg.metrics.Metric("bias", lambda y, t, loss: float((y - t).mean()))
    for optimizer in (
        fg.optimizers.SGD(momentum=0.9),
        fg.optimizers.Adam(beta1=0.8),
        fg.optimizers.AdamW(),
        fg.optimizers.RMSprop(),
    ):
        history = fg.fit(
            program, [[1.0], [2.0]], [[0.5], [0.1]], optimizer=optimizer, epochs=2, metrics=[metric],
            schedule=fg.schedules.step(1),
        )  # fmt: skip
        assert history.names[:4] == ("epoch", "loss", "bias", "rate")
        assert history["rate"].tolist() == [optimizer.learning_rate, optimizer.learning_rate * 0.1]


@pytest.mark.parametrize("kind", TABLES)
def test_kinds_with_a_table_are_found_by_name(kind: str) -> None:
    assert names(kind)
    assert all(find(kind, name) is not None for name in names(kind))
    with pytest.raises(UnknownNameError, match="did you mean"):
        find(kind, names(kind)[0] + "x")


def test_another_package_adds_metrics_schedules_and_topologies(package: Callable[..., None]) -> None:
    package(
        "import flowgrad as fg\n"
        "worst = fg.metrics.Metric('worst', lambda y, t, loss: float(abs(y - t).max()))\n"
        "def halves(epochs):\n    'Half as much each epoch.'\n    return lambda epoch: 0.5 ** (epoch - 1)\n"
        "def star(n_inputs=1, n_outputs=1, **given):\n    'Inputs to outputs.'\n"
        "    return fg.topologies.layered([n_inputs, n_outputs], **given)\n"
        "tiny = fg.Initializer('tiny', lambda fan_in, fan_out: 1e-3)\n",
        metrics="worst", schedules="halves", topologies="star", initializers="tiny",
    )  # fmt: skip
    assert find("metrics", "worst").name == "worst"
    assert names("topologies")[-1] == "star"
    net = find("topologies", "star")(2, 1, initializer="tiny")
    assert abs(net.columns.weights).max() < 0.1
    program = fg.compile(net, executor="python", loss="squared_error")
    history = fg.fit(program, [[1.0, 0.0]], [[0.5]], epochs=3, metrics=["worst"], schedule="halves", learning_rate=1.0)
    assert history["rate"].tolist() == [1.0, 0.5, 0.25]
    assert len(history["worst"]) == 3
    from flowgrad.cli import _config
    from flowgrad.shapes import shaped

    given = {"network": {"topology": "star", "initializer": "tiny"}, "data": {"file": "x.csv"}}
    config = _config.check(given | {"train": {"metrics": ["worst"], "schedule": "halves"}})
    assert shaped("star", config["network"], ["a", "b"], ["c"]).nodes == ("a", "b", "c")


# ---- the command line's configuration says the same -------------------------------------------------------------


def config(**train: Any) -> Any:
    from flowgrad.cli import _config

    given = {"network": {"topology": "layered"}, "data": {"file": "x.csv"}, "train": train}
    return _config.check(given)


def test_a_configuration_has_the_same_functions() -> None:
    network = config()["network"]
    assert (network["activation"], network["output_activation"], network["initializer"]) == ("tanh", "identity", None)


@pytest.mark.parametrize("name", names("optimizers"))
def test_the_table_of_an_optimizer_has_the_settings_of_its_record(name: str) -> None:
    from flowgrad import toml_text
    from flowgrad.cli import _config

    record = find("optimizers", name)
    settings = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ("name", "summary")}
    assert fg.optimizers.settings_of(name) == settings
    given = config(optimizer={"name": name} | settings)
    assert _config.optimizer_of(given["train"]["optimizer"]) == record
    again = _config.check(tomllib.loads(toml_text.document(given)))
    assert again == given
    changed = config(optimizer={"name": name, "learning_rate": 0.25})
    assert _config.optimizer_of(changed["train"]["optimizer"]).learning_rate == 0.25


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ({"momentum": 0.9}, "train.optimizer.name is missing"),
        ({"name": 3}, "train.optimizer.name = 3: must be a text"),
        ({"name": "sdg"}, "did you mean 'sgd'"),
        ({"name": "sgd", "momentun": 0.9}, "did you mean 'momentum'"),
        ({"name": "sgd", "momentum": 2}, r"train.optimizer: momentum=2: must be"),
        ({"name": "sgd", "nesterov": True}, "nesterov=True: needs momentum"),
        ({"name": "adam", "beta1": "0.9"}, "beta1='0.9': must be"),
        (7, "must be a name, or a table"),
    ],
)
def test_a_wrong_table_of_an_optimizer_is_refused_by_name(optimizer: Any, said: str) -> None:
    with pytest.raises(fg.FlowgradError, match=said):
        config(optimizer=optimizer)


def test_a_learning_rate_stands_in_one_place() -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        config(optimizer={"name": "sgd", "learning_rate": 0.1}, learning_rate=0.2)


def test_a_topology_that_the_data_cannot_size_is_refused() -> None:
    from flowgrad.cli import _config

    with pytest.raises(ConfigError, match=r"random_dag.*numbers of inputs and outputs"):
        _config.check({"network": {"topology": "random_dag"}, "data": {"file": "x.csv"}})


def test_gradcheck_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    program = fg.compile(fg.topologies.layered([2, 3, 1]), executor="python", loss="squared_error")
    check = fg.gradcheck(program, [[0.5, 1.0]], [[0.25]])
    assert capsys.readouterr().out == ""
    lines = repr(check).splitlines()
    assert "analytic" in lines[0]
    assert "numeric" in lines[0]
    assert len(lines) == 12
    assert lines[-1].startswith("passed: 13 of 13 slots of θ")
    assert str(check) == repr(check) == check.table()
    assert len(check.table(3).splitlines()) == 5
