"""Show what a long command is doing: one line that changes on a terminal, else a line a minute."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gdw.cli.app import cell, say

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def watched(status: Callable[[], str]) -> Iterator[None]:
    """Inside, standard error shows what `status` returns; nothing where that is empty."""
    ended = threading.Event()
    follow = _on_terminal if sys.stderr.isatty() else _as_lines
    thread = threading.Thread(target=follow, args=(status, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _as_lines(status: Callable[[], str], ended: threading.Event) -> None:
    while not ended.wait(EVERY):
        text = status()
        if text:
            say(text, err=True)


def _on_terminal(status: Callable[[], str], ended: threading.Event) -> None:
    from rich.console import Console

    with Console(stderr=True).status("") as line:
        while not ended.wait(1.0):
            line.update(cell(status()))
