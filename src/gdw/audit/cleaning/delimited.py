"""Comma- and tab-separated text: untouched rows are copied byte by byte."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gdw.audit.cleaning.plan import Plan
from gdw.errors import DataError
from gdw.files.wording import shown

_MARK = "\ufeff"


def copy_delimited(plan: Plan, target: Path) -> None:
    """Write the planned copy; `DataError` for a file that cannot be taken apart row by row."""
    delimiter = "\t" if plan.source.suffix.lower() == ".tsv" else ","
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
                    file.write(_changed(raw, cells, column, plan.relabel.get(row), delimiter))
                row += 1
        plan.require_all(row)


def _changed(raw: str, cells: list[str], column: int, label: str | None, delimiter: str) -> str:
    if label is None:
        return raw
    ending = raw[len(raw.rstrip("\r\n")) :]
    line = io.StringIO()
    out = csv.writer(line, delimiter=delimiter, lineterminator="")
    out.writerow([*cells[:column], label, *cells[column + 1 :]])
    return line.getvalue() + ending


def _records(file: TextIO, delimiter: str, plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """Each record as it is written, with its line end, and its cells; no cells for an empty line."""
    consumed: list[str] = []

    def lines() -> Iterator[str]:
        for line in file:
            consumed.append(line)
            # A byte order mark belongs to no name.
            yield line.removeprefix(_MARK)

    reader = csv.reader(lines(), delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            yield "".join(consumed), cells
            consumed.clear()
    except csv.Error as error:
        raise DataError(
            f"line {reader.line_num} of {shown(plan.source)} cannot be copied: {error}"
        ) from None
