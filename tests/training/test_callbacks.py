"""Callbacks hear of a training once each; what TensorBoard and MLflow were told is read back by their own libraries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.callback import Callback
from flowgrad.errors import ConfigError, FileError, MissingDependencyError, NonFiniteError, UnknownNameError
from flowgrad.registry import find, names


def program() -> fg.Program:
    return fg.compile(fg.topologies.layered([2, 3, 1], seed=1), executor="numba", loss="squared_error")


def samples() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(20, 2))
    return X, X[:, :1] * 0.5


def train(*callbacks: Any, **options: Any) -> fg.History:
    return fg.fit(program(), *samples(), **({"epochs": 4, "metrics": ["rmse"]} | options), callbacks=callbacks)


class Ear:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def begin(self, settings: Mapping[str, Any]) -> None:
        self.heard.append(("begin", dict(settings)))

    def epoch(self, row: dict[str, float]) -> None:
        self.heard.append(("epoch", row["epoch"]))
        row.clear()  # its own copy

    def end(self, history: fg.History, error: BaseException | None) -> None:
        self.heard.append(("end", len(history), history.reason, type(error)))


def test_a_callback_hears_of_settings_epochs_and_the_end() -> None:
    ears = Ear(), Ear()
    assert isinstance(ears[0], Callback)
    history = train(*ears, validation=0.25, patience=9, l2=0.1)
    assert len(history) == 4
    assert history["rmse"].shape == (4,)
    for ear in ears:
        settings = ear.heard[0][1]
        assert settings["optimizer"] == "Adam"
        assert (settings["epochs"], settings["samples"], settings["validation_samples"]) == (4, 15, 5)
        assert (settings["nodes"], settings["edges"], settings["loss"], settings["l2"]) == (6, 9, "squared_error", 0.1)
        assert ear.heard[1:] == [("epoch", k) for k in range(1, 5)] + [("end", 4, "finished", type(None))]


def test_a_callback_may_look_at_parameters_and_gradients() -> None:
    class Looks(Ear):
        def arrays(self, epoch: int, arrays: Mapping[str, np.ndarray]) -> None:
            self.heard.append((epoch, {name: values.copy() for name, values in arrays.items()}))
            for values in arrays.values():
                values[:] = np.nan  # its own copies

    looks, mine = Looks(), program()
    X, T = samples()
    start = mine.theta.copy()
    fg.fit(mine, X, T, optimizer="sgd", learning_rate=0.1, epochs=1, batch_size=20, shuffle=False, callbacks=[looks])
    (epoch, arrays), place = looks.heard[1], mine.theta_index
    assert looks.heard[2] == ("epoch", 1)
    assert epoch == 1
    _, gradient = mine.value_and_grad(start, X, T)
    held = {"weights": place.weight, "biases": {v: place.bias[v] for v in mine.network().nodes if v > 1}}
    for name, found in held.items():
        slots = np.sort(list(found.values()))
        np.testing.assert_array_equal(arrays[name], mine.theta[slots])
        np.testing.assert_allclose(arrays[f"gradient/{name}"], gradient[slots], rtol=1e-12)


def test_the_end_is_told_whatever_happens() -> None:
    class Stops(Ear):
        def epoch(self, row: dict[str, float]) -> None:
            super().epoch(row)
            raise KeyboardInterrupt

    class Breaks(Ear):
        def begin(self, settings: Mapping[str, Any]) -> None:
            raise OSError("no room")

    stops, ear, after = Stops(), Ear(), Ear()
    assert train(stops).reason == "interrupted"
    assert stops.heard[-1] == ("end", 1, "interrupted", type(None))
    with pytest.raises(NonFiniteError):
        train(ear, learning_rate=1e300, optimizer="sgd")
    assert ear.heard[-1][3] is NonFiniteError
    with pytest.raises(OSError, match="no room"):
        train(ear, Breaks(), after)
    assert ear.heard[-1] == ("end", 0, "finished", OSError)
    assert after.heard == []


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["tensorbord"], UnknownNameError, "unknown callback 'tensorbord': did you mean 'tensorboard'"),
        ("tensorboard", ConfigError, "give a list"),
        ([print], ConfigError, "an object with begin, epoch and end"),
        ([Ear], ConfigError, "an object with begin"),
    ],
)
def test_what_is_no_callback_is_refused(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fg.fit(program(), *samples(), callbacks=given)


def test_names_are_those_of_the_registry() -> None:
    assert {"mlflow", "tensorboard"} <= set(names("callbacks"))


class Looks(Ear):
    """Keeps the arrays of the last epoch."""

    def arrays(self, epoch: int, arrays: Mapping[str, np.ndarray]) -> None:
        self.last = dict(arrays)


class Plain:
    """Gradient descent as an optimizer of a user's own, which is no rule of flowgrad's."""

    name, summary, learning_rate = "plain", "", 0.1

    def start(self, theta: np.ndarray, decays: np.ndarray) -> Any:
        def step(theta: np.ndarray, gradient: np.ndarray, rate: float) -> None:
            theta -= rate * gradient

        return step


@pytest.mark.parametrize("executor", ["python", "numba"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", Plain()], ids=["sgd", "adam", "own"])
@pytest.mark.parametrize(
    "clip", [{}, {"clip": 1e-3}, {"clip_value": 1e-4}, {"clip": 1e-3, "clip_value": 1e-4}], ids=str
)
def test_the_gradient_that_is_watched_has_penalties_and_is_not_clipped(
    executor: str, optimizer: Any, clip: dict[str, float]
) -> None:
    one, (X, T), looks = fg.compile(program().network(), executor=executor, loss="squared_error"), samples(), Looks()
    fg.fit(one, X, T, optimizer=optimizer, epochs=2, batch_size=20, shuffle=False, l1=0.2, l2=0.3, **clip)
    before = one.theta.copy()
    fg.fit(
        one,
        X,
        T,
        optimizer=optimizer,
        epochs=1,
        batch_size=20,
        shuffle=False,
        l1=0.2,
        l2=0.3,
        callbacks=[looks],
        **clip,
    )
    weights = sorted(one.theta_index.weight.values())
    want = one.value_and_grad(before, X, T)[1][weights]
    want = want + 0.2 * np.sign(before[weights]) + 0.6 * before[weights]
    np.testing.assert_allclose(looks.last["gradient/weights"], want, rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", Plain()], ids=["sgd", "own"])
def test_an_infinite_gradient_is_found_although_values_are_clipped(optimizer: Any) -> None:
    """The loss is finite: y = 1e150."""
    net = fg.Network.from_arrays([0], [1], weight=[1e-10], activation="identity")
    one = fg.compile(net, loss="squared_error")
    with pytest.raises(NonFiniteError):
        fg.fit(one, [[1e160]], [[0.0]], optimizer=optimizer, epochs=1, clip_value=1.0)


def test_tensorboard_reads_back_what_was_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install 'flowgrad[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    history = train(find("callbacks", "tensorboard")(tmp_path / "log"), validation=0.25)
    read = EventAccumulator(str(tmp_path / "log"), size_guidance={"tensors": 0})
    read.Reload()
    histograms = {"weights", "biases", "gradient/weights", "gradient/biases"}
    assert set(read.Tags()["tensors"]) == (set(history.names) - {"epoch"}) | histograms
    for name in histograms:
        events = read.Tensors(name)
        assert [event.step for event in events] == [1, 2, 3, 4]
        bins = [make_ndarray(event.tensor_proto) for event in events]
        assert all(each[:, 2].sum() == (9 if "weights" in name else 4) for each in bins), "every one counted once"
        assert read.SummaryMetadata(name).plugin_data.plugin_name == "histograms"
    for name in set(read.Tags()["tensors"]) - histograms:
        events = read.Tensors(name)
        assert [event.step for event in events] == [1, 2, 3, 4]
        values = [event.tensor_proto.float_val[0] for event in events]
        np.testing.assert_allclose(values, history[name], rtol=1e-6)  # TensorBoard keeps float32
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        train(find("callbacks", "tensorboard")(tmp_path / "file"))


def test_tensorboard_by_name_goes_under_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install 'flowgrad[tensorboard]'")
    monkeypatch.chdir(tmp_path)
    train("tensorboard")
    assert len(list(tmp_path.glob("runs/tensorboard/*/events.out.tfevents.*"))) == 1


@pytest.mark.filterwarnings("ignore")  # MLflow's own, of the libraries that it uses
def test_mlflow_reads_back_what_was_logged(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'flowgrad[mlflow]'")
    pytest.importorskip("sqlalchemy", reason="MLflow's database needs SQLAlchemy: pip install 'flowgrad[mlflow]'")
    make = find("callbacks", "mlflow")
    history = train(make(tmp_path, experiment="concepts", run="first"), validation=0.25)
    with pytest.raises(NonFiniteError):
        train(make(tmp_path, experiment="concepts"), learning_rate=1e300, optimizer="sgd")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("concepts").experiment_id])
    failed, run = found
    assert (failed.info.status, run.info.status, run.info.run_name) == ("FAILED", "FINISHED", "first")
    assert run.data.params["epochs"] == "4"
    assert run.data.params["edges"] == "9"
    assert run.data.tags["flowgrad.reason"] == "finished"
    for name in set(history.names) - {"epoch"}:
        logged = client.get_metric_history(run.info.run_id, name)
        assert [m.step for m in logged] == [1, 2, 3, 4]
        assert [m.value for m in logged] == history[name].tolist()


@pytest.mark.parametrize("library", ["tensorboard", "mlflow"])
def test_without_the_library_the_extra_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    make = find("callbacks", library)
    for module in [m for m in sys.modules if m.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'flowgrad\[{library}\]'"):
        make()
