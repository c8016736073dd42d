"""The page as a file: its policy, its names, its size, its layout. In a browser: test_browser.py, test_live.py."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.viewer.layout import layout
from flowgrad.viewer.page import SCRIPTS
from flowgrad.viewer.record import record, values

sys.path.insert(0, str(Path(__file__).parent))
from networks import EVIL, dense, large, options, teaching


def save(net: fg.Network, path: Path, **more: Any) -> str:
    fg.save(net, path, **more)
    return path.read_text(encoding="utf-8")


def small_page(path: Path) -> str:
    return save(teaching(), path, **options("small"))


def test_only_its_own_script_and_style_may_run_and_nothing_is_fetched(tmp_path: Path) -> None:
    text = small_page(tmp_path / "net.html")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]  # type: ignore[index]  # without a match the test fails
    assert policy.startswith("default-src 'none';")
    assert "connect-src" not in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""(src|href)\s*=\s*["']""", text)


def test_names_are_text(tmp_path: Path) -> None:
    text = small_page(tmp_path / "net.html")
    assert "<img" not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]  # without a match the test fails
    assert EVIL in data["names"]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_under_a_loss_of_all_samples_together_a_sample_has_its_gradients_among_them(tmp_path: Path) -> None:
    net = fg.topologies.layered([2, 3, 1], seed=1)
    X, T = np.random.default_rng(0).normal(size=(2, 5, 2))
    program = fg.compile(net, executor="python", loss="cox")
    text = save(net, tmp_path / "net.html", program=program, X=X, T=T[:, :1])
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]  # without a match the test fails
    grads = program.backward(program.forward(X), T[:, :1])
    assert grads.da.array.any()
    for sample in data["samples"]:
        da = np.frombuffer(base64.b64decode(sample["da"]), "<f4")
        np.testing.assert_allclose(da, grads.da.array[:, sample["row"]], rtol=1e-6, atol=1e-9)


def test_the_values_are_those_of_the_passes(tmp_path: Path) -> None:
    text = small_page(tmp_path / "net.html")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]  # without a match the test fails
    program = fg.compile(teaching(), executor="python", loss="squared_error")
    acts = program.forward([[1.0, 0.5]])
    grads = program.backward(acts, [[0.2, -0.1]])
    given = {k: np.frombuffer(base64.b64decode(data["samples"][0][k]), "<f4") for k in ("z", "a", "slope", "da")}
    np.testing.assert_allclose(given["a"], acts.a.array[:, 0], rtol=1e-6)
    np.testing.assert_allclose((given["slope"] * given["da"])[2:], grads.dz.array[2:, 0], rtol=1e-6)
    assert float(data["samples"][0]["loss"]) == grads.loss
    losses = np.frombuffer(base64.b64decode(data["samples"][0]["losses"]), "<f4")
    np.testing.assert_allclose(losses, grads.loss_by_output.array, rtol=1e-6)  # type: ignore[union-attr]  # of targets
    drawn = record(teaching())["samples"][0]
    outputs = np.frombuffer(base64.b64decode(drawn["losses"]), "<f4")
    assert float(outputs.sum()) == pytest.approx(float(drawn["loss"]), rel=1e-6)  # L = Σ y


def test_levels_are_columns_and_the_layout_is_the_same_every_time() -> None:
    plan = fg.compile(teaching(), executor="python").plan
    first, again = layout(plan), layout(plan)
    assert first.x.tobytes() == again.x.tobytes()
    assert first.y.tobytes() == again.y.tobytes()
    assert len({(level, x) for level, x in zip(plan.level.tolist(), first.x.tolist(), strict=True)}) == 4
    assert len(set(zip(first.x.tolist(), first.y.tolist(), strict=True))) == plan.n_nodes
    ends = [(u, v) for u, v in zip(plan.in_source, plan.in_target, strict=True)]
    assert {e: len(bend) for e, bend in first.bends.items()} == {
        e: int(plan.level[v] - plan.level[u]) - 1 for e, (u, v) in enumerate(ends) if plan.level[v] - plan.level[u] > 1
    }


def test_twenty_thousand_neurons_fit_into_four_megabytes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """But for nightly runs a tenth of them takes a tenth, and what the smallest page has besides."""
    bare = len(save(teaching(), tmp_path / "small.html"))
    net, share = (large(), 1) if request.config.getoption("--soak") else (large(2_000, 10_000), 10)
    assert (len(save(net, tmp_path / "large.html")) - bare) * share + bare <= 4_000_000


def test_bad_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(fg.FlowgradError, match="another network"):
        save(teaching(), tmp_path / "a.html", program=fg.compile(large(200, 300), executor="python"))
    with pytest.raises(fg.FlowgradError, match=r"^program=.{1,200}: give a Program"):
        save(teaching(), tmp_path / "a.html", program=["x" * 1000] * 1000)
    with pytest.raises(fg.FlowgradError, match="give X too"):
        save(teaching(), tmp_path / "a.html", T=[[1.0, 2.0]])
    with pytest.raises(fg.FlowgradError, match="0 … 0"):
        save(teaching(), tmp_path / "a.html", X=[[1.0, 2.0]], sample=1)
    assert not (tmp_path / "a.html").exists()


def test_blocks_and_inputs_alike_are_groups_that_stand_together() -> None:
    data = record(dense())
    assert data["groups"] == [(0, 24), (24, 40), (40, 56), (56, 59)]
    y, level = (np.frombuffer(base64.b64decode(data[k]), kind) for k, kind in (("y", "<f4"), ("level", "<i4")))
    for first, end in data["groups"]:
        assert set(level[first:end]) == {level[first]}
        assert np.ptp(y[first:end]) < end - first + 1
    assert [g for g in record(teaching())["groups"] if g[1] - g[0] < 2] == []


def test_the_values_of_now_are_those_a_new_page_would_have() -> None:
    net = teaching()
    data, moved = record(net), values(net)
    assert set(moved) == {"weight", "bias", "importance", "loss", "samples"}
    assert {name: data[name] for name in moved} == moved


def test_heights_keep_the_order_and_a_neuron_of_room() -> None:
    for net in (teaching(), dense()):
        plan = fg.compile(net, executor="python").plan
        found = layout(plan)
        for level in np.unique(plan.level):
            assert (np.diff(np.sort(found.y[plan.level == level])) > 1 - 1e-9).all()


def test_every_script_is_in_the_page() -> None:
    assets = files("flowgrad.viewer").joinpath("assets").iterdir()
    assert {asset.name for asset in assets if asset.name.endswith(".js")} == {f"{name}.js" for name in SCRIPTS}
