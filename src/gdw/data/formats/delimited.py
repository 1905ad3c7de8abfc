"""Comma- and tab-separated text. Every cell is kept as text, without the spaces around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gdw.data.formats.delimited_layout import QUOTES_ARE_TEXT, Layout, find_layout
from gdw.data.formats.delimited_tables import needs_care, read_careful, read_fast, trimmed
from gdw.data.formats.encodings import utf8_content, write_encoded
from gdw.data.formats.format import CopyPlan, Format
from gdw.data.formats.records import Record, Records, line_of
from gdw.data.formats.swallowed import swallowed_cell
from gdw.data.read_options import ReadOptions
from gdw.data.rows import TableRows
from gdw.errors import DataError, shown


def open_delimited(path: Path, options: ReadOptions, *, delimiter: str) -> TableRows:
    """The rows of a file with a header line; `DataError` names the line that is broken."""
    with utf8_content(path, options.encoding) as content:
        layout = find_layout(path, content, options, delimiter)
        table = None
        if not needs_care(layout.records):
            table = read_fast(layout, options)
        if table is None:
            table = read_careful(layout, options)
        if options.quoting is None:
            _refuse_swallowed_rows(layout, table)
    return TableRows(trimmed(table), path, untyped=True)


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
        raise plan.changed(f"has another label in row {row + 1} now")
    at = cell.index(core)
    label = records.quoted_like(core, plan.relabel[row])
    return (
        record.raw[:start]
        + (cell[:at] + label + cell[at + len(core) :]).encode()
        + record.raw[end:]
    )
