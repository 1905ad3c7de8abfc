"""The forms of exchange, by the name of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gdw.data.rows import Rows
from gdw.data.verification import Answer, Queue, Verification
from gdw.errors import ConfigError, shown
from gdw.verify.exchange import argilla, fiftyone, label_studio, spreadsheet
from gdw.verify.exchange.found import Found
from gdw.verify.exchange.json_objects import json_objects


@dataclass(frozen=True)
class Form:
    """A form of exchange: `tool`, and how it is written and read."""

    tool: str
    export: Callable[..., list[Path]]
    read: Callable[[Path, Found], None]


def _read_json(path: Path, found: Found) -> None:
    objects = json_objects(path)
    tool = argilla if objects and argilla.is_record(objects[0]) else label_studio
    tool.read(path, objects, found)


FORMS = {
    ".argilla.json": Form("Argilla", argilla.export, _read_json),
    ".json": Form("Label Studio", label_studio.export, _read_json),
    ".csv": Form("a spreadsheet", spreadsheet.export, spreadsheet.read),
    "": Form("FiftyOne", fiftyone.export, fiftyone.read),
}
"""The forms by the end of the file's name; a folder has none."""


def export(path: Path, verification: Verification, rows: Rows, *, show_given: bool) -> list[Path]:
    """Write the rows and answers for another tool, chosen by the suffix of `path`; the files written.

    Raises:
        ConfigError: no form has this suffix, or it cannot hold the rows.
        OutputError: the file cannot be written.
    """
    return _form(path).export(path, verification, rows, show_given=show_given)


def imported(
    path: Path, queue: Queue, *, annotator: str, verified: Mapping[int, str] | None = None
) -> tuple[list[Answer], int]:
    """The answers in the file of another tool, and the number of its rows without an answer.

    Args:
        path: the file or folder.
        queue: the verification file that they belong to.
        annotator: who answered where the file does not say it.
        verified: the labels of the rows that are verified already, by row.

    Raises:
        ConfigError: no form has this suffix.
        DataError: the file cannot be read, or is about other rows.
    """
    found = Found(queue, annotator, verified or {})
    _form(path).read(path, found)
    return found.answers, found.unanswered


def _form(path: Path) -> Form:
    if path.is_dir() or not path.suffix:
        return FORMS[""]
    for end, form in FORMS.items():
        if end and path.name.lower().endswith(end):
            return form
    raise ConfigError(
        f"cannot tell the form of {shown(path)}: expected .json (Label Studio), .argilla.json, .csv, or a "
        "folder (FiftyOne)"
    )
