"""flowgrad's own executors pass the battery, and a battery that shrank does not pass."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import flowgrad as fg
from flowgrad.cli import main
from flowgrad.errors import ConfigError
from flowgrad.registry import names
from flowgrad.testing import Report, battery, conformance, parametrize_with_executor
from flowgrad.testing.battery import _CHECKS, Check, Subject
from flowgrad.testing.conformance import LEAST

SIZE = Counter(check.feature for check in battery().values())


@parametrize_with_executor("python")
def test_python_conforms(check, quick: bool) -> None:
    check(quick)


@parametrize_with_executor("numba")
def test_numba_conforms(check, quick: bool) -> None:
    if fg.executors()["numba"] is not True:
        pytest.skip(str(fg.executors()["numba"]))
    check(quick)


def test_the_battery_is_no_smaller_than_it_says() -> None:
    assert set(LEAST) == set(SIZE)
    assert all(SIZE[feature] >= least for feature, least in LEAST.items())


def test_a_shrunken_battery_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    report = conformance("python", only=["protocol", "dropout"])
    assert report.ok
    whole = replace(report, whole=True)
    assert not whole.ok
    assert any(line.startswith("oracle: 0 checks") for line in whole.short())


def test_a_check_that_compares_too_little_fails() -> None:
    emptied = Check("emptied", "oracle", "nothing", 3, lambda subject: subject.true(True, "once"))
    with pytest.raises(AssertionError, match="compared 1 times, and must at least 3"):
        emptied("python")
    emptied("python", quick=True)
    emptied = replace(emptied, least=6)
    with pytest.raises(AssertionError, match="compared 1 times, and must at least 2"):
        emptied("python", quick=True)


def test_expected_failures_are_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(subject: Subject) -> None:
        subject.true(False, "wrong")

    battery()
    monkeypatch.setitem(_CHECKS, "wrong", Check("wrong", "oracle", "never holds", 1, wrong))
    assert not conformance("python", only=["wrong"]).ok
    expected = conformance("python", {"wrong": "by design"}, only=["wrong"])
    assert expected.ok
    assert expected.counts()["oracle"] == {"run": 0, "xfail": 1, "skip": 0, "fail": 0}
    passing = conformance("python", {"losses[huber]": "thought to fail"}, only=["losses[huber]"])
    assert [o.result for o in passing.outcomes] == ["xpass"]
    assert not passing.ok


def test_names_of_checks_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'losses\[huber\]'"):
        conformance("python", {"losses[hubr]": "why"})
    with pytest.raises(ConfigError, match="unknown check 'oracel': did you mean 'oracle'"):
        conformance("python", only=["oracel"])


def test_a_table_is_made_of_reports_of_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, page = tmp_path / "one.json", tmp_path / "page.md"
    assert main(["conformance", "python", "--only", "errors", "--report", str(one)]) == 0
    page.write_text("# Mine\n\n<!-- flowgrad conformance -->\nold\n<!-- end of it -->\n\nThe rest.\n", "utf-8")
    # a part of the battery is a part, also when it is read again: it is not held to the minimum
    assert main(["conformance", "--from", str(one), "--from", str(one), "--markdown", str(page)]) == 0
    text = page.read_text("utf-8")
    assert text.startswith("# Mine\n\n<!-- flowgrad conformance -->\n\n| feature | python | python |\n")
    assert text.endswith("\n\n<!-- end of it -->\n\nThe rest.\n")
    assert f"| errors | {SIZE['errors']} | {SIZE['errors']} |" in text
    assert "| seconds | " in text
    assert "old" not in text
    capsys.readouterr()
    bad = tmp_path / "bad.json"
    for content, message in (("{", "this is no JSON"), ('{"checks": 1}', "this is no report"), ("[1]", "no report")):
        bad.write_text(content, "utf-8")
        assert main(["conformance", "--from", str(bad)]) == 2
        assert message in capsys.readouterr().err
    assert main(["conformance", "--from", str(tmp_path / "none.json")]) == 2
    assert "none.json: No such file" in capsys.readouterr().err
    assert main(["conformance"]) == 2
    assert "say which executors" in capsys.readouterr().err


def test_the_table_in_the_guide_is_of_this_battery_and_of_all_executors() -> None:
    """Made by the command. A check added since is in the next one; none that is gone is claimed, and none failed."""
    guide = (Path(__file__).parents[2] / "docs" / "executors.md").read_text("utf-8")
    table = guide.partition("<!-- flowgrad conformance -->")[2].partition("<!-- end of it -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    assert set(names("executors")) <= set(rows[0][1:])
    for feature, *cells in rows[2:-2]:
        for cell in cells:  # "5, 9 skip": five ran, nine did not
            parts = [part.split() for part in cell.split(", ")]
            assert 0 < sum(int(part[0]) for part in parts) <= SIZE[feature], (feature, cell)
            assert all(part[1:] in ([], ["skip"]) for part in parts), (feature, cell)
    assert {row[0] for row in rows[2:-2]} == set(SIZE)
    told = re.findall(r"^- \w+: skip (.*?): it", table, re.MULTILINE)
    assert {name.strip("`") for line in told for name in line.split(", ")} <= set(battery())


def test_the_command_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, page = tmp_path / "r.json", tmp_path / "t.md"
    words = ["conformance", "python", "--only", "errors", "--report", str(report), "--markdown", str(page)]
    assert main(words) == 0
    assert f"python conforms: {SIZE['errors']} run, 0 xfail, 0 skip, 0 fail" in capsys.readouterr().out
    assert json.loads(report.read_text("utf-8"))["counts"]["errors"]["run"] == SIZE["errors"]
    assert f"| errors | {SIZE['errors']} |" in page.read_text("utf-8")
    assert main(["conformance", "python", "--only", "losses", "--quick", "--expect", "class_indices=no reason"]) == 1
    assert main(["conformance", "nmba"]) == 2


AUTHOR = """
from flowgrad.executor import Adjoint, ExecutorInfo
from flowgrad.executors.python import PythonExecutor

