"""Comma- and tab-separated text. Every cell is kept as text, without the spaces around it.

Arrow's reader is fast, but it does not understand quotes that follow a space (`a, "b, c"`), accepts a quote
that is never closed, and does not say which line of a broken file is broken. `Records` does all this, so it
reads the files that Arrow's reader would read wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gdw.data.formats.encodings import is_utf8, not_in_encoding, utf8_content, write_encoded
from gdw.data.formats.format import CopyPlan, Format
from gdw.data.formats.records import Content, Record, Records, count, line_of
from gdw.data.formats.swallowed import swallowed_cell
from gdw.data.read_options import ReadOptions
from gdw.data.rows import TableRows
from gdw.errors import DataError
from gdw.files.wording import shown

_ROWS_AT_ONCE = 20_000
_BYTES_AT_ONCE = 1 << 24
_QUOTES_ARE_TEXT = 'read quotes as ordinary characters (--quoting none, quoting="none")'

# Excel reads the delimiter from a first line such as `sep=;`.
_EXCEL_DELIMITER = re.compile(rb'"?sep=([^"\r\n])"?[\r\n]+')


@dataclass(frozen=True)
class _Layout:
    """The records of a file, the names of its columns, and where the first record after the header begins."""

    path: Path
    records: Records
    names: list[str]
    start: int

    def rows(self) -> Iterator[Record]:
        """The records after the header, with empty lines."""
        return self.records.read(self.start)


def open_delimited(path: Path, options: ReadOptions, *, delimiter: str) -> TableRows:
    """The rows of a file with a header line; `DataError` names the line that is broken."""
    with utf8_content(path, options.encoding) as content:
        layout = _layout(path, content, options, delimiter)
        table = None
        if not _needs_care(layout.records):
            table = _read_fast(layout, options)
        if table is None:
            table = _read_careful(layout, options)
        if options.quoting is None:
            _refuse_swallowed_rows(layout, table)
    return TableRows(_trimmed(table), path, untyped=True)


def copy_delimited(plan: CopyPlan, target: Path, *, delimiter: str) -> None:
    """Write the copy. Only the cells of changed labels differ from the source."""
    options = plan.rows.options
    with utf8_content(plan.source, options.encoding) as content:
        layout = _layout(plan.source, content, options, delimiter)
        write_encoded(_copied(layout, plan), plan.source, options.encoding, target)


CSV = Format(
    (".csv",), partial(open_delimited, delimiter=","), partial(copy_delimited, delimiter=",")
)
TSV = Format(
    (".tsv",), partial(open_delimited, delimiter="\t"), partial(copy_delimited, delimiter="\t")
)


def _layout(path: Path, content: Content, options: ReadOptions, delimiter: str) -> _Layout:
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
        _require_closed(path, records, record)
        cells = records.cells(record)
        if cells:
            names = _names(path, cells, records.delimiter.decode(), options.encoding)
            return _Layout(path, records, names, record.start + len(record.raw))
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


def _needs_care(records: Records) -> bool:
    """Whether a quote follows a space, or is never closed: Arrow would take all the rest for one cell."""
    if not records.quoted or records.content.find(b'"') < 0:
        return False
    return count(records.content, b'"') % 2 == 1 or records.has_spaced_quotes()


def _read_fast(layout: _Layout, options: ReadOptions) -> Any:
    """The table as Arrow reads it, with the spaces around cells, or None if Arrow cannot read the file."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    records, names = layout.records, layout.names
    source = layout.path if is_utf8(options.encoding) else pa.BufferReader(records.content)
    try:
        table = arrow_csv.read_csv(
            source,
            read_options=arrow_csv.ReadOptions(
                column_names=[str(number) for number in range(len(names))],
                skip_rows=line_of(records.content, layout.start) - 1,
                block_size=_BYTES_AT_ONCE,
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=records.delimiter.decode(),
                quote_char='"' if records.quoted else False,
                newlines_in_values=records.quoted,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={str(number): pa.string() for number in range(len(names))},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    last = table.column(len(names) - 1)[-1].as_py() if len(table) else ""
    if ("\n" in last or "\r" in last) and not _ends_in_single_quote(records.content):
        return None  # The last quote of the file may not be closed.
    return table.rename_columns(names)


def _ends_in_single_quote(content: Content) -> bool:
    """Whether the file ends with a quote that closes a cell, and not with two quotes that stand for one."""
    end = content[-_BYTES_AT_ONCE:].rstrip(b"\r\n")
    return end.endswith(b'"') and not end.endswith(b'""')


def _read_careful(layout: _Layout, options: ReadOptions) -> Any:
    """The same table from `Records`, in pieces, because Python's objects need much memory."""
    import pyarrow as pa

    pieces, rows, width = [], [], len(layout.names)
    for record in layout.rows():
        cells = layout.records.cells(record)
        if not cells:
            continue
        _require_closed(layout.path, layout.records, record)
        # Some programs end each row with delimiters that the header does not have.
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]
        if len(cells) != width:
            raise DataError(_wrong_width(layout, record, len(cells)))
        rows.append(cells)
        if len(rows) == _ROWS_AT_ONCE:
            pieces.append(_piece(layout, options, rows))
            rows = []
    pieces.append(_piece(layout, options, rows))
    return pa.concat_tables(pieces)


def _piece(layout: _Layout, options: ReadOptions, rows: list[list[bytes]]) -> Any:
    import pyarrow as pa

    columns = zip(*rows, strict=True) if rows else [()] * len(layout.names)
    try:
        arrays = [pa.array(column, pa.binary()).cast(pa.string()) for column in columns]
    except pa.ArrowInvalid:
        raise DataError(not_in_encoding(layout.path, options.encoding)) from None
    return pa.table(arrays, names=layout.names)


def _trimmed(table: Any) -> Any:
    """The table without the spaces around cells, and without empty columns at the end that have no name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
    names = list(table.column_names)
    while len(names) > 1 and not names[-1] and pc.max(pc.utf8_length(columns[-1])).as_py() == 0:
        names.pop()
        columns.pop()
    return pa.table(columns, names=names)


def _require_closed(path: Path, records: Records, record: Record) -> None:
    quote = records.unclosed(record)
    if quote is not None:
        raise DataError(
            f"line {line_of(records.content, quote)} of {shown(path)} is broken: its cell begins with a "
            f"quote that is never closed; close it, or {_QUOTES_ARE_TEXT}"
        )


def _wrong_width(layout: _Layout, record: Record, width: int) -> str:
    records = layout.records
    place = f"line {line_of(records.content, record.start)} of {shown(layout.path)}"
    counts = f"has {width} values, but the header has {len(layout.names)}"
    begin = records.broken_cell(record)
    if begin is None:
        hint = f", or {_QUOTES_ARE_TEXT}" if b'"' in record.raw and records.quoted else ""
        return f"{place} {counts}: check its quotes and separators{hint}"
    first, last = (
        line_of(records.content, begin),
        line_of(records.content, record.start + len(record.body)),
    )
    return (
        f"{place} {counts}: a quoted cell begins at line {first}, and the row ends at line {last}; close the "
        f"quote of line {first}, or {_QUOTES_ARE_TEXT}"
    )


def _refuse_swallowed_rows(layout: _Layout, table: Any) -> None:
    """Raise `DataError` for a quoted cell that contains whole rows."""
    records = layout.records
    if not records.quoted or records.content.find(b'"') < 0:
        return
    line_end = "\r" if records.content.find(b"\n") < 0 else "\n"
    cell = swallowed_cell(table, records.delimiter.decode(), line_end)
    if cell is None:
        return
    filled = (record for record in layout.rows() if record.body)
    record = next(record for row, record in enumerate(filled) if row == cell.row)
    line = line_of(records.content, record.start + records.span(record, cell.column)[0])
    raise DataError(
        f"line {line} of {shown(layout.path)} begins a quoted cell that contains {cell.breaks} line breaks, "
        f"and its lines look like rows of their own: close the quote, or {_QUOTES_ARE_TEXT}, or keep the "
        'cell as it is (--quoting double, quoting="double")'
    )


def _copied(layout: _Layout, plan: CopyPlan) -> Iterator[bytes]:
    """The pieces of the copy, from the first byte to the last."""
    import numpy as np

    rows = np.array(sorted(plan.relabel), dtype=np.int64)
    present = dict(zip(rows.tolist(), plan.rows.values(plan.label, rows), strict=True))
    column, row = layout.names.index(plan.label), 0
    yield layout.records.content[: layout.start]
    for record in layout.rows():
        if not record.body:
            yield record.raw
            continue
        if row < len(plan.keep) and plan.keep[row]:
            if row in plan.relabel:
                yield _relabelled(layout.records, record, column, row, present, plan)
            else:
                yield record.raw
        row += 1
    plan.require_all(row)


def _relabelled(
    records: Records,
    record: Record,
    column: int,
    row: int,
    present: Mapping[int, str],
    plan: CopyPlan,
) -> bytes:
    """A record with the new label. The spaces around the label and its quotes stay."""
    start, end = records.span(record, column)
    cell = record.raw[start:end].decode()
    core = cell.strip()
    value = records.cells(Record(record.start, core.encode()))
    if [text.decode().strip() for text in value] != [present[row]]:
        raise plan.changed(f"has another label in row {row + 1} now")
    at = cell.index(core)
    label = records.quoted_like(core, plan.relabel[row])
    return (
        record.raw[:start]
        + (cell[:at] + label + cell[at + len(core) :]).encode()
        + record.raw[end:]
    )
