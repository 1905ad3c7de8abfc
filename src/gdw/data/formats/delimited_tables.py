"""Tables of delimited files, as Arrow reads them, or as `Records` do where Arrow would read wrongly.

Arrow's reader is fast, but it does not understand quotes that follow a space (`a, "b, c"`), accepts a quote
that is never closed, and does not say which line of a broken file is broken.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from typing import Any

from gdw.data.formats.delimited_layout import Layout, require_closed, wrong_width
from gdw.data.formats.encodings import is_utf8, not_in_encoding
from gdw.data.formats.records import Records, line_of
from gdw.data.read_options import ReadOptions
from gdw.errors import DataError

_ROWS_AT_ONCE = 20_000
_BYTES_AT_ONCE = 1 << 24


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
    """The table without the spaces around cells, and without empty columns at the end that have no name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
    names = list(table.column_names)
    while len(names) > 1 and not names[-1] and pc.max(pc.utf8_length(columns[-1])).as_py() == 0:
        names.pop()
        columns.pop()
    return pa.table(columns, names=names)