class Kernel:
    def __init__(self, true):
        self.true = true

    def forward(self, theta, x):
        return self.true.forward(theta, x)

    def backward(self, theta, saved, dy, live):
        found = self.true.backward(theta, saved, dy, live)
        if len(dy) == 5:
            raise KeyError(len(dy))
        return Adjoint(found.dz, found.da, found.weight * 1.01, found.bias)

class Wrong:
    info = ExecutorInfo("wrong", "weights of another size, and a batch of five")
    made = 0

    def can_run(self, network, request):
        return True

    def compile(self, network, request):
        return Kernel(PythonExecutor().compile(network, request))

class Parts:
    right = PythonExecutor()
    info = right.info

nothing = 3
"""


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """A module of an author's in the current folder, under a name of its own; the call gives MODULE:what."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    name = f"author_{tmp_path.name}"

    def put(what: str, code: str = AUTHOR) -> str:
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
        importlib.invalidate_caches()
        return f"{name}:{what}"

    yield put
    sys.modules.pop(name, None)


def test_an_executor_needs_no_package(author: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", author("Parts.right"), "--only", "structure"]) == 0
    assert f"python conforms: {SIZE['structure']} run" in capsys.readouterr().out


def test_failures_of_one_cause_are_told_together(
    author: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # which GNU readline sets where a module loads it
    where = tmp_path / "report.json"
    words = [word for feature in ("protocol", "oracle", "equality") for word in ("--only", feature)]
    assert main(["conformance", author("Wrong"), *words, "--report", str(where)]) == 1
    out = capsys.readouterr().out
    line = AUTHOR[: AUTHOR.index("raise KeyError")].count("\n") + 1
    assert f"fail 2 checks: KeyError at {Path(author('').rstrip(':')).stem}.py:{line}: 5" in out
    assert "    shapes_and_dtypes[float64], shapes_and_dtypes[float32]" in out
    assert re.search(r"fail \d checks: ∂L/∂w of .*\n    gradients_equal_the_complex_step, ", out)
    assert "np.float64" not in out
    report = Report.from_dict(json.loads(where.read_text("utf-8")))
    failed = [group for group in report.groups() if group.result == "fail"]
    assert sorted(name for group in failed for name in group.checks) == sorted(o.name for o in report.failures)
    assert [len(group.checks) for group in failed] == sorted((len(group.checks) for group in failed), reverse=True)
    assert len(failed) <= 4 < len(report.failures)


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("Rong", AUTHOR, "no 'Rong' in author_.*: did you mean 'Wrong'?"),
        ("Parts.rigt", AUTHOR, "no 'rigt' in author_.*: did you mean 'right'?"),
        ("nothing", AUTHOR, "is no executor: int lacks info, can_run, compile"),
        ("Parts", AUTHOR, "is no executor: Parts lacks can_run, compile"),
        ("Wrong", "import no_such_library", "importing author_.* fails: ModuleNotFoundError: No module named 'no_such"),
        ("Wrong", "x = (", "importing author_.* fails: SyntaxError"),
        ("", AUTHOR, "unknown executor 'author_"),
    ],
)
def test_what_is_no_executor_is_told_in_one_line(
    author: Callable[..., str], capsys: pytest.CaptureFixture[str], what: str, code: str, said: str
) -> None:
    assert main(["conformance", author(what, code)]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1


def test_a_module_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["conformance", "no_such_module:entry"]) == 2
    assert "no module 'no_such_module' in " in capsys.readouterr().err
