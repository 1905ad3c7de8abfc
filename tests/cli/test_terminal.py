"""What reaches the terminal: names are shown as they are written, and nothing in them steers it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gdw.cli.app import Commands, cell, note
from gdw.cli.errors import report
from gdw.errors import ConfigError, DataError, OutputError, brief, listed, printable
from tests.cli.conftest import Run

RED = "\x1b[31m[red]cat[/red]\x1b[0m"
REVERSED = "dog\u202e\u200fgod\x9b2J"


def steers(text: str) -> bool:
    """Whether the text holds a control character (but for line feeds) or a mark of direction."""
    return any(
        (unicodedata.category(c) in ("Cc", "Cs") and c != "\n")
        or unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or c in "\u200e\u200f\u061c\u2028\u2029"
        for c in text
    )  # fmt: skip


@given(st.text())
def test_printable_text_steers_nothing_and_is_idempotent(text: str) -> None:
    shown = printable(text)
    assert not steers(shown)
    assert printable(shown) == shown
    if text.isprintable() and "np." not in text:
        assert shown == text


def test_joiners_that_scripts_and_emoji_need_are_kept() -> None:
    for text in ("می\u200cخواهم", "👩\u200d💻", "ﷺ שלום", "naïve\u00a0café"):
        assert printable(text) == text


@pytest.mark.parametrize("value", [np.str_("it's"), np.int64(-3), np.float32(0.5), np.bool_(True)])
def test_numpy_scalars_are_shown_plainly(value: Any) -> None:
    plain = repr(value.item())
    for text in (f"found {value!r}", f"found {brief(value)}"):
        assert str(DataError(text)) == f"found {plain}"
    assert str(DataError(listed([np.str_("a"), np.str_("b)")]))) == "'a', 'b)'"


def test_names_of_classes_in_every_command(gdw: Run, train: Run, here: Path) -> None:
    for path in here.glob("*.csv"):
        text = path.read_text(encoding="utf-8")
        changed = text.replace('"cat"', f'"{RED}"').replace('"dog, big"', f'"{REVERSED}"')
        path.write_text(changed, encoding="utf-8")
    (here / "wrong.csv").write_text(
        (here / "test.csv").read_text(encoding="utf-8").replace(RED, "\x1b]0;title\x07"),
        encoding="utf-8",
    )
    outputs = [
        train("--method", "plain"),
        gdw("audit", "run"),
        gdw("evaluate", "run", "test.csv"),
        gdw("evaluate", "run", "wrong.csv"),
        gdw("train", "\x1b[2J.csv", "--label", "x", "--output", "\x1b[1mo"),
        gdw("\x1b[5mtrian"),
    ]
    assert [o.exit_code for o in outputs] == [0, 0, 0, 2, 2, 2]
    for result in outputs:
        assert not steers(result.stdout)
        assert not steers(result.stderr)
    for result in outputs[:3]:
        assert "[red]cat[/red]" in result.stdout.replace("\n", "")
    assert cell("a\nb[bold]") == "a\\nb\\[bold]"


def test_a_pipe_that_its_reader_closed_is_left_silently() -> None:
    command = f"{sys.executable} -m gdw methods | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout in (
        "141\n",
        "0\n",
    )  # 0 if everything fitted into the pipe before it was closed


def in_shell(command: str) -> tuple[str, str]:
    shell = ["bash", "-c", command.replace("gdw", f"{sys.executable} -m gdw", 1)]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


# The help is printed by rich, which ends a process whose reader is gone by itself.
@pytest.mark.parametrize("command", ["--help", "train --help", "methods"])
def test_every_command_ends_alike_without_a_reader(command: str) -> None:
    waiting = f"gdw {command} | (exec <&-; sleep 0.01); echo ${{PIPESTATUS[0]}}"
    assert in_shell(waiting) == ("141\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("command", ["--help", "methods"])
def test_standard_output_that_takes_no_more_is_named(command: str) -> None:
    said = "gdw: cannot write standard output: No space left on device; make room on that disk\n"
    assert in_shell(f"gdw {command} > /dev/full; echo $?") == ("2\n", said)


def test_names_keep_their_spaces_in_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    report(ConfigError("no column 'feat  2'.\n  Did you mean\r\n'feat 2'?\n"))
    assert capsys.readouterr().err == "gdw: no column 'feat  2'. Did you mean\\r 'feat 2'?\n"


def run_failing(error: BaseException) -> Any:
    app = typer.Typer(cls=Commands)

    @app.callback(invoke_without_command=True)
    def fail() -> None:
        raise error

    return CliRunner().invoke(app, [])


FAILURES: list[tuple[Callable[[], BaseException], str]] = [
    (lambda: OSError(errno.EISDIR, os.strerror(errno.EISDIR), "runs/.page.html.gdw-abcd1234.tmp"),
     "gdw: Is a directory: runs/page.html"),
    (lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
     "gdw: a file cannot be read or written, and the system does not say which: No space left on device"),
    (lambda: OutputError.of(OSError(errno.ENOSPC, ""), "a.csv"),
     "gdw: cannot write a.csv: No space left on device; make room on that disk"),
    (lambda: PermissionError(errno.EACCES, "Permission denied", "b\x1b[2J.csv"),
     r"gdw: Permission denied: b\x1b[2J.csv"),
    (lambda: ConfigError(f"found {np.str_('x')!r}\x1b"), r"gdw: found 'x'\x1b"),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "start"), FAILURES)
def test_messages_hold_no_names_of_temporary_files_and_say_which_file(
    failure: Callable[[], BaseException], start: str
) -> None:
    result = run_failing(failure())
    assert result.exit_code == 2
    assert result.stderr.startswith(start)
    assert result.stderr.count("\n") == 1
    assert not re.search(r"\.tmp|np\.", result.stderr)


def test_notes_too(capsys: pytest.CaptureFixture[str]) -> None:
    note("class \x1b[31mcat")
    assert report(ConfigError("\x07")) == 2
    assert capsys.readouterr().err == "gdw: note: class \\x1b[31mcat\ngdw: \\x07\n"
