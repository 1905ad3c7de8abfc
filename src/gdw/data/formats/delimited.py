"""Comma- and tab-separated text. Every cell is kept as text, without the spaces around it.

Arrow's reader is quick, but it does not know quotes that follow a space (`a, "b, c"`), does not mind a quote
that is never closed, and cannot say on which line a broken file breaks. Python's reader does all this, so
it reads the files that Arrow's would not get right.
"""

from __future__ import annotations

import csv
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gdw.data.formats.encoding import wrong_encoding
from gdw.data.rows import TableRows
from gdw.errors import DataError
from gdw.files.wording import shown

_ROWS_AT_ONCE = 20_000
_BYTES_AT_ONCE = 1 << 24


def open_delimited(path: Path, delimiter: str) -> TableRows:
    """Rows of a file with a header line; `DataError` names the line that is broken."""
    names, header_lines = _header(path, delimiter)
    table = None
    if not _needs_care(path, delimiter):
        table = _read_fast(path, delimiter, names, header_lines)
    if table is None:
        table = _read_careful(path, delimiter, names)
    return TableRows(table, path, untyped=True)


def _header(path: Path, delimiter: str) -> tuple[list[str], int]:
    """The column names and the number of lines up to the end of the header."""
    for line, cells in _lines(path, delimiter):
        names = [cell.strip() for cell in cells]
        other = next((c for c in (",", ";", "\t") if c != delimiter and c in names[0]), None)
        if len(names) == 1 and other is not None:
            raise DataError(
                f"{shown(path)} should be separated by {delimiter!r}, but its header has {other!r}: "
                "save it as .csv with commas or as .tsv with tabs"
            )
        return names, line
    raise DataError(f"{shown(path)} holds no rows: expected a header line and at least one example")


def _needs_care(path: Path, delimiter: str) -> bool:
    """Whether quotes follow a space, or one is never closed: Arrow would take all the rest for one cell."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if re.search(rb"(?:^|[\n" + delimiter.encode() + rb"]) +\"", content) is not None:
            return True
        quotes = sum(
            content[start : start + _BYTES_AT_ONCE].count(b'"')
            for start in range(0, len(content), _BYTES_AT_ONCE)
        )
        return quotes % 2 == 1


def _read_fast(path: Path, delimiter: str, names: list[str], header_lines: int) -> Any:
    """The table by Arrow, or None if it does not understand the file."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(
                column_names=names, skip_rows=header_lines, block_size=_BYTES_AT_ONCE
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    return pa.table([pc.utf8_trim_whitespace(column) for column in table.columns], names=names)


def _read_careful(path: Path, delimiter: str, names: list[str]) -> Any:
    """The table by Python's reader, in pieces, as Python's strings take much more memory than Arrow's."""
    import pyarrow as pa

    schema = pa.schema([(name, pa.string()) for name in names])
    pieces, rows = [], []
    lines = _lines(path, delimiter)
    next(lines)
    for line, cells in lines:
        if len(cells) != len(names):
            raise DataError(
                f"line {line} of {shown(path)} has {len(cells)} values, but the header has {len(names)}: "
                "check its quotes and separators"
            )
        rows.append([cell.strip() for cell in cells])
        if len(rows) == _ROWS_AT_ONCE:
            pieces.append(_piece(rows, schema))
            rows = []
    pieces.append(_piece(rows, schema))
    return pa.concat_tables(pieces)


def _piece(rows: list[list[str]], schema: Any) -> Any:
    import pyarrow as pa

    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(c, pa.string()) for c in columns], schema=schema)


def _lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The non-empty rows with the number of the line on which each ends."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except UnicodeDecodeError:
                raise DataError(wrong_encoding(path)) from None
            except csv.Error as error:
                raise DataError(
                    f"line {reader.line_num} of {shown(path)} is broken: {error}"
                ) from None
            if cells:
                yield reader.line_num, cells
