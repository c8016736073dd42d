"""scikit-learn's tools with these estimators: pipelines, searches with processes, calibration, copies, pictures."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import flowgrad as fg
from flowgrad.sklearn import GraphClassifier

Make = Callable[..., GraphClassifier]
NETS = [fg.topologies.layered([3, width, 3], seed=width) for width in (1, 4)]


def test_a_pipeline_hands_frames_on_by_name(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    for library in ("pandas", "polars"):
        pipe = make_pipeline(StandardScaler(), classifier()).set_output(transform=library).fit(frame, y)
        assert pipe[-1].feature_names_in_.tolist() == ["a", "b", "c"]
        assert pipe.score(frame, y) > 0.9
    frame["colour"] = np.where(y == "ash", "red", "blue")
    encoded = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["colour"]), remainder="passthrough", verbose_feature_names_out=False
    )
    pipe = make_pipeline(encoded, classifier()).set_output(transform="pandas").fit(frame, y)
    assert pipe[-1].model_.inputs == ("colour_blue", "colour_red", "a", "b", "c")


def test_a_search_with_processes_is_that_without(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    grid = {"graphclassifier__graph": NETS, "graphclassifier__learning_rate": [0.001, 0.05]}
    pipe = make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas")
    found = [GridSearchCV(pipe, grid, cv=2, n_jobs=jobs, error_score="raise").fit(frame, y) for jobs in (None, 2)]
    assert found[0].best_params_["graphclassifier__learning_rate"] == 0.05
    assert found[0].cv_results_["mean_test_score"].tolist() == found[1].cv_results_["mean_test_score"].tolist()
    assert found[1].best_estimator_.predict(frame).tolist() == found[0].best_estimator_.predict(frame).tolist()


def test_cross_validation(classifier: Make, regressor: Any, kinds: Any, numbers: Any) -> None:
    assert cross_val_score(classifier(), *kinds, cv=3, error_score="raise").mean() > 0.9
    assert cross_val_score(regressor(epochs=60), *numbers, cv=3, error_score="raise").mean() > 0.8
    weights = {"sample_weight": np.ones(60)}
    assert cross_val_score(classifier(), *kinds, cv=2, params=weights, error_score="raise").mean() > 0.9


def test_calibration(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    for method in ("sigmoid", "isotonic"):
        found = CalibratedClassifierCV(classifier(), method=method, cv=3).fit(X, y)
        assert found.score(X, y) > 0.9
        np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1.0)


def test_permutation_importance_finds_the_columns_that_matter(regressor: Any, numbers: Any) -> None:
    X, y = numbers
    frame = pd.DataFrame(np.column_stack([X, np.random.default_rng(9).normal(size=60)]), columns=["a", "b", "c", "no"])
    found = permutation_importance(regressor(epochs=60).fit(frame, y), frame, y, n_repeats=3, random_state=0)
    assert found.importances_mean.argmax() == 0
    assert found.importances_mean[3] < 0.05


def test_node_importance_has_the_data_s_names(regressor: Any, numbers: Any) -> None:
    X, y = numbers
    reg = regressor(epochs=60).fit(pd.DataFrame(X, columns=["a", "b", "c"]), pd.Series(y, name="mass"))
    found = reg.node_importance(pd.DataFrame(X, columns=["a", "b", "c"])[["c", "a", "b"]], integrated=True)
    assert found.outputs == ("mass",)
    assert [row["node"] for row in found.top(3, "input")] == ["a", "b", "c"]
    program = fg.compile(reg.model_.network, "python", loss="squared_error")
    wanted = fg.inspection.node_importance(program, reg.model_.scaling(X), integrated=True)
    np.testing.assert_allclose(found.integrated, wanted.integrated, rtol=1e-12)


def test_other_tools_that_wrap_a_classifier(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    Y = np.stack([y, np.where(X[:, 2] > 5.0, "up", "down")], axis=1)
    assert MultiOutputClassifier(classifier()).fit(X, Y).predict(X).shape == (60, 2)


# ---- copies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_predict_the_same_bits_by_the_same_executor(classifier: Make, kinds: Any, dtype: str) -> None:
    X, y = kinds
    clf = classifier(dtype=dtype).fit(X, y)
    program = fg.compile(clf.model_.network, "python", dtype=dtype)
    wanted = clf.model_.record.link(program.predict(clf.model_.scaling(X)).astype(np.float64))
    for copied in (clf, pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        assert copied.predict_proba(X).tolist() == wanted.tolist()
        assert copied._program().executor == "python"
        assert copied.history_["loss"].tolist() == clf.history_["loss"].tolist()


def test_a_clone_has_the_parameters_and_nothing_else(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    clf = classifier(NETS[1], class_weight={"ash": 2.0}).fit(X, y)
    again = clone(clf)
    assert not hasattr(again, "model_")
    assert again.graph is not clf.graph
    assert again.fit(X, y).predict_proba(X).tolist() == clf.predict_proba(X).tolist()
    assert {**again.get_params(), "graph": 0} == {**clf.get_params(), "graph": 0}


# ---- pictures ---------------------------------------------------------------------------------------------------

PICTURE = 'aria-label="the network'


def test_a_notebook_shows_the_network_under_the_parameters(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    assert PICTURE not in classifier()._repr_html_()
    assert PICTURE in classifier(NETS[1])._repr_html_(), "a network that is given can be drawn before"
    clf = GraphClassifier(executor="python", epochs=1).fit(pd.DataFrame(X, columns=["a", "<b>&", "c"]), y)
    page = clf._repr_mimebundle_()["text/html"]
    assert PICTURE in page
    assert page.count("<circle") >= len(clf.model_.network.nodes)
    picture = page[page.index("<strong>Network") :]
    assert "&lt;b&gt;&amp;" in picture
    assert "<b>" not in picture
    with config_context(display="text"):
        assert not hasattr(clf, "_repr_html_")


def test_a_large_network_makes_no_large_page(kinds: Any) -> None:
    wide = GraphClassifier(fg.topologies.layered([3, 5000, 3]), executor="numba", epochs=1).fit(*kinds)
    small = GraphClassifier(fg.topologies.layered([3, 2, 3]), executor="python", epochs=1).fit(*kinds)
    page = wide._repr_html_()
    assert PICTURE not in page
    assert "5,000 nodes" in page
    assert len(page) < len(small._repr_html_()) + 10_000


# ---- without scikit-learn ---------------------------------------------------------------------------------------

WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == sys.argv[1] else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import flowgrad as fg

try:
    import flowgrad.sklearn
except fg.FlowgradError as error:
    print(isinstance(error, ImportError), error)
"""


@pytest.mark.parametrize(("library", "name"), [("sklearn", "scikit-learn"), ("narwhals", "narwhals")])
def test_the_extra_is_named_where_it_is_missing(library: str, name: str) -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT, library], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"True flowgrad.sklearn needs {name}: pip install 'flowgrad[sklearn]'"
