"""A name in a file stands for one function, found in the registries or given to load, and imports nothing."""

from __future__ import annotations

import dataclasses
import json
from hashlib import sha256

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import DataError, GraphError, UnknownNameError
from flowgrad.maths.aggregations import Aggregation
from flowgrad.registry import find, names


def softcube(z: float) -> float:
    return z * z * z / (1.0 + z * z)


def dsoftcube(z: float) -> float:
    return z * z * (3.0 + z * z) / ((1.0 + z * z) * (1.0 + z * z))


def twice(z: float) -> float:
    return 2.0 * z


def dtwice(z: float) -> float:
    return 2.0


SOFTCUBE = fg.Activation("softcube", softcube, dsoftcube)


def with_activations(*activations: str | fg.Activation) -> fg.Network:
    net = fg.Network()
    net.add_input("x")
    for k, activation in enumerate(activations):
        net.add_neuron(k, {"x": 0.5 + k}, activation=activation)
    return net


def test_every_function_of_flowgrad_comes_back(path):
    net = fg.Network()
    net.add_input("x")
    for name in names("activations"):
        net.add_neuron(f"σ {name}", ["x"], activation=name)
    for name in names("aggregations"):
        net.add_neuron(f"m {name}", ["x"], aggregation=name)
    fg.save(net, path)
    loaded = fg.load(path)
    assert loaded.columns.activations == net.columns.activations
    assert loaded.columns.aggregations == net.columns.aggregations


def test_your_own_activation_comes_back_by_name(path, executor):
    net = with_activations(SOFTCUBE, "tanh")
    fg.save(net, path)
    loaded = fg.load(path, activations=[SOFTCUBE])
    assert loaded.columns.activations == net.columns.activations
    X = np.linspace(-2, 2, 7)[:, None]
    before, after = (fg.compile(n, executor=executor).predict(X) for n in (net, loaded))
    assert before.tobytes() == after.tobytes()


def test_an_unknown_activation_is_an_error_with_the_nearest_name_and_a_hint(path):
    fg.save(with_activations(SOFTCUBE), path)
    with pytest.raises(UnknownNameError, match=r"activation softcube.*load\(\.\.\., activations=\[\.\.\.\]\)"):
        fg.load(path)
    near = fg.Activation("softcubes", softcube, dsoftcube)
    with pytest.raises(UnknownNameError, match="did you mean 'softcubes'"):
        fg.load(path, activations=[near])


def test_your_own_activation_with_the_name_of_a_built_in_is_refused(path):
    mine = fg.Activation("tanh", twice, dtwice)
    with pytest.raises(GraphError, match=r"Activation\('tanh', f=twice.*also stands for Activation\('tanh', f=hyp"):
        fg.save(with_activations(mine), path)
    with pytest.raises(DataError, match="that name already stands for"):
        fg.load(path, activations=[mine])
    assert not list(path.parent.iterdir())


def test_two_activations_of_one_name_are_refused(path):
    other = fg.Activation("softcube", twice, dtwice)
    with pytest.raises(GraphError, match=r"softcube.*f=twice.*also stands for.*f=softcube"):
        fg.save(with_activations(SOFTCUBE, other), path)
    with pytest.raises(DataError, match="that name already stands for"):
        fg.load(path, activations=[SOFTCUBE, other])
    fg.save(with_activations(SOFTCUBE, fg.Activation("softcube", softcube, dsoftcube)), path)
    assert len(fg.load(path, activations=[SOFTCUBE, SOFTCUBE]).nodes) == 3


def test_a_built_in_given_as_a_record_is_that_built_in(path):
    fg.save(with_activations(find("activations", "tanh")), path)
    assert fg.load(path, activations=[find("activations", "tanh")]).columns.activations[0].name == "tanh"


def test_odd_names_of_activations(path):
    odd = [fg.Activation(name, softcube, dsoftcube) for name in ("a b", "\n", '"', "\ud800", "os.system", "x" * 4096)]
    fg.save(with_activations(*odd), path)
    assert [a.name for a in fg.load(path, activations=odd).columns.activations] == [a.name for a in odd]


def test_your_own_aggregation_goes_the_same_way(path):
    mean = find("aggregations", "mean")
    mine = Aggregation("mine", mean.f, mean.df)
    net = with_activations("tanh")
    net = fg.Network.from_columns(dataclasses.replace(net.columns, aggregations=(mine,)))
    fg.save(net, path)
    with pytest.raises(UnknownNameError, match="aggregation mine"):
        fg.load(path)
    assert fg.load(path, activations=[mine]).columns.aggregations == (mine,)


def test_what_activations_may_be(path):
    fg.save(with_activations("tanh"), path)
    for wrong in ("tanh", SOFTCUBE, 3, ["tanh"], [softcube]):
        with pytest.raises(DataError, match="activations"):
            fg.load(path, activations=wrong)
    fg.load(path, activations=iter([SOFTCUBE]))


@pytest.mark.parametrize("name", ["os.system", "flowgrad.files:save", "antigravity", "__import__('os')", "tanh\0", ""])
def test_names_import_nothing(tmp_path, name, monkeypatch):
    path = tmp_path / "net.json"
    fg.save(with_activations("tanh"), path)
    document = json.loads(path.read_text())
    del document["sha256"]
    document["activations"] = [name]
    lines = "".join(f"{json.dumps(k)}: {json.dumps(v)},\n" for k, v in document.items())
    body = f"{{\n{lines}".encode()
    path.write_bytes(body + f'"sha256": "{sha256(body).hexdigest()}"\n}}\n'.encode())
    imported = []
    real = __import__("importlib").import_module

    def watched(module, package=None):
        imported.append(module)
        return real(module, package)

    for place in ("importlib.import_module", "flowgrad.registry.import_module"):
        monkeypatch.setattr(place, watched)
    with pytest.raises(UnknownNameError, match="unknown here"):
        fg.load(path)
    assert set(imported) <= {"flowgrad", "flowgrad.maths.activations", "flowgrad.formats.json"}, imported
    assert not [module for module in imported if name and name in module]
