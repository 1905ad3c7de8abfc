"""Comma- and tab-separated text. Every cell is kept as text, without the spaces around it.

Arrow's reader is fast, but it does not understand quotes that follow a space (`a, "b, c"`), accepts a quote
that is never closed, and does not say which line of a broken file is broken. Python's reader does all this,
so it reads the files that Arrow's reader would read wrongly.
"""

from __future__ import annotations

import codecs
import csv
import io
import mmap
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from gdw.data.formats.format import CopyPlan, Format
from gdw.data.rows import TableRows
from gdw.errors import DataError
from gdw.files.wording import shown

_ROWS_AT_ONCE = 20_000
_BYTES_AT_ONCE = 1 << 24
_BYTE_ORDER_MARK = "\ufeff"


def open_delimited(path: Path, *, delimiter: str) -> TableRows:
    """The rows of a file with a header line; `DataError` names the line that is broken."""
    names, header_lines = _header(path, delimiter)
    table = None
    if not _needs_care(path, delimiter):
        table = _read_fast(path, delimiter, names, header_lines)
    if table is None:
        table = _read_careful(path, delimiter, names)
    return TableRows(table, path, untyped=True)


def copy_delimited(plan: CopyPlan, target: Path, *, delimiter: str) -> None:
    """Write the copy; records that do not change are copied byte by byte."""
    with (
        plan.source.open(encoding="utf-8", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as file,
    ):
        column, row = -1, 0
        for raw, cells in _records(source, delimiter, plan):
            if not cells:
                file.write(raw)
            elif column < 0:
                column = [cell.strip() for cell in cells].index(plan.label)
                file.write(raw)
            else:
                if row < len(plan.keep) and plan.keep[row]:
                    file.write(_relabelled(raw, cells, column, plan.relabel.get(row), delimiter))
                row += 1
        plan.require_all(row)


CSV = Format(
    (".csv",), partial(open_delimited, delimiter=","), partial(copy_delimited, delimiter=",")
)
TSV = Format(
    (".tsv",), partial(open_delimited, delimiter="\t"), partial(copy_delimited, delimiter="\t")
)


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
    raise DataError(f"{shown(path)} has no rows: expected a header line and at least one example")


def _needs_care(path: Path, delimiter: str) -> bool:
    """Whether a quote follows a space, or is never closed: Arrow would take all the rest for one cell."""
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
    """The table as Arrow reads it, or None if Arrow cannot read the file."""
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
    """The table as Python's reader reads it, in pieces, because Python's strings need much memory."""
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
    """The records that are not empty, each with the number of its last line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except UnicodeDecodeError:
                raise DataError(_wrong_encoding(path)) from None
            except csv.Error as error:
                raise DataError(
                    f"line {reader.line_num} of {shown(path)} is broken: {error}"
                ) from None
            if cells:
                yield reader.line_num, cells


def _wrong_encoding(path: Path) -> str:
    """What is wrong with the encoding of a file that is not UTF-8, and how to convert the file."""
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return _conversion(path, "it begins with the mark of UTF-16", "UTF-16")
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                reason = f"line {number} has the byte 0x{byte:02x} (Latin-1, Windows-1252?)"
                return _conversion(path, reason, "WINDOWS-1252")
    raise AssertionError(f"{path} is UTF-8")


def _conversion(path: Path, reason: str, encoding: str) -> str:
    return (
        f"{shown(path)} is not UTF-8 text, {reason}: save it as UTF-8, for example with "
        f"iconv -f {encoding} -t UTF-8"
    )


def _records(file: TextIO, delimiter: str, plan: CopyPlan) -> Iterator[tuple[str, list[str]]]:
    """Each record as it is written, with its line end, and its cells; an empty line has no cells."""
    consumed: list[str] = []

    def lines() -> Iterator[str]:
        for line in file:
            consumed.append(line)
            # A byte order mark is not a part of the first column's name.
            yield line.removeprefix(_BYTE_ORDER_MARK)

    reader = csv.reader(lines(), delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            yield "".join(consumed), cells
            consumed.clear()
    except csv.Error as error:
        raise DataError(
            f"line {reader.line_num} of {shown(plan.source)} cannot be copied: {error}"
        ) from None


def _relabelled(raw: str, cells: list[str], column: int, label: str | None, delimiter: str) -> str:
    """A record with the new label; `raw` itself if there is none."""
    if label is None:
        return raw
    ending = raw[len(raw.rstrip("\r\n")) :]
    line = io.StringIO()
    out = csv.writer(line, delimiter=delimiter, lineterminator="")
    out.writerow([*cells[:column], label, *cells[column + 1 :]])
    return line.getvalue() + ending
