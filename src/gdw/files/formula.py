"""Protect cells of CSV files that a spreadsheet would run as formulas."""

from __future__ import annotations

import re

_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def escaped(cell: str) -> str:
    """Return `cell` with an apostrophe in front if it begins like a formula and is not a number."""
    return f"'{cell}" if _like_formula(cell) else cell


def unescaped(cell: str) -> str:
    """Return the cell that `escaped` got. A cell that `escaped` did not change stays as it is."""
    return cell[1:] if cell.startswith("'") and _like_formula(cell) else cell


def _like_formula(cell: str) -> bool:
    # A cell may have apostrophes of its own: they are skipped, so that an added one can be recognised.
    core = cell.lstrip("'")
    return core.startswith(_STARTS) and not _NUMBER.fullmatch(core)
