"""Rows that a quote has swallowed: a cell that contains whole rows, because its quote was not closed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LINES_COMPARED = 50
_LARGEST_REPETITION = 100  # Arrow's regular expressions grow with the number of repetitions.


@dataclass(frozen=True)
class SwallowedCell:
    """The place of a cell that contains rows, from 0, and the number of its line breaks."""

    row: int
    column: int
    breaks: int


def swallowed_cell(table: Any, delimiter: str, line_end: str) -> SwallowedCell | None:
    """The first cell of a `pyarrow.Table` of text that looks as if it contained rows; None if there is none.

    Such a cell has line breaks. If it is split at them, each line completes a row with the full number of
    delimiters, and in some column at least half of the values occur in other rows too, as labels do. Free
    text that happens to have as many delimiters and line breaks does not have such a column.
    """
    import pyarrow.compute as pc

    width = table.num_columns
    for number, column in enumerate(table.columns if width > 1 else []):
        rows = pc.indices_nonzero(pc.match_substring(column, line_end))
        if not len(rows):
            continue
        cells = column.take(rows)
        fits = pc.match_substring_regex(cells, _first_line(number, width, delimiter, line_end))
        candidates = zip(rows.filter(fits).to_pylist(), cells.filter(fits).to_pylist(), strict=True)
        for row, cell in candidates:
            lines = [line.split(delimiter) for line in cell.split(line_end)]
            if _completes_rows(lines, number, width) and _values_recur(lines, number, table):
                return SwallowedCell(row, number, len(lines) - 1)
    return None


def _first_line(column: int, width: int, delimiter: str, line_end: str) -> str:
    """A pattern for cells whose first line ends a row; this rules out most texts quickly."""
    missing = min(width - 1 - column, _LARGEST_REPETITION)
    separator = re.escape(delimiter)
    cell = f"[^{separator}{line_end}]*"
    end = "" if missing == _LARGEST_REPETITION else line_end
    return f"^{cell}(?:{separator}{cell}){{{missing}}}{end}"


def _completes_rows(lines: list[list[str]], column: int, width: int) -> bool:
    """Whether the lines of a cell are the end of a row, whole rows, and the beginning of a row.

    After whole rows the last line may have more delimiters: the next quote may be in another column.
    """
    first, *whole, last = (len(line) for line in lines)
    ends = last > column if whole else last == column + 1
    return first == width - column and ends and all(count == width for count in whole)


def _values_recur(lines: list[list[str]], column: int, table: Any) -> bool:
    """Whether in some column at least half of the values of the lines occur in other rows or lines."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number, values in enumerate(_by_column(lines, column, table.num_columns)):
        filled = [value.strip() for value in values if value.strip()]
        if not filled:
            continue
        cells = pc.utf8_trim_whitespace(table.column(number))
        known = pc.is_in(pa.array(filled, pa.string()), value_set=cells).to_pylist()
        # The quote may have swallowed so much that hardly any other row is left to compare with.
        recurring = sum(
            in_cells or filled.count(value) > 1
            for value, in_cells in zip(filled, known, strict=True)
        )
        if recurring * 2 >= len(filled):
            return True
    return False


def _by_column(lines: list[list[str]], column: int, width: int) -> Iterator[list[str]]:
    """The values of the lines in each column; the cell itself begins and ends in `column`."""
    first, *whole, last = lines
    whole = whole[:_LINES_COMPARED]
    for number in range(width):
        values = [line[number] for line in whole]
        if number > column:
            values.append(first[number - column])
        if number < column:
            values.append(last[number])
        yield values
