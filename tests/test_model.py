"""A model: a network with what its data needs. Saved, loaded elsewhere, exported: the predictions are the same."""

from __future__ import annotations

import ctypes
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, FileError, ShapeError, UnknownNameError
from flowgrad.scaling import Scaling

pytest.importorskip("safetensors")

NAMES = ("mean radius", "größe", "x3")
RNG = np.random.default_rng(7)
X = RNG.normal(size=(20, 3)) * [5.0, 0.01, 300.0] + [12.0, -1.0, 900.0]
INPUTS = Scaling.of(X)


def network(outputs: int, seed: int = 1) -> fg.Network:
    return fg.topologies.layered([3, 5, outputs], output_activation="identity", seed=seed)


def binary() -> fg.Model:
    return fg.Model(network(1), NAMES, label="diagnosis", classes=("benign", "malignant"), scaling=INPUTS)


def multiclass() -> fg.Model:
    return fg.Model(network(3), NAMES, label="who", classes=("ann", "bob, the 2nd", "Ωmega"), scaling=INPUTS)


def regression() -> fg.Model:
    scaled = Scaling([1e4, -3.0], [2500.0, 0.1])
    return fg.Model(network(2), NAMES, ("price", "age"), scaling=INPUTS, target_scaling=scaled, loss="squared_error")


MODELS = {"binary": binary, "multi-class": multiclass, "regression": regression}
every = pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))


def frame(values: Any = X) -> dict[str, Any]:
    """By name, in another order, with a column more."""
    columns = dict(zip(NAMES, values.T, strict=True))
    return {"patient": ["p"] * len(values)} | {name: columns[name] for name in reversed(NAMES)}


def answers(model: fg.Model, outputs: Any) -> Any:
    """What a model predicts, from the outputs of its folded network; counted here."""
    if not model.classes:
        return outputs
    y = outputs[:, 0]
    chosen = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (y > 0).astype(int)
    return np.array(model.classes)[chosen]


def same(found: Any, wanted: Any, tolerance: float = 1e-9) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    if wanted.dtype.kind in "UO":
        assert found.tolist() == wanted.tolist()
    else:
        np.testing.assert_allclose(found, wanted, rtol=tolerance)


# ---- predicting -----------------------------------------------------------------------------------------------------


@every
def test_predictions_are_those_of_the_folded_network_on_raw_columns(make: Any) -> None:
    model = make()
    outputs = fg.compile(model.folded(), executor="python").predict(X)
    same(model.predict(frame()), answers(model, outputs))
    same(model.predict(X), model.predict(frame()))
    same(model.outputs(X) if model.classes else model.predict(X), outputs)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@every
def test_data_frames_are_read_by_name(make: Any, library: str) -> None:
    frames = pytest.importorskip(library)
    model = make()
    make_frame = frames.table if library == "pyarrow" else frames.DataFrame
    same(model.predict(make_frame(frame())), model.predict(X))


def test_ids_that_are_no_text_stand_for_their_columns() -> None:
    model = fg.Model(network(1), loss="squared_error")
    assert model.inputs == ("0", "1", "2")
    same(model.predict({0: X[:, 0], "1": X[:, 1], 2: X[:, 2]}), model.predict(X))


def test_probabilities_are_of_the_classes_in_their_order() -> None:
    p = multiclass().predict_proba(X)
    y = multiclass().outputs(X)
    e = np.exp(y - y.max(axis=1, keepdims=True))
    same(p, e / e.sum(axis=1, keepdims=True))
    p, y = binary().predict_proba(X), binary().outputs(X)[:, 0]
    same(p, np.stack([1 / (1 + np.exp(y)), 1 / (1 + np.exp(-y))], axis=1))
    with pytest.raises(ConfigError, match="has targets"):
        regression().predict_proba(X)


def test_small_probabilities_keep_their_digits() -> None:
    net = fg.Network.from_arrays([0], [1], weight=[1.0], activation="identity")
    p = fg.Model(net, classes=("a", "b")).predict_proba([[60.0], [-60.0]])
    assert p[0, 0] == pytest.approx(np.exp(-60.0))
    assert p[1, 1] == pytest.approx(np.exp(-60.0))


