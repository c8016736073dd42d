"""The page as a file: its policy, its names, its size, its layout; and in a real browser where there is one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.viewer.layout import _pieces, _ranks, crossings, layout
from flowgrad.viewer.page import page
from flowgrad.viewer.record import record
from flowgrad.viewer.server import Server

EVIL = "</script><img src=x onerror=alert(1)>"


def teaching() -> fg.Network:
    """Two inputs, three hidden neurons, one with a name that would be markup, two outputs and a long edge."""
    net = fg.Network()
    net.add_input("x1")
    net.add_input("x2")
    net.add_neuron("h1", {"x1": 0.8, "x2": -0.5}, bias=0.1, activation="tanh")
    net.add_neuron(EVIL, {"x1": -0.3, "x2": 0.9}, activation="sigmoid")
    net.add_neuron("h3", {"h1": 1.2, EVIL: -0.7}, activation="tanh")
    net.add_neuron("y1", {"h3": 0.6, "x1": 0.4}, activation="identity")
    net.add_neuron("y2", {"h3": -1.1, EVIL: 0.5}, activation="identity")
    net.set_outputs(["y1", "y2"])
    return net


def large(neurons: int = 20_000, edges: int = 100_000) -> fg.Network:
    rng = np.random.default_rng(3)
    size = neurons // 10
    low = rng.integers(0, 9, 2 * edges)
    source, target = low * size + rng.integers(0, size, 2 * edges), (low + 1) * size + rng.integers(0, size, 2 * edges)
    pairs = np.unique(np.stack([source, target], 1), axis=0)
    pairs = rng.permutation(pairs)[:edges]
    outputs = range(9 * size, 10 * size)
    return fg.Network.from_arrays(pairs[:, 0], pairs[:, 1], n_nodes=neurons, inputs=range(size), outputs=outputs)


def save(net: fg.Network, path: Path, **options: Any) -> str:
    fg.save(net, path, **options)
    return path.read_text(encoding="utf-8")


def small_page(path: Path) -> str:
    program = fg.compile(teaching(), executor="python", loss="squared_error")
    rows = [{"epoch": k, "loss": 1 / k, "val_loss": 1.2 / k} for k in range(1, 9)]
    X, T = [[1.0, 0.5], [-0.4, 2.0]], [[0.2, -0.1], [0.5, 0.5]]
    return save(teaching(), path, program=program, X=X, T=T, history=rows, title="teaching")


def test_only_its_own_script_and_style_may_run_and_nothing_is_fetched(tmp_path: Path) -> None:
    text = small_page(tmp_path / "net.html")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]  # type: ignore[index]
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
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert EVIL in data["names"]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_the_values_are_those_of_the_passes(tmp_path: Path) -> None:
    text = small_page(tmp_path / "net.html")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    program = fg.compile(teaching(), executor="python", loss="squared_error")
    acts = program.forward([[1.0, 0.5]])
    grads = program.backward(acts, [[0.2, -0.1]])
    given = {k: np.frombuffer(base64.b64decode(data["samples"][0][k]), "<f4") for k in ("z", "a", "slope", "da")}
    np.testing.assert_allclose(given["a"], acts.a.array[:, 0], rtol=1e-6)
    np.testing.assert_allclose((given["slope"] * given["da"])[2:], grads.dz.array[2:, 0], rtol=1e-6)
    assert float(data["samples"][0]["loss"]) == grads.loss


def test_levels_are_columns_and_the_layout_is_the_same_every_time() -> None:
    plan = fg.compile(teaching(), executor="python").plan
    first, again = layout(plan), layout(plan)
    assert first.x.tobytes() == again.x.tobytes()
    assert first.y.tobytes() == again.y.tobytes()
    assert len({(level, x) for level, x in zip(plan.level.tolist(), first.x.tolist(), strict=True)}) == 4
    assert len(set(zip(first.x.tolist(), first.y.tolist(), strict=True))) == plan.n_nodes
    ends = [(u, v) for u, v in zip(plan.in_source, np.repeat(np.arange(7), np.diff(plan.in_ptr)), strict=True)]
    assert {e: len(bend) for e, bend in first.bends.items()} == {
        e: int(plan.level[v] - plan.level[u]) - 1 for e, (u, v) in enumerate(ends) if plan.level[v] - plan.level[u] > 1
    }


def test_sweeps_take_crossings_away() -> None:
    k = np.arange(8)
    net = fg.Network.from_arrays(k, 8 + (3 * k + 5) % 8)  # eight edges that need not cross at all
    plan = fg.compile(net, executor="python").plan
    level, source, target, _ = _pieces(plan)
    assert crossings(level, source, target, _ranks(level, np.arange(16))) > 0
    found = layout(plan)
    assert crossings(level, source, target, _ranks(level, np.argsort(found.y, kind="stable"))) == 0


def test_twenty_thousand_neurons_fit_into_four_megabytes(tmp_path: Path) -> None:
    net = large()
    assert len(save(net, tmp_path / "large.html")) <= 4_000_000


def test_bad_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(fg.FlowgradError, match="another network"):
        save(teaching(), tmp_path / "a.html", program=fg.compile(large(200, 300), executor="python"))
    with pytest.raises(fg.FlowgradError, match="give X too"):
        save(teaching(), tmp_path / "a.html", T=[[1.0, 2.0]])
    with pytest.raises(fg.FlowgradError, match="0 … 0"):
        save(teaching(), tmp_path / "a.html", X=[[1.0, 2.0]], sample=1)
    assert not (tmp_path / "a.html").exists()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Headless chromium with an empty profile and software GL, its console and its network logged."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver: the page is not looked at in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = "headless=new no-sandbox disable-quic no-first-run disable-background-networking disable-component-update"
    for flag in [*flags.split(), "disable-sync", "disable-gpu", "enable-unsafe-swiftshader", "window-size=1280,800"]:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


def nothing_wrong(browser: Any) -> None:
    """No word on the console, and no request but for the file itself."""
    words = browser.get_log("browser")  # "rendering" is the driver's own: a screenshot reads pixels of the GPU
    assert [word for word in words if word["source"] != "rendering"] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "chrome:"))] == []


def test_in_a_browser(browser: Any, tmp_path: Path) -> None:
    small_page(tmp_path / "net.html")
    browser.get((tmp_path / "net.html").as_uri())
    run = browser.execute_script
    by_id = lambda name: browser.find_element("id", name)  # noqa: E731
    assert run("return document.documentElement.dataset.ready") == "yes"
    browser.save_screenshot(str(tmp_path / "small.png"))
    by_id("search").send_keys("onerror\n")
    assert browser.find_element("css selector", "#card h2").text == EVIL
    assert run("return document.images.length") == 0
    assert "(10)" in by_id("card").text
    browser.find_element("css selector", "#card .term button").click()
    assert browser.find_element("css selector", "#card h2").text in ("x1", "x2")
    run("const s = document.getElementById('step'); s.value = 9; s.dispatchEvent(new Event('input'))")
    assert by_id("caption").text.startswith("10/13 backward: h3")
    assert "cached ∂L/∂z of y1, y2" in by_id("caption").text
    browser.save_screenshot(str(tmp_path / "backward.png"))
    by_id("theme").click()
    by_id("stage").send_keys("0")
    browser.save_screenshot(str(tmp_path / "dark.png"))
    nothing_wrong(browser)


def test_the_served_page_reads_the_losses_again(browser: Any) -> None:
    lines: list[dict[str, list[float]]] = [{"epoch": [1.0], "loss": [0.75]}]
    data = record(teaching(), history=lines[0])
    with Server(lambda live: page(data, live=live), lambda: lines[0]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.get(server.url)
        lines[0] = {"epoch": [1.0, 2.0], "loss": [0.75, 0.5]}
        time.sleep(3)
        assert browser.execute_script("return document.getElementById('chart').dataset.last") == "0.5"
        words = [word for word in browser.get_log("browser") if "favicon" not in word["message"]]
        server.shutdown()
    assert words == []


def test_a_large_graph_in_a_browser(browser: Any, tmp_path: Path) -> None:
    save(large(), tmp_path / "large.html")
    start = time.perf_counter()
    browser.get((tmp_path / "large.html").as_uri())
    seconds = time.perf_counter() - start
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
    browser.save_screenshot(str(tmp_path / "large.png"))
    drawn = "const done = arguments[0], t = performance.now(); let n = 0; const s = document.getElementById('stage');"
    drawn += "const step = () => { s.dispatchEvent(new WheelEvent('wheel', {deltaY: -20, clientX: 400, clientY: 300}));"
    drawn += "if (++n < 10) requestAnimationFrame(step); else done((performance.now() - t) / 10); }; step();"
    frame = browser.execute_async_script(drawn)
    print(f"opened in {seconds:.2f} s, a frame of zooming {frame:.0f} ms")
    assert seconds < 6, "3 s is the rule on a machine of its own"
    assert frame < 500
    nothing_wrong(browser)
