"""What every test shares: executors, the real data, errors by their words, and how long Hypothesis may take."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import flowgrad as fg
from flowgrad import registry

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
EXAMPLES = 30  # of each property test in an ordinary run

settings.register_profile(
    "ci",
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak",
        type=int,
        default=0,
        metavar="N",
        help="run tests marked soak too, and every property test on N times as many, fresh cases",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`: a worker for each core, four at most, where folders are run; none, which starts at once, for files."""
    folders = any(Path(arg.partition("::")[0]).is_dir() for arg in config.args)
    return min(cores(), 4) if folders else 0


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_configure(config: pytest.Config) -> None:
    factor = config.getoption("--soak")
    if factor:
        settings.register_profile(
            "nightly", settings.get_profile("ci"), max_examples=factor * EXAMPLES, derandomize=False
        )
        settings.load_profile("nightly")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        return
    for item in items:
        if "soak" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a soak test: run with --soak N"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and tests stay to the end: collections of garbage pass them over, which takes each of them 0.2 s less."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """fsync returns at once in this process: what it is for is a loss of power, which no test brings about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses a descriptor that is none, as fsync does
        yield


@pytest.fixture(params=["python", "numba"])
def executor(request: pytest.FixtureRequest) -> str:
    """The name of an executor; a test that takes this runs on all of them."""
    answer = fg.executors().get(request.param, "this flowgrad has no such executor")
    if answer is not True:
        pytest.skip(f"executor {request.param!r}: {answer}")
    return str(request.param)


@pytest.fixture
def data() -> Path:
    """The folder of real graphs and reference numbers."""
    if not DATA.is_dir():
        pytest.skip("no ../shared/data beside the project: real references are not checked here")
    return DATA


@pytest.fixture
def refused() -> Callable[..., Any]:
    """refused(GraphError, "'a'", "twice") is the context that wants this error, its message with all of these parts."""

    def context(error: type[Exception], *parts: str) -> Any:
        return pytest.raises(error, match="(?s)" + "".join(f"(?=.*{re.escape(part)})" for part in parts))

    return context


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts a module with entry points on the path, as an installer would: kind → a name in it."""

    def put(code: str, **points: str) -> None:
        (tmp_path / "theirs.py").write_text(code, "utf-8")
        about = tmp_path / "theirs-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", "utf-8")
        said = "".join(f"[flowgrad.{kind}]\n{name} = theirs:{name}\n" for kind, name in points.items())
        (about / "entry_points.txt").write_text(said, "utf-8")
        forget()

    def forget() -> None:
        registry._others.cache_clear()
        registry.names.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield put
    monkeypatch.undo()
    forget()
    sys.modules.pop("theirs", None)