LINKS = [("poisson", np.exp), ("binary_cross_entropy", lambda y: 1 / (1 + np.exp(-y))), ("huber", lambda y: y)]


@pytest.mark.parametrize(("loss", "link"), LINKS)
def test_numbers_are_what_the_loss_says_that_outputs_predict(loss: str, link: Any) -> None:
    model = fg.Model(network(1), NAMES, scaling=INPUTS, loss=loss)
    same(model.predict(X), link(model.outputs(X)))


def test_classes_keep_their_types() -> None:
    assert fg.Model(network(3), classes=np.array([2, 0, 1])).predict(X).dtype.kind == "i"
    mixed = fg.Model(network(3), classes=(1, "two", 3.5)).predict(X)
    assert set(mixed.tolist()) <= {1, "two", 3.5}


@pytest.mark.parametrize(
    ("columns", "error", "said"),
    [
        ({"mean radus": X[:, 0], "größe": X[:, 1], "x3": X[:, 2]}, UnknownNameError, "did you mean 'mean radus'"),
        ({"größe": X[:, 1], "x3": X[:, 2]}, UnknownNameError, "lacks the column of input 'mean radius'"),
        (frame() | {"x3": ["a"] * 20}, DataError, "X['x3'] holds text"),
        (frame() | {"x3": X[:5, 2]}, ShapeError, "columns of X have unequal lengths"),
        (X[:, :2], ShapeError, "must be (B, 3)"),
        (X[0], ShapeError, "one sample is X[None, :]"),
        (X[:0], DataError, "empty batch"),
    ],
)
def test_what_cannot_be_predicted_from_is_said(columns: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        binary().predict(columns)
    assert said in str(raised.value)


def test_a_network_that_changes_is_compiled_anew() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": 1.0}, activation="identity")
    net.set_outputs(["h"])
    model = fg.Model(net)
    assert model.predict([[3.0]]).tolist() == [[3.0]]
    net.add_neuron("y", {"h": 2.0}, activation="identity")
    net.set_outputs(["y"])
    assert model.predict([[3.0]]).tolist() == [[6.0]]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"inputs": ("a", "b")}, ShapeError, "inputs of a Model has 2 entries: the network has 3 inputs"),
        ({"inputs": "abc"}, DataError, "give the names of columns"),
        ({"inputs": ("a", "b", "a")}, ConfigError, "names the column 'a' twice"),
        ({"targets": ("a", "b")}, ShapeError, "the network has 1 output"),
        ({"classes": ("a", "b", "c")}, ShapeError, "2 classes by its outputs"),
        ({"classes": ("1", 1)}, ConfigError, "two that are written '1'"),
        ({"classes": ("a", float("nan"))}, DataError, "a class is text, a number"),
        ({"classes": ("a", "b"), "targets": ("y",)}, ConfigError, "exclude each other"),
        ({"classes": ("a", "b"), "loss": "huber"}, ConfigError, "its outputs need binary_cross_entropy"),
        ({"label": "who"}, ConfigError, "a label needs classes"),
        ({"scaling": Scaling([0.0], [1.0])}, ShapeError, "scaling of a Model has 1 entries"),
        ({"scaling": 3}, DataError, "wants a Scaling, not an int"),
        ({"target_scaling": Scaling([0.0], [1.0]), "loss": "poisson"}, ConfigError, "no scaled targets"),
        ({"loss": "squared_eror"}, UnknownNameError, "did you mean 'squared_error'"),
        ({"loss": 3}, DataError, "give the name of a loss"),
        ({"network": "net.json"}, DataError, "give fg.load(path)"),
    ],
)
def test_what_is_no_model_is_refused(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        fg.Model(**{"network": network(1), **arguments})
    assert said in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_model_is_frozen_says_what_it_is_and_travels() -> None:
    model = binary()
    with pytest.raises(AttributeError):
        model.loss = "huber"  # type: ignore[misc]  # frozen: refused
    assert repr(model).startswith("Model(mean radius, größe, x3 → diagnosis: benign, malignant; binary_cross_entropy")
    again = pickle.loads(pickle.dumps(model))
    same(again.predict_proba(X), model.predict_proba(X))


# ---- saved, loaded, exported ----------------------------------------------------------------------------------------

ELSEWHERE = """
import numpy as np, flowgrad as fg
X = np.load("X.npz")["X"]
np.savez("found.npz", **{name: fg.load_model(f"colleague/{name}.fgm").predict(X) for name in NAMES})
"""


def test_a_file_predicts_in_another_process_and_folder(tmp_path: Path) -> None:
    models = {name: make() for name, make in MODELS.items()}
    (tmp_path / "colleague").mkdir()
    for name, model in models.items():
        model.save(tmp_path / f"{name}.fgm")
        shutil.move(tmp_path / f"{name}.fgm", tmp_path / "colleague")
    assert {path.stem for path in (tmp_path / "colleague").iterdir()} == {*models}
    np.savez(tmp_path / "X.npz", X=X)
    code = ELSEWHERE.replace("NAMES", repr([*models]))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    with np.load(tmp_path / "found.npz") as found:
        for name, model in models.items():
            assert found[name].tolist() == model.predict(X).tolist(), name


@every
def test_onnx_takes_the_raw_columns(tmp_path: Path, make: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = make()
    fg.save(model, tmp_path / "demo.onnx", dtype="float64")
    session = onnxruntime.InferenceSession(tmp_path / "demo.onnx")
    (y,) = session.run(None, {session.get_inputs()[0].name: X})
    same(answers(model, y), model.predict(X), 1e-7)


@every
def test_c_takes_the_raw_columns(tmp_path: Path, make: Any) -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc is not installed")
    model = make()
    fg.save(model, tmp_path / "demo.c")
    library = tmp_path / "demo.so"
    subprocess.run([gcc, "-std=c99", "-shared", "-fPIC", "-o", library, tmp_path / "demo.c", "-lm"], check=True)
    y = np.empty((len(X), len(model.network.outputs)))
    function = ctypes.CDLL(str(library)).demo_predict
    for row in range(len(X)):
        function(np.ascontiguousarray(X[row]).ctypes.data_as(ctypes.c_void_p), y[row].ctypes.data_as(ctypes.c_void_p))
    same(answers(model, y), model.predict(X), 1e-9)


@every
def test_every_other_writer_gets_the_folded_network(tmp_path: Path, make: Any) -> None:
    model = make()
    for name in ("net.json", "net.safetensors", "net.graphml", "net.nodelink.json", "net.fgm"):
        fg.save(model, tmp_path / name)
        outputs = fg.compile(fg.load(tmp_path / name), executor="python").predict(X)
        same(answers(model, outputs), model.predict(X))
    fg.save(model, tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_any_file_of_a_network_is_a_model_that_scales_nothing(tmp_path: Path) -> None:
    net = fg.topologies.layered([2, 3, 1], seed=4)
    for name in ("net.json", "net.graphml", "net.fgm"):
        fg.save(net, tmp_path / name)
        model = fg.load_model(tmp_path / name)
        assert (model.inputs, model.scaling, model.loss) == (("0", "1"), None, None)
        same(model.predict(X[:, :2]), fg.compile(net).predict(X[:, :2]))
    (tmp_path / "edges.csv").write_text("a;y\nb;y\n")
    assert fg.load_model(tmp_path / "edges.csv", delimiter=";").targets == ("y",)


def test_a_functions_own_name_is_resolved_as_load_resolves_it(tmp_path: Path) -> None:
    bump = fg.Activation("bump", lambda z: z * z, lambda z: 2.0 * z)
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 2.0}, activation=bump)
    fg.Model(net).save(tmp_path / "own.fgm")
    with pytest.raises(UnknownNameError, match="bump"):
        fg.load_model(tmp_path / "own.fgm")
    assert fg.load_model(tmp_path / "own.fgm", activations=[bump]).predict([[3.0]]).tolist() == [[36.0]]


def test_what_is_not_kept_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fg.save\(model, path\) writes its network in other formats"):
        binary().save(tmp_path / "demo.onnx")
    own = fg.Loss("quartic", lambda y, t: (y - t) ** 4, lambda y, t: 4 * (y - t) ** 3)
    with pytest.raises(ConfigError, match="'quartic' of the model is your own"):
        fg.Model(network(1), loss=own).save(tmp_path / "demo.fgm")
    (tmp_path / "folder.fgm").mkdir()
    for path in ("folder.fgm", "absent/demo.fgm"):
        with pytest.raises(FileError, match="cannot be written"):
            binary().save(tmp_path / path)
    (tmp_path / "run").mkdir()
    fg.save(network(1), tmp_path / "run/network.json")
    with pytest.raises(FileError, match=r"fg\.load_model for the run"):
        fg.load(tmp_path / "run")
    assert not list(tmp_path.glob("*.tmp"))


def test_what_stood_there_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "demo.fgm"
    binary().save(path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match="no space left"):
        multiclass().save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["demo.fgm"]


# ---- there and back -------------------------------------------------------------------------------------------------

text = st.text(max_size=12)
finite = st.floats(-1e6, 1e6)
scales = st.floats(1e-3, 1e6)


@st.composite
def models(draw: st.DrawFn) -> fg.Model:
    n, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    net = fg.topologies.layered([n, 2, outputs], seed=draw(st.integers(0, 5)))
    inputs = draw(st.lists(text, min_size=n, max_size=n, unique=True))
    ignore = tuple(draw(st.lists(text, max_size=2, unique=True)))

    def scaling(k: int) -> Scaling | None:
        means, deviations = (draw(st.lists(each, min_size=k, max_size=k)) for each in (finite, scales))
        return Scaling(means, deviations) if draw(st.booleans()) else None

    if draw(st.booleans()):
        k = max(2, outputs)
        kinds = st.one_of(text, st.integers(-(2**70), 2**70), st.booleans(), finite)
        classes = draw(st.lists(kinds, min_size=k, max_size=k, unique_by=str))
        return fg.Model(net, tuple(inputs), (), draw(text), tuple(classes), scaling(n), ignore=ignore)
    targets = tuple(draw(st.lists(text, min_size=outputs, max_size=outputs, unique=True)))
    loss = draw(st.sampled_from([None, "squared_error", "huber"]))
    return fg.Model(net, tuple(inputs), targets, None, (), scaling(n), scaling(outputs), loss, ignore)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=models())
