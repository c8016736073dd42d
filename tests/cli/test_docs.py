"""docs/commands has a page for each command that says what the command says of itself, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from flowgrad import toml_text
from flowgrad.cli import _config
from flowgrad.cli._main import _paragraphs
from flowgrad.registry import _own, find

typer = pytest.importorskip("typer")

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "commands"
COMMANDS = _own("cli")


def page(command: str) -> str:
    return (FOLDER / f"{command}.md").read_text(encoding="utf-8")


def rows(text: str, header: str) -> list[list[str]]:
    """The cells of every table with that first cell in its header."""
    found = []
    for table in re.findall(rf"^\| {re.escape(header)} \|.*\n\| ---.*\n((?:\|.*\n)*)", text, re.MULTILINE):
        found += [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return found


def test_no_page_is_left_of_a_command_that_is_gone() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_says_what_help_says(command: str) -> None:
    entry = find("cli", command)
    text = page(command)
    assert text.startswith(f"# flowgrad {command}\n\n{_paragraphs(entry.__doc__)}\n\n")
    app = typer.Typer(add_completion=False)
    app.command(command)(entry)
    wanted = []
    for p in typer.main.get_command(app).params:
        if p.hidden:  # an older spelling
            continue
        word = p.opts[0] if p.param_type_name == "option" else (p.metavar or p.name).upper()
        wanted.append([f"`{word}`", p.help])
    assert rows(text, "argument or option") == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_calls_commands_and_options_that_exist(command: str) -> None:
    called = re.findall(r"^\$ flowgrad (\S+)(.*)$", page(command), re.MULTILINE)
    assert [name for name, _ in called][:1] == [command]
    for name, rest in called:
        params = typer.main.get_command(_app(name)).params
        known = {word for p in params for word in p.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= known


def _app(name: str) -> object:
    app = typer.Typer(add_completion=False)
    app.command(name)(find("cli", name))
    return app


def test_the_page_of_train_has_every_key_with_its_rule_and_default() -> None:
    text = page("train")
    for section, keys in _config.KEYS.items():
        wanted = [
            [
                f"`{name}`: {key.help}",
                key.rule.words,
                "" if key.default is None else f"`{toml_text.written(key.default)}`",
            ]
            for name, key in keys.items()
        ]
        assert rows(text, f"`[{section}]`") == wanted


def test_the_configuration_on_the_page_of_train_is_a_good_one() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", page("train"), re.DOTALL)
    assert blocks
    for block in blocks:
        _config.check(tomllib.loads(block))
