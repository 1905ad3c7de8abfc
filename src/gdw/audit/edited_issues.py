"""A list of label issues that somebody edited, or that cleanlab made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.audit.issues import Where, issue_frame
from gdw.audit.listed_rows import positions_meant
from gdw.audit.spreadsheet import TRUTH, LabelReader, number_of
from gdw.data.rows import Rows, open_rows
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, RunError, listed, nearest, shown

if TYPE_CHECKING:
    import pandas as pd

_REQUIRED = ("is_label_issue", "given_label")
_SCORES = ("label_quality", "score")
_SUGGESTIONS = ("suggested_label", "predicted_label")
_LARGEST = 2**53


def read_edited_issues(
    path: Path, evidence: Evidence, label_names: Sequence[str], *, where: Where | None = None
) -> pd.DataFrame:
    """Read a list of label issues and check that it belongs to the run of `evidence`.

    The file needs the columns `is_label_issue`, `given_label`, `label_quality` or `score`, and
    `suggested_label` or `predicted_label`. With a column `decision`, as the page of a run saves it, the
    examples with the decision "remove" are marked in the column `remove` of the table.

    A column `index` holds the row of each example in the data, see `Evidence.numbers`; examples without a row
    are not issues. In the tables of cleanlab, which have an index without a name or none, it is the position
    among the training examples. Labels are class names, or class numbers as cleanlab writes them. A
    spreadsheet may have saved the file: with other delimiters, in another encoding, and with labels that it
    took for numbers, truth values or dates. A label is recovered, or refused where several classes may be
    meant.

    Args:
        path: the file, in any format of tables that gdw reads.
        evidence: of the run.
        label_names: the names of the classes.
        where: as for `gdw.audit.label_issues`.

    Returns:
        A table as of `gdw.audit.label_issues`.

    Raises:
        RunError: the file is not such a list, is damaged, or its given labels are not those of the run.
    """
    try:
        rows, suggestion = _opened(path)
        index = _positions(rows, path, evidence, label_names, where)
        suggested = _suggested(
            _cells(rows, "given_label"),
            evidence.given[index].astype(np.int64),
            _cells(rows, suggestion),
            label_names,
            places=lambda row: (where or "training example {}".format)(int(index[row])),
            path=path,
            column=suggestion,
        )
        doubt = _doubt(rows, path)
        wrong = _truths(_cells(rows, "is_label_issue"), path)
        removed = _removed(rows, wrong, path)
        probability = np.full(len(index), np.nan)
        if "suggested_probability" in rows.columns:
            cells = _cells(rows, "suggested_probability")
            probability = _numbers(cells, path, "suggested_probability", optional=True)
    except DataError as error:
        raise RunError(f"{error}; expected a table of label issues") from error
    nothing = np.zeros(len(evidence), dtype=bool)
    return issue_frame(
        evidence,
        label_names,
        suggested=_spread(suggested, index, evidence.given),
        probability=_spread(probability, index, np.full(len(evidence), np.nan)),
        doubt=_spread(doubt, index, np.zeros(len(evidence))),
        wrong=_spread(wrong, index, nothing),
        removed=None if removed is None else _spread(removed, index, nothing),
        where=where,
    )


def _doubt(rows: Rows, path: Path) -> NDArray[np.float64]:
    name = _column(rows, path, *_SCORES)
    numbers = _numbers(_cells(rows, name), path, name)
    return numbers if name == "score" else 1.0 - numbers


def _removed(rows: Rows, wrong: NDArray[np.bool_], path: Path) -> NDArray[np.bool_] | None:
    """Whether each row has the decision "remove"; None if the file has no column of decisions."""
    if "decision" not in rows.columns:
        return None
    words = [cell.strip().casefold() for cell in _cells(rows, "decision")]
    removed = np.array([word == "remove" for word in words], dtype=bool)
    conflict = np.flatnonzero(removed & ~wrong)
    if len(conflict):
        raise DataError(
            f"{_place(int(conflict[0]), path, 'decision')} is 'remove', but is_label_issue is false: write "
            "true to remove the example, or another decision to keep it"
        )
    return removed


def _spread(values: NDArray[Any], index: NDArray[np.int64], others: NDArray[Any]) -> NDArray[Any]:
    """A copy of `others` with `values` at `index`."""
    spread = others.astype(values.dtype)
    spread[index] = values
    return spread


def _cells(rows: Rows, name: str) -> list[str]:
    cells: list[str] = rows.values(name, np.arange(len(rows)))
    return cells


def _opened(path: Path) -> tuple[Rows, str]:
    """The rows of the file, and the name of its column of suggested labels."""
    failures = []
    for encoding in (None, "utf-16", "windows-1252"):
        for delimiter in (None, ";", "\t"):
            try:
                rows = open_rows(path, ReadOptions(delimiter=delimiter, encoding=encoding))
                suggestion = _column(rows, path, *_SUGGESTIONS)
                for names in (*((name,) for name in _REQUIRED), _SCORES):
                    _column(rows, path, *names)
            except DataError as error:
                failures.append(error)
            else:
                return rows, suggestion
    raise failures[0]


def _column(rows: Rows, path: Path, *names: str) -> str:
    """The first of `names` that is a column of the file."""
    column = next((name for name in names if name in rows.columns), None)
    if column is None:
        raise DataError(
            f"{shown(path)} has no column {' or '.join(map(repr, names))}."
            f"{nearest(names[0], rows.columns)} Its columns: {listed(rows.columns)}"
        )
    return column


def _positions(
    rows: Rows, path: Path, evidence: Evidence, names: Sequence[str], where: Where | None
) -> NDArray[np.int64]:
    """The training example of each row. `DataError` if one occurs twice or does not exist."""
    name = next((n for n in ("index", "", "Unnamed: 0") if n in rows.columns), None)
    if name is None:
        if len(rows) != len(evidence):
            raise DataError(
                f"{shown(path)} has {len(rows)} rows and no column 'index', but the run has "
                f"{len(evidence)} training examples"
            )
        return np.arange(len(evidence))
    numbers = _numbers(_cells(rows, name), path, name or "index")
    whole = (numbers >= 0) & (numbers < _LARGEST) & (numbers == np.floor(numbers))
    index = np.where(whole, numbers, -1).astype(np.int64)
    if name == "index":
        index = _of_rows(rows, index, path, evidence, names, where)
    bad = np.flatnonzero((index < 0) | (index >= len(evidence)))
    if len(bad):
        raise DataError(
            f"row {bad[0]} of {shown(path)}: index {numbers[bad[0]]:g} is not one of the run's "
            f"{len(evidence)} training examples{_span(evidence, name)}"
        )
    _, first, counts = np.unique(index, return_index=True, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{shown(path)} has index {numbers[first[counts > 1][0]]:g} more than once")
    return index


def _span(evidence: Evidence, name: str) -> str:
    numbers = evidence.numbers if name == "index" else np.arange(len(evidence))
    return f" ({numbers.min()} to {numbers.max()})" if len(numbers) else ""


def _of_rows(
    rows: Rows,
    index: NDArray[np.int64],
    path: Path,
    evidence: Evidence,
    names: Sequence[str],
    where: Where | None,
) -> NDArray[np.int64]:
    """The positions of the examples that the column `index` of a list of gdw means."""
    given = _cells(rows, "given_label")

    def labels_fit(positions: NDArray[np.int64]) -> bool:
        pairs = list(zip(given, evidence.given[positions].tolist(), strict=True))
        reader = LabelReader(names, pairs)
        return all(code in reader.candidates(cell) for cell, code in set(pairs))

    places = _cells(rows, "where") if "where" in rows.columns else []
    return positions_meant(index, places, evidence, path, where=where, labels_fit=labels_fit)


def _suggested(
    given: Sequence[str],
    known: NDArray[np.int64],
    suggested: Sequence[str],
    names: Sequence[str],
    *,
    places: Where,
    path: Path,
    column: str,
) -> NDArray[np.int64]:
    """The codes of the suggested labels, if the given labels of the file are those of the run."""
    if _are_class_numbers(given, known, suggested, names):
        return np.array([int(cell) for cell in suggested], dtype=np.int64)
    pairs = list(zip(given, known.tolist(), strict=True))
    reader = LabelReader(names, pairs)
    foreign = {pair for pair in set(pairs) if pair[1] not in reader.candidates(pair[0])}
    if foreign:
        row = next(row for row, pair in enumerate(pairs) if pair in foreign)
        cell, code = pairs[row]
        found = names[reader.code(cell, _place(row, path, "given_label"))]
        raise DataError(
            f"row {row} of {shown(path)} belongs to another run: its given_label is {found!r}, but "
            f"the label of {places(row)} is {names[code]!r}"
        )
    first = {cell: row for row, cell in reversed(list(enumerate(suggested)))}
    codes = {cell: reader.code(cell, _place(row, path, column)) for cell, row in first.items()}
    return np.array([codes[cell] for cell in suggested], dtype=np.int64)


def _are_class_numbers(
    given: Sequence[str], known: NDArray[np.int64], suggested: Sequence[str], names: Sequence[str]
) -> bool:
    """Whether labels are class numbers, as cleanlab writes them, and not names of classes."""
    cells = {*given, *suggested}
    if not cells <= {str(code) for code in range(len(names))} or cells & set(names):
        return False
    return bool((np.array([int(cell) for cell in given]) == known).all())


def _place(row: int, path: Path, column: str) -> str:
    return f"row {row} of {shown(path)}: {column}"


def _numbers(
    cells: Sequence[str], path: Path, column: str, *, optional: bool = False
) -> NDArray[np.float64]:
    def read(cell: str) -> float:
        return np.nan if optional and not cell else number_of(cell)

    values = _each(cells, read, path, column, "a number")
    numbers = np.array(values, dtype=np.float64)
    if not optional and not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"row {row} of {shown(path)}: {column} is {cells[row]!r}, not a number")
    return numbers


def _truths(cells: Sequence[str], path: Path) -> NDArray[np.bool_]:
    def read(cell: str) -> bool:
        return TRUTH[cell.strip().casefold()]

    return np.array(_each(cells, read, path, "is_label_issue", "true or false"), dtype=bool)


def _each(
    cells: Sequence[str], read: Callable[[str], Any], path: Path, column: str, expected: str
) -> list[Any]:
    values = []
    for number, cell in enumerate(cells):
        try:
            values.append(read(cell))
        except (ValueError, KeyError):
            raise DataError(
                f"row {number} of {shown(path)}: {column} should be {expected}, found {cell!r}"
            ) from None
    return values
