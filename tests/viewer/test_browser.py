"""The page in a real browser, written by the installed wheel: clicks, search, slider, downloads; nothing fetched."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from networks import EVIL, options

from flowgrad.inspection import explain

Make = Callable[[str], Path]


def test_a_small_network(browser: Any, make: Make) -> None:
    browser.open(make("small").as_uri())
    browser.shoot("small")
    browser["search"].send_keys("onerror\n")
    assert browser.text("#card h2") == EVIL
    assert browser.run("return document.images.length") == 0
    assert "(10)" in browser["card"].text
    assert "2 upstream" in browser["card"].text
    assert "3 downstream" in browser["card"].text
    browser.all("#card .terms button")[0].click()
    assert browser.text("#card h2") in ("x1", "x2")
    browser.press("\ue00c")  # Escape
    assert browser.text("#card h2") == "The network"
    browser.nothing_wrong()


def test_the_card_counts_readers_and_losses_as_explain_does(browser: Any, make: Make) -> None:
    given = options("small")
    browser.open(make("small").as_uri())
    for name in ("x1", "h1", "h3", "y1", "y2", EVIL):
        browser["search"].send_keys(f"{name}\n")
        assert browser.text("#card h2") == name
        said = explain(given["program"], given["X"], given["T"], name)
        lines = [line.strip() for line in said.splitlines() if "cached: written once" in line]
        shown = [line for line in browser["card"].text.splitlines() if line.startswith("cached: written once")]
        assert shown == lines[: 1 if name == "x1" else 2], name
        of_all = [line.rsplit(" = ", 1)[0].strip() for line in said.splitlines() if "L = Σ l over" in line]
        assert of_all == (["L = Σ l over 2 outputs"] if name in ("y1", "y2") else [])
        assert all(line in browser["card"].text for line in of_all)
        browser["search"].clear()
    browser.nothing_wrong()


def test_a_click_on_a_neuron_opens_its_card_and_arrows_walk(browser: Any, make: Make) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    browser.open(make("small").as_uri())
    browser["search"].send_keys("h1\n")
    stage, (x, y) = browser["stage"], map(float, browser["stage"].get_attribute("data-chosen").split())
    browser.press("\ue014")  # right, along the strongest edge
    assert browser.text("#card h2") == "h3"
    browser.press("\ue012")
    assert browser.text("#card h2") == "h1"
    browser.press("\ue00c")
    pointer = ActionChains(browser.driver, duration=0)
    place = int(x - stage.size["width"] / 2), int(y - stage.size["height"] / 2)
    pointer.move_to_element_with_offset(stage, *place).perform()
    assert browser.text("#card h2") == "h1", "hovering shows the card"
    assert not browser.all("#card .cones")
    pointer.click().perform()
    assert browser.text("#card .cones") == "◀ 2 upstream3 downstream ▶"
    browser.shoot("chosen")
    browser.nothing_wrong()


def test_the_slider_walks_forward_turns_and_walks_back(browser: Any, make: Make) -> None:
    browser.open(make("small").as_uri())
    browser.set("step", 3)
    assert browser.text("#head").startswith("4/13 forward: h3")
    assert "6 of 10 edges visited" in browser.text("#caption")
    browser.shoot("forward")
    browser.set("step", 6)
    assert browser.text("#head") == "7/13 turn"
    browser.set("step", 9)
    assert browser.text("#head").startswith("10/13 backward: h3")
    assert "reads the cached ∂L/∂z of y1, y2" in browser.text("#caption")
    assert browser.text("#quantity") == "∂L/∂z"
    browser.shoot("backward")
    browser.press("]")
    assert browser.text("#head").startswith("11/13 backward")
    browser.press(".")
    assert browser["sample"].get_attribute("value") == "1"
    browser["theme"].click()
    assert browser.run("return document.documentElement.dataset.theme") in ("light", "dark")
    browser.shoot("other-theme")
    browser["play"].click()
    browser.until(lambda: browser.text("#head").startswith("12/13"))
    browser.nothing_wrong()


def test_colours_filters_history_and_files(browser: Any, make: Make) -> None:
    browser.open(make("small").as_uri())
    for mode, low in (("z", "−"), ("dz", "−"), ("weight", "−1.2"), ("dw", "−"), ("importance", "0"), ("a", "−")):
        browser.set("mode", mode)
        assert browser.text("#low").startswith(low), mode
    browser.set("byweight", 50)
    assert "of 10 edges" in browser.text("#kept")
    assert not browser.text("#kept").endswith("10 of 10 edges shown")
    browser.set("byweight", 0)
    browser.set("tolevel", 1)
    assert browser.text("#kept").startswith("4 of 7 neurons")
    browser.set("tolevel", 3)
    assert browser.run("return document.getElementById('chart').dataset.last") == "0.125"
    assert [cell.text for cell in browser.all("#figures td")][:4] == ["loss", "1", "0.125", "0.125"]
    for kind in ("svg", "png"):
        browser[kind].click()
        browser.until(lambda kind=kind: (browser.downloads / f"teaching.{kind}").exists())
    svg = (browser.downloads / "teaching.svg").read_text(encoding="utf-8")
    assert "<img" not in svg
    assert "&#60;/script&#62;" in svg
    assert (browser.downloads / "teaching.png").read_bytes()[:4] == b"\x89PNG"
    browser["help"].click()
    assert browser["keys"].is_displayed()
    browser.nothing_wrong()


def test_dense_blocks_collapse_and_expand(browser: Any, make: Make) -> None:
    browser.open(make("dense").as_uri())
    browser.shoot("collapsed")
    browser.press("b")
    browser.shoot("expanded")
    browser["search"].send_keys("30\n")
    assert browser.text("#card h2") == "30"
    browser.all("#card .link")[0].click()
    assert browser["fold"].text == "collapse"
    browser["fold"].click()
    assert browser["fold"].text == "expand"
    browser["search"].clear()
    browser["search"].send_keys("30\n")  # a neuron of a collapsed block opens it
    assert browser.text("#card h2") == "30"
    browser.nothing_wrong()


def test_infinite_numbers_are_shown_as_they_are(browser: Any, make: Make) -> None:
    browser.open(make("broken").as_uri())
    assert browser.text("#kept") == "3 of 3 neurons, 2 of 2 edges shown"
    assert "= ∞ at row 0" in browser.text("#card")
    for step in range(int(browser["step"].get_attribute("max")) + 1):
        browser.set("step", step)
    browser.set("sample", 1)
    browser["search"].send_keys("h\n")
    assert "a = identity(z) = NaN" in browser.text("#card")
    browser.nothing_wrong()


COVERED = """const boxes = [...document.querySelectorAll('text')].map((t) => [t.textContent, t.getBBox()]);
const over = ([, p], [, q]) => p.x < q.x + q.width && q.x < p.x + p.width
  && Math.abs(p.y + p.height / 2 - q.y - q.height / 2) < 7;
