"""Delimited text whose first lines are unusual: comments at the top, another delimiter, no header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from gdw.data.formats.records import DELIMITERS, Record, Records
from gdw.data.text_files import ReadOptions
from gdw.errors import counted

_LINES = 20
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?")
_SAMPLE = 1000
_NAMES = {b"\t": "tab"}


def first_record(
    records: Records, first: Record, options: ReadOptions, *, own: bool
) -> tuple[Records, int, tuple[str, ...]]:
    """The records by the delimiter of the first lines, where the header begins, and notes on both.

    Args:
        records: by the delimiter of the format or of the options.
        first: the first record that is not empty.
        options: how the file is read.
        own: whether the first lines may choose the delimiter.
    """
    start, comments = _after_comments(records, first.start, options)
    notes = []
    if comments:
        lines = counted(comments, "line")
        notes.append(f"not read, because comments at the top begin with #: {lines}")
    other = _other_delimiter(records, start) if own else None
    if other is not None:
        name = _NAMES.get(other, repr(other.decode()))
        notes.append(f"the cells are separated by {name}, as the first lines show (--delimiter)")
        records = Records(records.content, other.decode(), quoted=records.quoted)
    return records, start, tuple(notes)


def _filled(records: Records, start: int) -> Iterator[Record]:
    return (record for record in records.read(start) if record.body.strip())


def _after_comments(records: Records, start: int, options: ReadOptions) -> tuple[int, int]:
    """Where the first record begins that is not a comment, and the number of comments before it.

    The last line with # is a header, and no comment, if it has as many cells as the next line.
    """
    comments: list[Record] = []
    for record in _filled(records, start):
        if not record.body.lstrip().startswith(b"#"):
            if comments and _is_header(records, comments[-1], options):
                return comments[-1].start, len(comments) - 1
            return record.start, len(comments)
        comments.append(record)
    return start, 0


def _is_header(records: Records, comment: Record, options: ReadOptions) -> bool:
    own = {records.delimiter}
    delimiters = own.union(DELIMITERS) if options.delimiter is None else own
    widths = (list(_widths(records, comment.start, delimiter, 2)) for delimiter in delimiters)
    return any(above == below > 1 for above, below in widths)


def _other_delimiter(records: Records, start: int) -> bytes | None:
    """The delimiter by which the first lines have more cells than by that of the records, all as many.

    Commas that split all lines alike may be those of numbers: another delimiter needs as many cells only.
    """
    own, *others = _widths(records, start, records.delimiter, _LINES)
    alike = all(width == own for width in others)
    best, most = None, own - (records.delimiter == b",") if alike and own > 1 else 1
    for delimiter in (sign for sign in DELIMITERS if sign != records.delimiter):
        widths = _widths(records, start, delimiter, _LINES)
        width = next(widths)
        if width > most and all(other == width for other in widths):
            best, most = delimiter, width
    return best


def _widths(records: Records, start: int, delimiter: bytes, count: int) -> Iterator[int]:
    """The number of cells of each of the first records: where one ends depends on the delimiter.

    A record with a quote that is never closed has none.
    """
    split = Records(records.content, delimiter.decode(), quoted=records.quoted)
    for record in islice(_filled(split, start), count):
        yield 0 if split.unclosed(record) is not None else len(split.cells(record))


def header_advice(table: Any) -> str:
    """Advice if the names of the columns of a `pyarrow.Table` of cells look like a row; else empty."""
    if not _like_a_row(table):
        return ""
    return (
        ". The first line looks like a row, not like names: if the file has no header, train with "
        "--no-header (the columns are then c0, c1, ...), or write a line of names above it"
    )


def _like_a_row(table: Any) -> bool:
    """Whether half of the names are numbers, or occur in their own columns, as labels do."""
    names: list[str] = [name.strip() for name in table.column_names]
    if names in ([str(k) for k in range(len(names))], [str(k + 1) for k in range(len(names))]):
        return False  # the numbers of the columns
    known = [
        _NUMBER.fullmatch(name) is not None or (name != "" and name in _start(column))
        for name, column in zip(names, table.columns, strict=True)
    ]
    return 2 * sum(known) >= len(known)


def _start(column: Any) -> list[str]:
    values: list[str] = column.slice(0, _SAMPLE).to_pylist()
    return values
