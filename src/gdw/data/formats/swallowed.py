"""Rows that a quote has swallowed: a cell that contains whole rows, because its quote was not closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LINES_COMPARED = 50


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
        if not pc.any(pc.match_substring(column, line_end)).as_py():
            continue
        breaks = pc.count_substring(column, line_end)
        fewest = pc.subtract(pc.multiply(breaks, width - 1), number)
        fits = pc.greater_equal(pc.count_substring(column, delimiter), fewest)
        rows = pc.indices_nonzero(pc.and_(fits, pc.greater(breaks, 0)))
        for row, cell in zip(rows.to_pylist(), column.take(rows).to_pylist(), strict=True):
            lines = [line.split(delimiter) for line in cell.split(line_end)]
            if _completes_rows(lines, number, width) and _values_recur(lines, number, table):
                return SwallowedCell(row, number, len(lines) - 1)
    return None


def _completes_rows(lines: list[list[str]], column: int, width: int) -> bool:
    """Whether the lines of a cell are the end of a row, whole rows, and the beginning of a row.

    After whole rows the last line may have more delimiters: the next quote may be in another column.
    """
    first, *whole, last = (len(line) for line in lines)
    ends = last > column if whole else last == column + 1
    return first == width - column and ends and all(count == width for count in whole)


def _values_recur(lines: list[list[str]], column: int, table: Any) -> bool:
    """Whether at least half of the values that the lines have in some column occur in that column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number, values in enumerate(_by_column(lines, column, table.num_columns)):
        filled = [value.strip() for value in values if value.strip()]
        if not filled:
            continue
        cells = pc.utf8_trim_whitespace(table.column(number))
        known = pc.sum(pc.is_in(pa.array(filled, pa.string()), value_set=cells)).as_py()
        if known * 2 >= len(filled):
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
