"""The tables of a grid that tries certificates: how often they hold, and how narrow they are."""

from __future__ import annotations

from typing import Any

from gdw.experiments.certificates import DECISIONS, SIZES
from gdw.experiments.results import Group, Results
from gdw.experiments.tables import Entry, Table

_NAMES = (*map(str, SIZES), "chosen")
_NOTHING = "·"
_ROWS = {**{str(m): f"{m} rows" for m in SIZES}, "chosen": "50 + 50 rows"}


def certificate_tables(results: Results, group: Group) -> list[Table]:
    """Two tables for each method of a group: of the intervals, and of the decisions."""
    draws = f"{results.protocol.certificates:,} draws"
    tables = []
    for method in group.methods:
        rows = [
            (str(setting), results.results[cell])
            for setting in group.settings
            for cell in results.cells_of(setting, method)
            if cell in results.results
        ]
        title = results.protocol.title(method)
        if rows:
            tables += [_of_intervals(title, rows, draws), _of_decisions(title, rows, draws)]
    return tables


def _of_intervals(title: str, rows: list[tuple[str, dict[str, Any]]], draws: str) -> Table:
    lines = []
    for setting, result in rows:
        texts = [
            setting,
            _text(result, "wrong_labels", 100),
            _text(result, "detection_auroc", 1, 3),
        ]
        texts += [
            _pair(_text(result, f"coverage_{name}", 100), _text(result, f"width_{name}", 1, 2))
            for name in _NAMES
        ]
        lines.append(tuple(map(Entry, texts)))
    return Table(
        f"The share of wrong labels, with the scores of {title}",
        ("setting", "wrong, %", "AUROC", *(_ROWS[name] for name in _NAMES)),
        tuple(lines),
        f"First: in how many of {draws} the 95 % interval contains the share of wrong labels, in %, from 30, "
        "100 and 300 rows drawn at random, and from 50 random rows and 50 that next_rows chose then. Second: "
        "the mean width divided by that of Wilson's interval from as many random rows.",
    )


def _of_decisions(title: str, rows: list[tuple[str, dict[str, Any]]], draws: str) -> Table:
    cases = [f"{what}_{m}" for what in DECISIONS for m in SIZES]
    lines = []
    for setting, result in rows:
        texts = [
            _pair(_text(result, f"{case}_found", 100, 0), _text(result, f"{case}_failed", 100))
            for case in cases
        ]
        lines.append((Entry(setting), *map(Entry, texts)))
    return Table(
        f"Decisions, with the scores of {title}",
        ("setting", *(case.replace("_", ", ") for case in cases)),
        tuple(lines),
        f"Decisions to leave out or to relabel the most doubtful rows, so that with 95 % confidence at most "
        "half of the share of wrong labels is left. First: in how many of "
        f"{draws} of 30, 100 and 300 random rows there is one. Second: in how many more than that is left. "
        "Both in %.",
    )


def _pair(first: str, second: str) -> str:
    return first if first == second == _NOTHING else f"{first} / {second}"


def _text(result: dict[str, Any], name: str, scale: float, digits: int = 1) -> str:
    value = result.get(name)
    return _NOTHING if value is None else f"{scale * value:.{digits}f}"