return [boxes.map(([t]) => t), boxes.filter((p, k) => boxes.some((q, j) => j < k && over(p, q))).map(([t]) => t)];"""


def test_names_have_room_and_a_picture_says_what_its_colours_mean(browser: Any, make: Make) -> None:
    browser.open(make("genes").as_uri())
    browser.set("mode", "weight")
    browser.shoot("genes")
    assert (browser.text("#of"), browser.text("#quantity")) == ("edges", "weight")
    browser["svg"].click()
    picture = browser.downloads / "genes.svg"
    browser.until(picture.exists)
    svg = picture.read_text(encoding="utf-8")
    assert svg.count("<circle") == 157
    browser.driver.get(picture.as_uri())
    words, covered = browser.run(COVERED)
    assert covered == []
    assert words[-4:-2] == ["edges", "weight"]
    assert 60 < sum(word.startswith(("g:", "GO:")) for word in words) < 157


ZOOM = """const done = arguments[0], s = document.getElementById('stage'), times = []; let n = 0, t = performance.now();
const step = () => {
  s.dispatchEvent(new WheelEvent('wheel', {deltaY: n < 20 ? -60 : 60, clientX: 400, clientY: 300}));
  requestAnimationFrame(() => {
    const now = performance.now(); times.push(now - t); t = now;
    ++n < 40 ? step() : done(times.sort((a, b) => a - b));
  });
}; step();"""


def test_a_large_graph(browser: Any, make: Make, request: Any) -> None:
    """Of 20,000 neurons in nightly runs."""
    path = make("large" if request.config.getoption("--soak") else "many")
    assert path.stat().st_size <= 4_000_000
    start = time.perf_counter()
    browser.open(path.as_uri())
    seconds = time.perf_counter() - start
    browser.shoot("large")
    browser["search"].send_keys("1234\n")
    assert browser.text("#card h2") == "1234"
    browser.shoot("large-near")
    browser.press("\ue00c0")
    times = browser.driver.execute_async_script(ZOOM)
    print(f"opened in {seconds:.2f} s; a frame of zooming {times[20]:.0f} ms, the slowest {times[-1]:.0f} ms")
    browser.set("step", 8)
    assert browser.text("#head").startswith("9/")
    browser.shoot("large-step")
    browser.nothing_wrong()
