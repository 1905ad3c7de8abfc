"""The help of every command: examples first, then each option with its form and its default."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from gdw.cli.app import COMMANDS, app
from tests.cli.conftest import Run

FORMS = (
    r"(FOLDER|FILE|PATH|RUN|COLUMN(,\.\.\.)?|N(,\.\.\.)?|NUMBER|PIXELS|EPOCHS|TIME|CHARACTER|NAME(=VALUE)?"
    r"|FACTOR)"
)
OTHERS = r"(KIND:RATE|AXIS=GLOB|[A-Za-z0-9+-]+(\|[A-Za-z0-9+-]+)+)"
TOLD = re.compile(
    r"\[default: [^\]]+\]$|\[required\]$|[Ii]f not given|Required|If [a-z ]+ are given"
)


def command(name: str) -> Any:
    group: Any = typer.main.get_command(app)
    return group.get_command(group.make_context("gdw", [], resilient_parsing=True), name)


def options(name: str) -> list[Any]:
    return [p for p in command(name).params if p.name != "help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_its_form_and_its_default(
    gdw: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = gdw(name, "--help").output
    for param in options(name):
        if param.param_type_name == "argument":
            assert param.metavar, param.name
            continue
        name = param.opts[0]
        if param.is_flag:
            name = re.escape(name.replace("--", "--[no-]")) if param.default is None else name
            entry = re.search(rf"\n  {name}( |\n)([^-].*(\n    +.*)*)", shown)
        else:
            entry = re.search(rf"\n  {name} ({FORMS}|{OTHERS})( |\n)(.*(\n    +.*)*)", shown)
        assert entry, param.opts
        text = " ".join(entry[0].split())
        assert TOLD.search(text), text
        assert param.help.endswith("."), param.help


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_fits_the_terminal(
    gdw: Run, name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = gdw(*[name] * bool(name), "--help").output
    assert "…" not in shown
    assert not re.search(r"<[a-z]", shown)
    lines = shown.splitlines()
    assert lines[0].startswith(f"Usage: gdw {name}".rstrip())
    first_option = next(i for i, line in enumerate(lines) if line.startswith("  -"))
    assert lines.index("Examples:") < first_option
    examples = lines[lines.index("Examples:") :]
    examples = examples[1 : examples.index("")]
    assert 4 <= len(examples) <= 8
    assert max(map(len, examples)) < 82
    rest = [line for line in lines if line not in examples]
    assert all(len(line) <= columns or " " not in line.strip() for line in rest)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_can_be_typed(name: str) -> None:
    for about, words in command(name).examples:
        assert about
        program, used, *typed = shlex.split(words)
        assert program == "gdw"
        made = command(used)
        made.make_context(used, typed)
        assert used == name or (name, used) == ("methods", "train")


def test_no_arguments_show_how_to_begin(gdw: Run) -> None:
    for words in ([], ["train"], ["evaluate"], ["predict"], ["audit"], ["report"]):
        done = gdw(*words)
        assert done.exit_code == 2
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert lines[0].startswith(" ".join(["Usage: gdw", *words]))
        assert "Examples:" in lines
        assert lines[-1].endswith("--help")
        assert not words or len(lines) < 20


def test_required_ones_are_marked(gdw: Run) -> None:
    shown = " ".join(gdw("train", "--help").output.split())
    assert "Usage: gdw train DATA --output FOLDER [OPTIONS]" in shown
    assert "Required, unless --resume or the file of --config names them." in shown
    assert re.search(r"--output FOLDER .{,90}\[required\] --label", shown)
    assert "Usage: gdw predict RUN DATA --output FILE [OPTIONS]" in gdw("predict", "--help").output