def test_a_model_comes_back_as_it_was(tmp_path: Path, model: fg.Model) -> None:
    path = tmp_path / "there.fgm"
    model.save(path)
    again = fg.load_model(path)
    for name in ("inputs", "targets", "label", "classes", "loss", "ignore"):
        found, wanted = getattr(again, name), getattr(model, name)
        assert (found, repr(found)) == (wanted, repr(wanted))
    for name in ("scaling", "target_scaling"):
        found, wanted = getattr(again, name), getattr(model, name)
        assert (found is None) == (wanted is None)
        if wanted is not None:
            assert (found.mean.tolist(), found.scale.tolist()) == (wanted.mean.tolist(), wanted.scale.tolist())
    assert again.network.nodes == model.network.nodes
    assert again.network.columns.weights.tolist() == model.network.columns.weights.tolist()


def test_ids_that_are_written_alike_are_told_apart(tmp_path: Path) -> None:
    net = fg.Network()
    net.add_input(1)
    net.add_input("1")
    net.add_neuron("y", [1, "1"])
    assert fg.Model(net).inputs == ("1", "'1'")
    assert fg.Model(net, inputs=("a", "b")).inputs == ("a", "b")
    fg.Model(net).save(tmp_path / "alike.fgm")
    assert fg.load_model(tmp_path / "alike.fgm").network.inputs == (1, "1")


@every
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_no_answer_is_made_of_a_number_that_is_not_finite(make: Any, wrong: float) -> None:
    model, given = make(), X.copy()
    given[3, 1] = wrong
    for call in (model.predict, model.outputs, *([model.predict_proba] if model.classes else [])):
        for values in (given, frame(given)):
            with pytest.raises(DataError, match=rf"X\[3\], column 'größe': {wrong} is not finite"):
                call(values)


@pytest.mark.parametrize("classes", [(1, True), (1, 1.0), (0, False), (0.0, -0.0), (np.int8(1), True), ("a", "a")])
def test_classes_that_are_equal_are_refused(classes: Any) -> None:
    with pytest.raises(ConfigError, match="classes of a Model has two that are"):
        fg.Model(fg.topologies.layered([2, 1]), classes=classes)
    assert fg.Model(fg.topologies.layered([2, 1]), classes=(1, 0)).classes == (1, 0)
