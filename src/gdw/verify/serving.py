"""From a verification file to an annotator's desk: the data, checked, and the file of answers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from gdw.data.rows import Rows, open_rows
from gdw.data.verification import Journal, Queue, Verification, answers_of, read_queue
from gdw.data.verification.verified_rows import require_same
from gdw.errors import ConfigError, DataError, RunError, shortened, shown
from gdw.verify.desk import Desk, Settings

_CHECKED, _CHECKED_IMAGES = 2_000, 20


def open_desk(
    queue: str | os.PathLike[str] | Queue,
    settings: Settings,
    *,
    data: str | None = None,
    answers: Path | None = None,
) -> Desk:
    """Open everything that an annotator needs.

    Args:
        queue: the verification file.
        settings: how the rows are shown.
        data: where the data are now, if they were moved.
        answers: the file of answers; by default the one beside the verification file.

    Raises:
        DataError: a file cannot be read, or the data are not those that the file was made of.
        RunError: another process writes the answers.
        ConfigError: there are no conflicts to settle.
        OutputError: the answers cannot be written.
    """
    opened = queue if isinstance(queue, Queue) else _queue(Path(queue))
    opened = _at(opened, data)
    rows = open_data(opened)
    try:
        journal = Journal(answers or answers_of(opened.path))
    except RunError as error:
        raise RunError(f"{error} (--answers FILE)") from None
    try:
        desk = Desk(opened, rows, journal, settings)
        if not desk.candidates and settings.rows:
            numbers = shortened([str(row) for row in settings.rows], 5)
            raise ConfigError(
                f"{shown(opened.path)} has none of the rows {numbers}: --rows takes row numbers of the data, "
                "from 0"
            )
        if not desk.candidates:
            raise ConfigError(
                f"no two annotators differ in {shown(journal.path)}: there is nothing to settle; leave "
                "--conflicts out to go on with the other rows"
            )
    except BaseException:
        journal.close()
        raise
    return desk


def _queue(path: Path) -> Queue:
    if path.is_dir() and (path / "config.yaml").exists():
        raise ConfigError(
            f"{shown(path)} is a run: add --issues to decide on its label issues, or name a verification file"
        )
    return read_queue(path)


def moved(verification: Verification, data: str | None) -> Verification:
    """The same verification, whose data are at `data` now, if they were moved."""
    return replace(verification, queue=_at(verification.queue, data))


def _at(queue: Queue, data: str | None) -> Queue:
    return queue if data is None else replace(queue, data=str(Path(data).absolute()))


def open_data(queue: Queue) -> Rows:
    """The data of a verification file; the first rows are compared with what they were.

    Raises:
        DataError: the data cannot be read, or are not those that the file was made of.
    """
    try:
        rows = open_rows(queue.place, queue.read_options)
    except DataError as error:
        if queue.place.exists():
            raise
        raise DataError(f"{error} If the data were moved, say where they are with --data") from None
    first = _CHECKED_IMAGES if queue.kind == "image" else _CHECKED
    require_same(rows, queue, list(queue.candidates[:first]), of=shown(queue.place))
    return rows
