"""A browser, the installed wheel, and the networks that the page is shown with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NETWORKS = Path(__file__).with_name("networks.py")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The Python of a fresh virtual environment that has flowgrad's wheel; its dependencies are this environment's.

    pip installs it in a nightly run; else it is unpacked, which is what pip does with a wheel of Python alone.
    """
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")

    def run(*words: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([str(w) for w in words], check=True, cwd=ROOT, capture_output=True)

    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = next(path for path in (folder / "venv/bin/python", folder / "venv/Scripts/python.exe") if path.exists())
    (packages,) = (folder / "venv").glob("[Ll]ib/**/site-packages")
    if request.config.getoption("--soak"):
        run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    else:
        zipfile.ZipFile(wheel).extractall(packages)
    (package,) = packages.glob("flowgrad")
    outer = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (package.parent / "outer.pth").write_text("\n".join(outer) + "\n", encoding="utf-8")
    found = run(python, "-I", "-c", "import flowgrad; print(flowgrad.__file__)").stdout.decode().strip()
    assert Path(found).parent == package, "the wheel, not the source tree"
    return python


@pytest.fixture(scope="session")
def made(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """made("small") is small.html, written by the installed wheel: once, for all tests that look at it."""
    folder = tmp_path_factory.mktemp("pages")

    @cache
    def page(name: str) -> Path:
        subprocess.run([installed, "-I", NETWORKS, name, folder / f"{name}.html"], check=True, cwd=folder)
        return folder / f"{name}.html"

    return page


@pytest.fixture
def make(made: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """make("small") is small.html in the test's own folder."""
    return lambda name: Path(shutil.copy(made(name), tmp_path))


class Page:
    """The browser, and what the tests ask of it."""

    def __init__(self, driver: Any, downloads: Path, shots: Path | None) -> None:
        self.driver, self.downloads, self.shots = driver, downloads, shots
        self.run = driver.execute_script

    def open(self, url: str) -> None:
        self.driver.get(url)
        assert self.run("return document.documentElement.dataset.ready") == "yes"

    def __getitem__(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def all(self, selector: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def set(self, name: str, value: Any) -> None:
        """Move a slider, or choose in a list."""
        self.run(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind))", name, value
        )  # fmt: skip

    def press(self, keys: str) -> None:
        self["stage"].send_keys(keys)

    def until(self, said: Callable[[], Any], seconds: float = 60) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _: said())

    def shoot(self, name: str) -> None:
        """A screenshot for people to look at, of nightly runs, in the test's folder (pytest --basetemp says where)."""
        if self.shots is not None:
            assert self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def nothing_wrong(self, own: tuple[str, ...] = ()) -> None:
        """No word on the console, and no request but for the file itself, or for what begins like `own`."""
        words = [word["message"] for word in self.driver.get_log("browser")]
        assert [word for word in words if "GPU stall due to ReadPixels" not in word] == []  # of the screenshot
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        fine = ("file:", "data:", "blob:", "chrome:", *own)
        assert [url for url in asked if not url.startswith(fine)] == []


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless chromium for all tests: an empty profile, software GL, its console and its network logged."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver: the page is not looked at in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = "headless=new no-sandbox disable-quic no-first-run disable-background-networking disable-component-update"
    for flag in [*flags.split(), "disable-sync", "disable-gpu", "enable-unsafe-swiftshader", "window-size=1440,900"]:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture
def browser(chromium: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The browser at an empty page in a new window, nothing logged yet; downloads come into the test's folder."""
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    before = chromium.current_window_handle
    chromium.switch_to.new_window("window")
    chromium.set_window_size(1440, 900)
    where = {"behavior": "allow", "downloadPath": str(downloads)}
    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    for log in ("browser", "performance"):
        chromium.get_log(log)
    yield Page(chromium, downloads, tmp_path if request.config.getoption("--soak") else None)
    chromium.close()
    chromium.switch_to.window(before)
