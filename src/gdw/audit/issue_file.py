"""`label_issues.csv`: written by an audit, read back after editing, or made by cleanlab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.audit.issues import Where, issue_frame
from gdw.data.rows import Rows, open_rows
from gdw.errors import DataError, RunError, nearest
from gdw.files.atomic import write_atomically
from gdw.files.formula import escaped, unescaped
from gdw.files.wording import listed, shown

if TYPE_CHECKING:
    import pandas as pd

LABEL_ISSUES = "label_issues.csv"
_REQUIRED = ("is_label_issue", "label_quality", "given_label")
_SUGGESTIONS = ("suggested_label", "predicted_label")
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def write_issues(frame: pd.DataFrame, path: Path) -> None:
    """Write the table of `gdw.audit.label_issues`; cells like formulas are escaped."""
    safe = frame.copy(deep=False)
    for name in ("given_label", "suggested_label", "predicted_label"):
        safe[name] = frame[name].map({label: escaped(label) for label in frame[name].unique()})
    safe["where"] = [escaped(place) for place in frame["where"]]
    safe["is_label_issue"] = frame["is_label_issue"].map({True: "true", False: "false"})
    write_atomically(
        path, lambda file: safe.to_csv(file, index=False, float_format="%.6g", encoding="utf-8")
    )


def read_issues(
    path: Path, evidence: Evidence, label_names: Sequence[str], *, where: Where | None = None
) -> pd.DataFrame:
    """The table of `gdw.audit.label_issues` as `path` has it, on the run of `evidence`.

    Needed are the columns `is_label_issue`, `label_quality`, `given_label` and one of `suggested_label` and
    `predicted_label`. A column `index` (or a first one without a name, as pandas writes it) says which
    example a row is about; examples without a row are no issues. Without it row k is example k. Labels may
    be names, or class numbers as cleanlab writes them.

    Raises:
        RunError: not such a table, damaged, or about other labels than the run's.
    """
    try:
        rows = open_rows(path)
        suggestion = _column(rows, path, *_SUGGESTIONS)
        for name in _REQUIRED:
            _column(rows, path, name)
        index = _index(rows, path, len(evidence))
        codes = _Codes(label_names)
        given = codes.of(_cells(rows, "given_label"), path, "given_label")
        _require_same(given, evidence, index, label_names, path)
        quality = _numbers(_cells(rows, "label_quality"), path, "label_quality")
        wrong = _truths(_cells(rows, "is_label_issue"), path)
        suggested = codes.of(_cells(rows, suggestion), path, suggestion)
        probability = np.full(len(index), np.nan)
        if "suggested_probability" in rows.columns:
            cells = _cells(rows, "suggested_probability")
            probability = _numbers(cells, path, "suggested_probability", optional=True)
    except DataError as error:
        raise RunError(f"{error}; expected a table of label issues") from error
    return issue_frame(
        evidence,
        label_names,
        suggested=_spread(suggested, index, evidence.given),
        probability=_spread(probability, index, np.full(len(evidence), np.nan)),
        doubt=_spread(1.0 - quality, index, np.zeros(len(evidence))),
        wrong=_spread(wrong, index, np.zeros(len(evidence), dtype=bool)),
        where=where,
    )


def _spread(values: NDArray[Any], index: NDArray[np.int64], others: NDArray[Any]) -> NDArray[Any]:
    """`values` at `index`, `others` elsewhere."""
    whole = others.astype(values.dtype)
    whole[index] = values
    return whole


def _cells(rows: Rows, name: str) -> list[str]:
    cells: list[str] = rows.values(name, np.arange(len(rows)))
    return cells


def _column(rows: Rows, path: Path, *names: str) -> str:
    found = next((name for name in names if name in rows.columns), None)
    if found is None:
        raise DataError(
            f"{shown(path)} has no column {' or '.join(map(repr, names))}."
            f"{nearest(names[0], rows.columns)} Its columns: {listed(rows.columns)}"
        )
    return found


def _index(rows: Rows, path: Path, examples: int) -> NDArray[np.int64]:
    """The example of each row, all different."""
    name = next((n for n in ("index", "", "Unnamed: 0") if n in rows.columns), None)
    if name is None:
        if len(rows) != examples:
            raise DataError(
                f"{shown(path)} has {len(rows)} rows and no column 'index', but the run has "
                f"{examples} training examples"
            )
        return np.arange(examples)
    numbers = _numbers(_cells(rows, name), path, name or "index")
    index = numbers.astype(np.int64)
    bad = np.flatnonzero((index != numbers) | (index < 0) | (index >= examples))
    if len(bad):
        raise DataError(
            f"{rows.where(int(bad[0]))}: index {numbers[bad[0]]:g} is none of the run's "
            f"{examples} training examples (0 to {examples - 1})"
        )
    values, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{shown(path)} has index {values[counts > 1][0]} more than once")
    return index


class _Codes:
    """From cells to codes: names, or class numbers where no name is a number."""

    def __init__(self, label_names: Sequence[str]) -> None:
        self._names = label_names
        self._code = {name: code for code, name in enumerate(label_names)}

    def of(self, cells: Sequence[str], path: Path, column: str) -> NDArray[np.int64]:
        distinct = set(cells)
        numbers = {str(code): code for code in range(len(self._names))}
        known = self._code
        if not distinct & set(self._code) and distinct <= set(numbers):
            known = numbers
        table = {cell: known.get(unescaped(cell), known.get(cell)) for cell in distinct}
        unknown = next((cell for cell in cells if table[cell] is None), None)
        if unknown is not None:
            raise DataError(
                f"row {list(cells).index(unknown) + 1} of {shown(path)}: {column} {unknown!r} is not a "
                f"class of the run.{nearest(unknown, self._names)} Known classes: {listed(self._names)}"
            )
        return np.array([table[cell] for cell in cells], dtype=np.int64)


def _require_same(
    given: NDArray[np.int64],
    evidence: Evidence,
    index: NDArray[np.int64],
    label_names: Sequence[str],
    path: Path,
) -> None:
    differ = np.flatnonzero(given != evidence.given[index])
    if len(differ):
        row = int(differ[0])
        raise DataError(
            f"row {row + 1} of {shown(path)} is about another run: given_label is "
            f"{label_names[given[row]]!r}, but training example {int(index[row])} was given "
            f"{label_names[evidence.given[index[row]]]!r}"
        )


def _numbers(
    cells: Sequence[str], path: Path, column: str, *, optional: bool = False
) -> NDArray[np.float64]:
    def read(cell: str) -> float:
        return np.nan if optional and not cell else float(cell)

    values = _each(cells, read, path, column, "a number")
    numbers = np.array(values, dtype=np.float64)
    if not optional and not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"row {row + 1} of {shown(path)}: {column} is {cells[row]!r}, not a number")
    return numbers


def _truths(cells: Sequence[str], path: Path) -> NDArray[np.bool_]:
    def read(cell: str) -> bool:
        return _TRUTH[cell.lower()]

    return np.array(_each(cells, read, path, "is_label_issue", "true or false"), dtype=bool)


def _each(
    cells: Sequence[str], read: Callable[[str], Any], path: Path, column: str, what: str
) -> list[Any]:
    values = []
    for number, cell in enumerate(cells, start=1):
        try:
            values.append(read(cell))
        except (ValueError, KeyError):
            raise DataError(
                f"row {number} of {shown(path)}: {column} should be {what}, found {cell!r}"
            ) from None
    return values
