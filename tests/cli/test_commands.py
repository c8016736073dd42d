"""The command line as a whole: finding commands, help, exit codes, what breaks outside of us; list and doctor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flowgrad as fg
from flowgrad.registry import find, names

COMMANDS = ("check", "demo", "doctor", "grad", "list", "predict", "train")


def shell(script: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of sh; $flowgrad is the command."""
    variables = {**os.environ, "flowgrad": f"{sys.executable} -m flowgrad", "PYTHONWARNINGS": "error", **env}
    return subprocess.run(
        ["sh", "-c", script], cwd=cwd, env=variables, capture_output=True, text=True, encoding="utf-8", timeout=120
    )


def test_the_commands_are_the_files_of_the_folder() -> None:
    assert set(COMMANDS) <= set(names("cli"))


def test_help_lists_every_command(run: Any) -> None:
    for words in ((), ("--help",), ("-h",)):
        result = run(*words)
        assert result.code == 0
        assert all(f" {command} " in result.out for command in COMMANDS)
        assert not result.err


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(run: Any, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert f"flowgrad {command}" in result.out


def test_version(run: Any) -> None:
    assert run("--version").out == f"flowgrad {fg.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lst",), "unknown command 'lst': did you mean 'list'?"),
        (("hlp",), "unknown command 'hlp'; known: "),  # --help is no command
        (("--hepl",), "unknown option '--hepl': did you mean '--help'?"),
        (("train",), "Missing argument"),
        (("train", "a.toml", "--epoch", "3"), "No such option: --epoch"),
        (("train", "a.toml", "--epochs", "ten"), "--epochs"),
        (("list", "looses"), "unknown kind 'looses': did you mean 'losses'?"),
        (("demo", "--seed", "-1"), "--seed"),
    ],
)
def test_wrong_words_get_one_line(run: Any, words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: ")
    assert message in result.err
    assert not result.out


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_without_its_libraries_the_command_line_says_what_to_install(
    run: Any, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    result = run("list")
    assert result.code == 2
    assert result.err == f"error: the command line needs {library}: pip install 'flowgrad[cli]'\n"


def test_ctrl_c_is_130(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("flowgrad.cli._main.find", interrupted)
    result = run("list")
    assert (result.code, result.out) == (130, "")
    assert result.err == "interrupted\n"


def test_a_bug_is_no_user_error(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("flowgrad.cli._main.find", lambda *_: broken)
    with pytest.raises(ZeroDivisionError):
        run("list")


def test_in_a_shell(tmp_path: Path) -> None:
    wrong = shell("$flowgrad train nothing.toml", tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr == "error: cannot read nothing.toml: no such file or directory\n"


def test_a_reader_that_has_gone_is_not_complained_to(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("source,target\nx,y\n")
    (tmp_path / "x.csv").write_text("x\n" + "0.5\n" * 5_000)  # more than a pipe holds
    gone = shell("$flowgrad predict edges.csv --data x.csv --executor python | head -n 1", tmp_path)
    assert (gone.stdout, gone.stderr) == ("y\n", "")


def test_a_terminal_without_unicode_still_gets_its_answer(tmp_path: Path) -> None:
    result = shell("$flowgrad list losses", tmp_path, PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert "l_n = ? (y_n ? t_n)" in result.stdout
    assert "\x1b[" not in result.stdout  # which is no terminal


def test_colours_only_where_they_are_wanted(tmp_path: Path) -> None:
    assert "\x1b[" in shell("$flowgrad list losses", tmp_path, FORCE_COLOR="1", COLUMNS="100").stdout
    plain = shell("$flowgrad list losses", tmp_path, FORCE_COLOR="1", NO_COLOR="1", COLUMNS="100", TERM="xterm")
    assert "\x1b[3" not in plain.stdout  # bold is no colour


def test_list_without_a_kind_names_everything(run: Any) -> None:
    out = run("list").out
    for kind in ("executors", "activations", "aggregations", "losses", "optimizers", "formats"):
        assert f"{kind}: {', '.join(names(kind))}\n" in out


@pytest.mark.parametrize(
    "kind",
    [
        "activations",
        "aggregations",
        "losses",
        "optimizers",
        "initializers",
        "metrics",
        "schedules",
        "commands",
    ],
)
def test_list_of_a_kind_says_what_each_is(run: Any, kind: str) -> None:
    lines = run("list", kind).out.splitlines()
    assert lines[0].split() == ["name", "what", "it", "is"]
    assert len(lines) > 1
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines[1:])


def test_list_formats_says_which_are_read_and_written(run: Any) -> None:
    head, *rows = run("list", "formats").out.splitlines()
    assert head.split() == ["name", "read", "write", "suffixes", "what", "it", "is"]
    cells = {row.split()[0]: row[head.index("read") : head.index("suffixes")].split() for row in rows}
    for name in names("formats"):
        f = find("formats", name)
        assert len(cells[name]) == (f.read is not None) + (f.write is not None)
    assert next(row for row in rows if row.startswith("edgelist")).split()[3:6] == [".csv", ".tsv", ".parquet"]


def test_list_executors_says_which_can_run(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = fg.executors() | {"python": True, "numba": "numba is not installed"}
    monkeypatch.setattr(fg, "executors", lambda: known)
    out = run("list", "executors").out
    rows = [line.split(maxsplit=2) for line in out.splitlines()]
    assert ["python", "yes"] in [row[:2] for row in rows]
    assert "no: numba is not installed" in out


def test_doctor_tells_versions_and_computes_a_gradient_on_each_executor(run: Any) -> None:
    result = run("doctor")
    assert result.code == 0
    assert f"flowgrad {fg.__version__}" in result.out
    lines = [line.split() for line in result.out.splitlines()]
    assert ["python", "yes"] in lines
    assert any(line[:1] == ["networkx"] and "itself" in line for line in lines)
    assert "threads: " in result.out


def test_doctor_reports_a_broken_executor_and_lives(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("the library is cracked")

    monkeypatch.setattr(fg, "compile", broken)
    result = run("doctor")
    assert result.code == 1
    assert "NO: RuntimeError: the library is cracked" in result.out
    assert "no executor works" in result.out


def test_doctor_examines_a_network_on_its_data(run, tmp_path) -> None:
    (tmp_path / "good.csv").write_text("source,target,weight\nx,h,1.0\nh,y,1.0\nx,y,0.5\n")
    (tmp_path / "ends.csv").write_text("x,y\n0.5,1.0\n-0.3,0.2\n")
    result = run("doctor", "good.csv", "--data", "ends.csv")
    assert (result.code, "\nwell: " in result.out) == (0, True)
    result = run("doctor", "good.csv")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "on --data" in result.err
    result = run("doctor", "--data", "ends.csv")
    assert "--data goes with a network" in result.err


def test_explain_and_importance_of_a_network(run, tmp_path) -> None:
    (tmp_path / "net.csv").write_text("source,target,weight\nx,h,1.0\nh,y,2.0\nu,y,0.5\n")
    (tmp_path / "data.csv").write_text("x,u,y\n0.0,1.0,0.5\n0.0,3.0,0.0\n")
    result = run("explain", "net.csv", "h", "--data", "data.csv", "--sample", "0")
    assert result.code == 0
    assert "(3)  a = tanh(z) = 0\n" in result.out
    assert "(10)  ∂L/∂a = Σ over 1 successor = 0\n" in result.out
    result = run("importance", "net.csv", "--data", "data.csv", "--out", "all.csv")
    assert result.code == 0
    rows = (tmp_path / "all.csv").read_text().splitlines()
    assert len(rows) == 1 + 4
    assert "y,h,hidden,2.0,0.0,0.0,0.0,0.0" in rows  # a of h is 0 at both samples
    result = run("importance", "net.csv", "--data", "data.csv", "--by", "y", "--ignore", "y", "--integrated")
    assert "if 0.5" in result.out
    assert "adds up to y(x) − y(0) within" in result.out
    result = run("importance", "net.csv", "--data", "data.csv", "--loss", "squared_error")
    assert "\nfor the loss\n" in result.out
    for words, said in [
        (("explain", "net.csv", "hh", "--data", "data.csv"), "did you mean 'h'"),
        (("explain", "net.csv", "h", "--data", "data.csv", "--sample", "7"), "sample=7"),
        (("importance", "net.csv", "--data", "data.csv", "--output", "z"), "'z' is no output"),
        (("importance", "net.csv", "--data", "data.csv", "--kind", "hiden"), "did you mean 'hidden'"),
        (("importance", "net.csv", "--data", "data.csv", "--by", "v"), "lacks the column of classes 'v'"),
        (("importance", "net.csv", "--data", "data.csv", "--loss", "huber", "--output", "y"), "exclude each other"),
    ]:
        result = run(*words)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert said in result.err
