"""Comma- and tab-separated text. Every cell is kept as text, without the spaces around it.

Arrow's reader is fast, but it does not understand quotes that follow a space (`a, "b, c"`), accepts a quote
that is never closed, and does not say which line of a broken file is broken. There `Records` read the file.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gdw.data.formats.format import CopyPlan, Format
from gdw.data.formats.records import (
    QUOTES_ARE_TEXT,
    Layout,
    Record,
    Records,
    find_layout,
    line_of,
    require_closed,
    wrong_width,
)
from gdw.data.formats.swallowed import swallowed_cell
from gdw.data.rows import TableRows
from gdw.data.text_files import ReadOptions, is_utf8, not_in_encoding, utf8_content, write_encoded
from gdw.errors import DataError, shown

_ROWS_AT_ONCE = 20_000
_BYTES_AT_ONCE = 1 << 24


def open_delimited(path: Path, options: ReadOptions, *, delimiter: str) -> TableRows:
    """The rows of a file with a header line; `DataError` names the line that is broken."""
    with utf8_content(path, options.encoding) as content:
        layout = find_layout(path, content, options, delimiter)
        table = None
        # Arrow would take a header without a line end for a row.
        if layout.start < len(content) and not needs_care(layout.records):
            table = read_fast(layout, options)
        if table is None:
            table = read_careful(layout, options)
        if options.quoting is None:
            _refuse_swallowed_rows(layout, table)
    rows = TableRows(trimmed(table), path, untyped=True)
    rows.notes, rows.decimal_comma = layout.notes, layout.records.delimiter != b","
    return rows


def copy_delimited(plan: CopyPlan, target: Path, *, delimiter: str) -> None:
    """Write the copy. Only the cells of changed labels differ from the source."""
    options = plan.rows.options
    with utf8_content(plan.source, options.encoding) as content:
        layout = find_layout(plan.source, content, options, delimiter)
        write_encoded(_copied(layout, plan), plan.source, options.encoding, target)


CSV = Format(
    (".csv",), partial(open_delimited, delimiter=","), partial(copy_delimited, delimiter=",")
)
TSV = Format(
    (".tsv",), partial(open_delimited, delimiter="\t"), partial(copy_delimited, delimiter="\t")
)


def _refuse_swallowed_rows(layout: Layout, table: Any) -> None:
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
        f"and its lines look like rows of their own: close the quote, or {QUOTES_ARE_TEXT}, or keep the "
        'cell as it is (--quoting double, quoting="double")'
    )


def _copied(layout: Layout, plan: CopyPlan) -> Iterator[bytes]:
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
        raise plan.changed(f"has another label in row {row} now")
    at = cell.index(core)
    label = records.quoted_like(core, plan.relabel[row])
    return (
        record.raw[:start]
        + (cell[:at] + label + cell[at + len(core) :]).encode()
        + record.raw[end:]
    )


def needs_care(records: Records) -> bool:
    """Whether a quote may follow a space, or may not be closed: Arrow would take the rest for one cell."""
    content = records.content
    last = content.rfind(b'"') if records.quoted else -1
    if last < 0:
        return False
    # If a cell is not closed, the last quote opens it, or is the second of two that stand for one.
    before = content[last - 1 : last] if last else b""
    return before in (b"", b'"', b"\r", b"\n", records.delimiter) or records.has_spaced_quotes()


def read_fast(layout: Layout, options: ReadOptions) -> Any:
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
    return table.rename_columns(names)


def read_careful(layout: Layout, options: ReadOptions) -> Any:
    """The same table with quotes after spaces; `DataError` names the line that is broken."""
    import pyarrow as pa

    try:
        return _table(layout, _csv_rows(layout, options), pa.string())
    except (csv.Error, ValueError):
        pass  # `Records` are slower, but they find what is wrong and where, or read it as Arrow does.
    try:
        return _table(layout, _record_rows(layout), pa.binary())
    except pa.ArrowInvalid:
        raise DataError(not_in_encoding(layout.path, options.encoding)) from None


def _csv_rows(layout: Layout, options: ReadOptions) -> Iterator[list[str]]:
    """The rows that are not empty, by Python's reader; `csv.Error` for all that is not plain."""
    records, width = layout.records, len(layout.names)
    content = layout.path.open("rb") if is_utf8(options.encoding) else io.BytesIO(records.content)
    content.seek(layout.start)
    with io.TextIOWrapper(content, encoding="utf-8", newline="") as lines:
        for cells in csv.reader(
            lines,
            delimiter=records.delimiter.decode(),
            quoting=csv.QUOTE_MINIMAL if records.quoted else csv.QUOTE_NONE,
            skipinitialspace=records.delimiter != b" ",
            strict=True,
        ):
            if cells:
                if len(cells) != width:
                    raise csv.Error("another number of cells than in the header")
                yield cells


def _record_rows(layout: Layout) -> Iterator[list[bytes]]:
    """The same rows by `Records`."""
    width = len(layout.names)
    for record in layout.rows():
        cells = layout.records.cells(record)
        if not cells:
            continue
        require_closed(layout.path, layout.records, record)
        # Some programs end each row with delimiters that the header does not have.
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]
        if len(cells) != width:
            raise DataError(wrong_width(layout, record, len(cells)))
        yield cells


def _table(layout: Layout, rows: Iterator[Any], cell_type: Any) -> Any:
    """The table of the rows, in pieces, because Python's objects need much memory."""
    import pyarrow as pa

    pieces = []
    while True:
        piece = list(itertools.islice(rows, _ROWS_AT_ONCE))
        columns = zip(*piece, strict=True) if piece else [()] * len(layout.names)
        arrays = [pa.array(column, cell_type).cast(pa.string()) for column in columns]
        pieces.append(pa.table(arrays, names=layout.names))
        if len(piece) < _ROWS_AT_ONCE:
            return pa.concat_tables(pieces)


def trimmed(table: Any) -> Any:
    """The table without the spaces around cells, and without empty columns that have no name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
    named = [
        (name, column)
        for number, (name, column) in enumerate(zip(table.column_names, columns, strict=True))
        if name or number == 0 or pc.max(pc.utf8_length(column)).as_py() != 0
    ]
    return pa.table([column for _, column in named], names=[name for name, _ in named])
