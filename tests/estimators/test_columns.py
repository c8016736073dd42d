"""Columns by name, of pandas, polars and pyarrow alike: another order, missing ones, others, text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import flowgrad as fg
from flowgrad.errors import DataError, FlowgradError, UnknownNameError
from flowgrad.sklearn import GraphClassifier, GraphRegressor

Make = Callable[..., GraphClassifier]
Refused = Callable[..., Any]
NAMES = ["height", "width", "depth"]
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


@pytest.fixture(params=list(FRAMES))
def frame(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], Any]:
    """A data frame of columns by name."""
    return FRAMES[request.param]


def columns(X: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, np.ascontiguousarray(X.T), strict=True))


def test_columns_come_in_any_order_from_any_library(classifier: Make, kinds: Any, frame: Any) -> None:
    X, y = kinds
    clf = classifier().fit(frame(columns(X)), y)
    assert clf.feature_names_in_.tolist() == NAMES
    assert clf.model_.inputs == clf.model_.network.inputs == tuple(NAMES)
    p = clf.predict_proba(pd.DataFrame(columns(X)))
    for other in FRAMES.values():
        again = clf.predict_proba(other(dict(reversed(columns(X).items()))))
        assert again.tolist() == p.tolist()
    with pytest.warns(UserWarning, match="feature names"):
        assert clf.predict_proba(X).tolist() == p.tolist()


def test_targets_of_any_library(classifier: Make, kinds: Any, frame: Any) -> None:
    X, y = kinds
    wanted = classifier().fit(X, y).predict_proba(X)
    with pytest.warns(match="column-vector"):
        clf = classifier().fit(X, frame({"tree": y}))
    assert clf.predict_proba(X).tolist() == wanted.tolist()
    assert clf.model_.label == "tree"
    for series, label in (
        (pd.Series(y, name="tree"), "tree"),
        (pl.Series(y), "class"),
        (pa.chunked_array([y]), "class"),
    ):
        clf = classifier(epochs=1).fit(X, series)
        assert (clf.model_.label, clf.predict(X).dtype.kind) == (
            label,
            "O" if label == "tree" else clf.classes_.dtype.kind,
        )


def test_missing_and_surplus_columns_are_named(classifier: Make, kinds: Any, frame: Any) -> None:
    """As scikit-learn says it."""
    X, y = kinds
    clf = classifier(epochs=1).fit(frame(columns(X)), y)
    some = columns(X)
    del some["width"]
    with pytest.raises(ValueError, match="yet now missing:\n- width"):
        clf.predict(frame(some))
    with pytest.raises(ValueError, match="unseen at fit time:\n- weight"):
        clf.predict(frame(columns(X) | {"weight": X[:, 0]}))


def test_a_graph_takes_the_columns_that_it_names(classifier: Make, kinds: Any, frame: Any) -> None:
    X, y = kinds
    graph = nx.DiGraph([("depth", "h"), ("height", "h"), *[("h", v) for v in ("ash", "birch", "cedar")]])
    more = columns(X) | {"patient": np.array([f"P{k}" for k in range(60)])}
    clf = classifier(graph, epochs=1).fit(frame(more), y)
    assert clf.n_features_in_ == 2
    assert set(clf.feature_names_in_) == {"depth", "height"}
    p = clf.predict_proba(frame(dict(reversed(more.items()))))
    assert p.tolist() == clf.predict_proba(frame(columns(X))).tolist()
    with pytest.raises(ValueError, match=r"yet now missing:\n- depth\n$"):
        clf.predict(frame({name: more[name] for name in ("height", "patient")}))


def test_a_column_that_the_graph_names_and_the_frame_lacks(
    classifier: Make, kinds: Any, frame: Any, refused: Refused
) -> None:
    X, y = kinds
    graph = nx.DiGraph([("dept", "h"), ("height", "h"), *[("h", v) for v in ("ash", "birch", "cedar")]])
    with refused(UnknownNameError, "'dept'", "did you mean 'depth'"):
        classifier(graph).fit(frame(columns(X)), y)


def test_columns_of_text_and_times_are_named(classifier: Make, kinds: Any, frame: Any, refused: Refused) -> None:
    X, y = kinds
    for values in (np.array(["red"] * 60), np.full(60, np.datetime64("2024-01-01", "us"))):
        with refused(DataError, "'colour'", "numbers"):
            classifier().fit(frame(columns(X) | {"colour": values}), y)


def test_a_lazy_frame_is_to_be_collected(classifier: Make, kinds: Any, refused: Refused) -> None:
    X, y = kinds
    lazy = pl.DataFrame(columns(X)).lazy()
    with refused(DataError, "LazyFrame", "collect()"):
        classifier().fit(lazy, y)
    with refused(DataError, "LazyFrame", "collect()"):
        classifier(epochs=1).fit(lazy.collect(), y).predict(lazy)


def test_columns_without_text_as_names_go_by_position(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    clf = classifier().fit(pd.DataFrame(X), y)
    assert not hasattr(clf, "feature_names_in_")
    assert clf.model_.inputs == ("x0", "x1", "x2")
    assert clf.predict(X).tolist() == clf.predict(pd.DataFrame(X)).tolist()


def test_names_that_nodes_would_share_leave_the_nodes_numbered(classifier: Make, kinds: Any) -> None:
    X, y = kinds
    for taken in ("h1", "ash"):
        clf = classifier(epochs=1).fit(pd.DataFrame(X, columns=[taken, "b", "c"]), y)
        assert clf.model_.inputs == (taken, "b", "c")
        assert clf.model_.network.inputs == (0, 1, 2)


def test_an_array_goes_by_the_order_of_the_graph_s_inputs(classifier: Make, kinds: Any) -> None:
    """Also where these are called as scikit-learn calls columns without names."""
    X, y = kinds
    edges = [("x2", "h"), ("x0", "h"), ("x1", "h"), *[("h", v) for v in ("ash", "birch", "cedar")]]
    for graph in (edges, lambda inputs, outputs: fg.topologies.from_edge_list(edges)):
        clf = classifier(graph, epochs=1).fit(X, y)
        assert clf.model_.inputs == clf.model_.network.inputs == ("x2", "x0", "x1")


def test_inputs_of_a_callable_s_network_are_matched_by_name(classifier: Make, kinds: Any) -> None:
    X, y = kinds

    def named(inputs: int, outputs: int) -> fg.Network:
        edges = [("width", "birch"), ("height", "cedar"), ("depth", "ash"), ("width", "ash"), ("depth", "cedar")]
        return fg.topologies.from_edge_list(edges, inputs=["width", "height", "depth"])

    clf = classifier(named, epochs=60).fit(pd.DataFrame(columns(X)), y)
    by_hand = classifier(named(3, 3), epochs=60).fit(pd.DataFrame(columns(X)), y)
    assert clf.model_.network.inputs == clf.model_.inputs == tuple(NAMES)
    assert clf.score(pd.DataFrame(columns(X)), y) == by_hand.score(pd.DataFrame(columns(X)), y)


@pytest.mark.parametrize("name", ["X", "y", "graph"])
@pytest.mark.parametrize("kind", ["twice", "lazy"])
def test_frames_that_no_columns_can_be_taken_of_are_named(name: str, kind: str) -> None:
    good = {"X": np.random.default_rng(0).normal(size=(20, 2)), "y": np.repeat([0, 1], 10), "graph": None}
    bad = pd.DataFrame(good["X"], columns=["a", "a"]) if kind == "twice" else pl.DataFrame(good["X"]).lazy()
    given = good | {name: bad}
    said = f"{name} has the column 'a' twice" if kind == "twice" else f"{name}( is a LazyFrame|=.*: give a Network)"
    for make in (GraphClassifier, GraphRegressor):
        with pytest.raises(FlowgradError, match=said):
            make(given["graph"], executor="python", epochs=1).fit(given["X"], given["y"])
