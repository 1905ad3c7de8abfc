"""Cells of CSV files that a spreadsheet would take for formulas."""

from __future__ import annotations

import re

_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def escaped(cell: str) -> str:
    """`cell`, behind an apostrophe if it begins like a formula and is no plain number."""
    return f"'{cell}" if _like_formula(cell) else cell


def unescaped(cell: str) -> str:
    """The cell that `escaped` was given; one that it left alone stays as it is."""
    return cell[1:] if cell.startswith("'") and _like_formula(cell) else cell


def _like_formula(cell: str) -> bool:
    # Apostrophes of the cell's own are looked through, so that what was added can be told from them.
    core = cell.lstrip("'")
    return core.startswith(_STARTS) and not _NUMBER.fullmatch(core)
