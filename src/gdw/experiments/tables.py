"""A table of text, from which the pages of a grid are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A cell of a table; it may be the best of its column, or show a failure."""

    text: str
    best: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Table:
    """A table, and a note that says how to read it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    note: str = ""
