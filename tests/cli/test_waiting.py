"""A sign of life on a terminal, and only there."""

from __future__ import annotations

import io
import re
import time

import pytest

from gdw.cli.train import _waiting
from gdw.cli.waiting import waiting


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_long_work_is_shown_and_short_work_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := _Terminal())
    with waiting("reading", patience=60.0):
        pass
    assert stream.getvalue() == ""
    with waiting("reading", patience=0.0):
        while "reading 0:00:0" not in shown(stream):
            time.sleep(0.01)
    assert stream.getvalue().endswith(("\x1b[2K", "\r"))


def test_only_a_terminal_and_one_process_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = type(_waiting("none"))
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert type(_waiting(None)) is quiet
    monkeypatch.setattr("sys.stderr", _Terminal())
    assert type(_waiting("auto")) is not quiet
    assert type(_waiting("none")) is quiet
    monkeypatch.setenv("RANK", "1")
    assert type(_waiting(None)) is quiet
