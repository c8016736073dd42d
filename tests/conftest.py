"""What every test shares: executors, the real data, errors by their words, and how long Hypothesis may take."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import flowgrad as fg
from flowgrad import choice, registry

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
AUTOMATIC = choice._automatic
EXAMPLES = 12  # of each property test in an ordinary run; a soak run draws 30 N
# folders whose tests run on each executor and take "auto" as users do: they are about executors, or train
ABOUT_EXECUTORS = ("tests", "executors", "training", "estimators", "inspection")

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
        help="run tests marked soak too, products of parameters whole, and every property test on 30 N fresh cases",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`: a worker for each core, four at most, where folders are run; none, which starts at once, for files."""
    folders = any(Path(arg.partition("::")[0]).is_dir() for arg in config.args)
    return min(cores(), 4) if folders else 0


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_configure(config: pytest.Config) -> None:
    # workers and interpreters that tests start keep compiled modules, as Python does by default: each would otherwise
    # compile the package and its tests anew, a tenth of the suite's time
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    factor = config.getoption("--soak")
    if factor:
        settings.register_profile("nightly", settings.get_profile("ci"), max_examples=factor * 30, derandomize=False)
        settings.load_profile("nightly")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.covering(name=…, dtype=…, strength=1)` runs a covering set of the product of these values.

    Each value comes at least once; with strength 2 so does each pair of values of two parameters. Under --soak it is
    the whole product. A dict gives its values' ids.
    """
    whole = metafunc.config.getoption("--soak")
    for mark in metafunc.definition.iter_markers("covering"):
        axes = dict(mark.kwargs)
        strength = axes.pop("strength", 1)
        if "executor" in axes and not whole and not _about_executors(metafunc.definition):
            axes["executor"] = ["python"]
        ids = [[*values] if isinstance(values, dict) else None for values in axes.values()]
        values = [[*(axis.values() if isinstance(axis, dict) else axis)] for axis in axes.values()]
        sizes = [len(axis) for axis in values]
        rows = product(*map(range, sizes)) if whole else covering(sizes, strength)
        params = []
        for row in rows:
            chosen = [axis[k] for axis, k in zip(values, row, strict=True)]
            label = "-".join(str(name[k] if name else value) for name, value, k in zip(ids, chosen, row, strict=True))
            params.append(pytest.param(*chosen, id=label))
        indirect = [name for name in axes if name == "executor"]
        metafunc.definition.add_marker(pytest.mark.parametrize(",".join(axes), params, indirect=indirect))


def covering(sizes: Sequence[int], strength: int) -> list[tuple[int, ...]]:
    """Rows of numbers below `sizes` in which each choice of values for `strength` columns comes once or more.

    The longest columns run through all of their product, and each other takes what covers most that is not yet.
    """
    order = sorted(range(len(sizes)), key=lambda k: -sizes[k])
    first = sorted(order[:strength])
    groups = [[*columns] for columns in combinations(range(len(sizes)), strength)]
    missing = {(*columns, *row) for columns in groups for row in product(*(range(sizes[k]) for k in columns))}
    rows: list[tuple[int, ...]] = []

    def take(row: dict[int, int]) -> None:
        for k in order:
            if k not in row:
                known = [g for g in groups if k in g and {*g} <= {*row, k}]

                def fresh(value: int, k: int = k, known: list[list[int]] = known) -> tuple[int, int]:
                    full = {**row, k: value}
                    new = sum((*g, *(full[c] for c in g)) in missing for g in known)
                    return -new, (value - len(rows)) % sizes[k]

                row[k] = min(range(sizes[k]), key=fresh)
        missing.difference_update({(*g, *(row[c] for c in g)) for g in groups})
        rows.append(tuple(row[k] for k in range(len(sizes))))

    for chosen in product(*(range(sizes[k]) for k in first)):
        take(dict(zip(first, chosen, strict=True)))
    while missing:
        one = min(missing)
        take(dict(zip(one[:strength], one[strength:], strict=True)))
    return rows


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --soak: no soak test, and where a folder is not about executors only the definition."""
    items.sort(key=lambda item: item.path.parent.name != "viewer")  # what waits for a browser does not come last
    if config.getoption("--soak"):
        return
    left = [item for item in items if "soak" in item.keywords or _elsewhere_too(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


def _elsewhere_too(item: pytest.Item) -> bool:
    given = getattr(item, "callspec", None)
    executor = given.params.get("executor") if given and "executor" in item.fixturenames else None
    return executor == "numba" and not _about_executors(item)


def _about_executors(item: pytest.Item) -> bool:
    return item.path.parent.name in ABOUT_EXECUTORS


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and tests stay to the end: collections of garbage pass them over, which takes each of them 0.2 s less."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """fsync returns at once in this process: what it is for is a loss of power, which no test brings about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses a descriptor that is none, as fsync does
        yield


@pytest.fixture(scope="module", autouse=True)
def _auto_compiles_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """`executor="auto"` is the Python executor where a test is of something else, but for soak runs and `as_users`."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name not in ABOUT_EXECUTORS and not request.config.getoption("--soak"):
            patch.setattr(choice, "_automatic", lambda *_: (registry.find("executors", "python"), "python: for tests"))
        yield


@pytest.fixture
def as_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """`executor="auto"` chooses as it does outside of tests."""
    monkeypatch.setattr(choice, "_automatic", AUTOMATIC)


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


@pytest.fixture
def in_child() -> Callable[..., int]:
    """Return a function that runs another in a forked child and gives the exit status, 0 if it returned in time."""

    def run(work: Callable[[], object], seconds: int = 60) -> int:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            work()
            os._exit(0)
        finally:
            os._exit(1)

    return run
