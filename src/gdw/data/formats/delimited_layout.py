"""The parts of a delimited file: its delimiter, its column names, and where its rows begin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gdw.data.formats.encodings import not_in_encoding
from gdw.data.formats.records import Content, Record, Records, line_of
from gdw.data.read_options import ReadOptions
from gdw.errors import DataError, shown

QUOTES_ARE_TEXT = 'read quotes as ordinary characters (--quoting none, quoting="none")'

# Excel reads the delimiter from a first line such as `sep=;`.
_EXCEL_DELIMITER = re.compile(rb'"?sep=([^"\r\n])"?[\r\n]+')


@dataclass(frozen=True)
class Layout:
    """The records of a file, the names of its columns, and where the first record after the header begins."""

    path: Path
    records: Records
    names: list[str]
    start: int

    def rows(self) -> Iterator[Record]:
        """The records after the header, with empty lines."""
        return self.records.read(self.start)


def find_layout(path: Path, content: Content, options: ReadOptions, delimiter: str) -> Layout:
    """The layout of a file; `delimiter` is that of the format, unless the options or Excel name another."""
    delimiter = options.delimiter or delimiter
    quoted = options.quoting != "none"
    records = Records(content, delimiter, quoted=quoted)
    start = records.beginning
    excel = _EXCEL_DELIMITER.match(content, start)
    if excel is not None:
        start = excel.end()
        if options.delimiter is None and excel[1].isascii():
            records = Records(content, excel[1].decode(), quoted=quoted)
    for record in records.read(start):
        require_closed(path, records, record)
        cells = records.cells(record)
        if cells:
            names = _names(path, cells, records.delimiter.decode(), options.encoding)
            return Layout(path, records, names, record.start + len(record.raw))
    raise DataError(f"{shown(path)} has no rows: expected a header line and at least one example")


def _names(path: Path, cells: list[bytes], delimiter: str, encoding: str | None) -> list[str]:
    try:
        names = [cell.decode().strip() for cell in cells]
    except UnicodeDecodeError:
        raise DataError(not_in_encoding(path, encoding)) from None
    other = next((c for c in (",", ";", "\t", "|") if c != delimiter and c in names[0]), None)
    if len(names) == 1 and other is not None:
        word = "tab" if other == "\t" else repr(other)
        raise DataError(
            f"{shown(path)} should be separated by {delimiter!r}, but its header has {other!r}: "
            f"name the delimiter (--delimiter {word}, delimiter=)"
        )
    return names


def require_closed(path: Path, records: Records, record: Record) -> None:
    quote = records.unclosed(record)
    if quote is not None:
        raise DataError(
            f"line {line_of(records.content, quote)} of {shown(path)} is broken: its cell begins with a "
            f"quote that is never closed; close it, or {QUOTES_ARE_TEXT}"
        )


def wrong_width(layout: Layout, record: Record, width: int) -> str:
    records = layout.records
    place = f"line {line_of(records.content, record.start)} of {shown(layout.path)}"
    counts = f"has {width} values, but the header has {len(layout.names)}"
    begin = records.broken_cell(record)
    if begin is None:
        hint = f", or {QUOTES_ARE_TEXT}" if b'"' in record.raw and records.quoted else ""
        return f"{place} {counts}: check its quotes and separators{hint}"
    first, last = (
        line_of(records.content, begin),
        line_of(records.content, record.start + len(record.body)),
    )
    return (
        f"{place} {counts}: a quoted cell begins at line {first}, and the row ends at line {last}; close the "
        f"quote of line {first}, or {QUOTES_ARE_TEXT}"
    )
