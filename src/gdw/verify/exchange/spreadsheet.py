"""A table of the rows to fill in with a spreadsheet."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from gdw.audit.spreadsheet import LabelReader
from gdw.data.rows import Rows, open_rows
from gdw.data.text_files import ReadOptions, escaped, unescaped
from gdw.data.verification import Answer, Verification
from gdw.errors import DataError, listed, nearest, shown
from gdw.files.documents import write_text_atomically
from gdw.verify.examples import Examples
from gdw.verify.exchange.found import CANNOT_TELL, SEVERAL, Found, marked

_GIVEN = "given_label"
_HEAD = ("index", "where", "label", "annotator", "time", "seconds", "digest")
_SEPARATOR = " | "


def export(path: Path, verification: Verification, rows: Rows, *, show_given: bool) -> list[Path]:
    """Write one line for each answer, and one for each row without an answer, whose `label` is empty.

    Args:
        path: the `.csv` file.
        verification: the rows and answers.
        rows: the data.
        show_given: give the label in the data, in the column `given_label`.

    Returns:
        The file written.
    """
    queue = verification.queue
    examples = Examples(rows, queue, queue.candidates)
    columns: dict[str, None] = {}
    lines = []
    for n, outcome in enumerate(verification.outcomes):
        cells = _contents(examples.content(n, blind=not show_given))
        columns.update(dict.fromkeys(cells))
        given = {_GIVEN: outcome.candidate.given_label} if show_given else {}
        for answer in outcome.answers or (None,):
            told = _told(answer)
            place = {"index": outcome.candidate.index, "where": outcome.candidate.where}
            lines.append(
                {**cells, **place, **given, **told, "digest": marked(outcome.candidate.digest)}
            )
    head = [*_HEAD[:2], *([_GIVEN] if show_given else []), *_HEAD[2:], *columns]
    text = io.StringIO()
    writer = csv.DictWriter(text, head, restval="", lineterminator="\n")
    writer.writerow({name: escaped(name) for name in head})
    writer.writerows({k: escaped(str(v)) for k, v in line.items()} for line in lines)
    write_text_atomically(path, text.getvalue())
    return [path]


def read(path: Path, found: Found) -> None:
    """Add the answers in a table with the columns `index` and `label`.

    Other columns of `export` are used if they are there. A spreadsheet may have saved the file, with other
    delimiters, in another encoding, and with labels that it took for numbers, truth values or dates.

    Raises:
        DataError: the file is no such table, or is about other rows.
    """
    rows = _opened(path)
    every = np.arange(len(rows))
    column = {name: rows.values(name, every) for name in _HEAD if name in rows.columns}
    reader = LabelReader(found.queue.label_names, ())
    for number in range(len(rows)):
        place = f"row {number} of {shown(path)}"
        cell = {name: str(values[number] or "").strip() for name, values in column.items()}
        if not cell["label"]:
            found.unanswered += 1
            continue
        kind, labels = _answer(cell["label"], reader, place)
        found.add(
            place,
            cell["index"],
            kind,
            [found.queue.label_names[code] for code in labels],
            digest=cell.get("digest") or None,
            annotator=unescaped(cell.get("annotator", "")),
            time=cell.get("time"),
            seconds=_number(cell.get("seconds", "")),
        )


def _contents(content: dict[str, Any]) -> dict[str, str]:
    """What is in a row, by column; a column that is named like one of `_HEAD` gets a mark."""
    cells = {"text": content["text"]} if "text" in content else dict(content.get("cells", ()))
    cells = {**cells, **dict(content["context"])}
    taken = (*_HEAD, _GIVEN)
    return {f"{name} (data)" if name in taken else name: value for name, value in cells.items()}


def _told(answer: Answer | None) -> dict[str, Any]:
    if answer is None:
        return {}
    words = {"cannot_tell": CANNOT_TELL, "several": _SEPARATOR.join([SEVERAL, *answer.labels])}
    label = words.get(answer.answer, answer.label or "")
    seconds = "" if answer.seconds is None else answer.seconds
    return {"label": label, "annotator": answer.annotator, "time": answer.time, "seconds": seconds}


def _answer(cell: str, reader: LabelReader, place: str) -> tuple[str, list[int]]:
    words = cell.split(_SEPARATOR)
    if words[0] in (CANNOT_TELL, SEVERAL) and not reader.candidates(cell):
        kind = "cannot_tell" if words[0] == CANNOT_TELL else "several"
        return kind, [reader.code(word, f"{place}: label") for word in words[1:]]
    return "label", [reader.code(cell, f"{place}: label")]


def _opened(path: Path) -> Rows:
    """The table, in whatever way a spreadsheet has saved it."""
    failures: list[DataError] = []
    for encoding in (None, "utf-16", "windows-1252"):
        for delimiter in (None, ";", "\t"):
            try:
                rows = open_rows(path, ReadOptions(delimiter=delimiter, encoding=encoding))
            except DataError as error:
                failures.append(error)
                continue
            missing = [name for name in ("index", "label") if name not in rows.columns]
            if not missing:
                return rows
            failures.append(
                DataError(
                    f"{shown(path)} has no column {missing[0]!r}.{nearest(missing[0], rows.columns)} Its "
                    f"columns: {listed(rows.columns)}"
                )
            )
    raise failures[0]


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return None
