"""The verified rows of some data as examples, for training and for the audit."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.data.labels import LabelColumn, recode, sorted_names
from gdw.data.rows import Rows, open_rows
from gdw.data.source import Source
from gdw.data.verification.contents import digests
from gdw.data.verification.queue import FOR_CERTIFICATE, Candidate, Queue
from gdw.data.verification.queue_file import is_queue
from gdw.data.verification.verification import Verification, read
from gdw.errors import ConfigError, DataError, counted, shown

_MOST_GONE = 0.75
"""If more of the verified rows are not in some data, these are other data, not a copy without some rows."""


@dataclass(frozen=True, eq=False)
class VerifiedRows:
    """The M verified rows of a verification file, and where they are in some data.

    Attributes:
        clean: the M rows with their verified labels, of these data; or of those that the file was made of, if
            some rows are not in these data any more, as in a copy that leaves rows out.
        numbers: int64, the rows of these data that are among them.
        labels: int64, their verified labels.
        given: the labels that the M rows had when the file was made.
        drawn: bool `(M,)`, whether each was drawn at random, and neither chosen nor more likely to be drawn
            for the doubt in its label.
        verification: the file with its answers.
    """

    clean: Source
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64]
    given: tuple[str, ...]
    drawn: NDArray[np.bool_]
    verification: Verification


def verified_rows(source: Source, path: str | os.PathLike[str]) -> VerifiedRows:
    """The verified rows of the data of `source`, whether `source` has them or not.

    A note says how many rows were answered in which way.

    Args:
        source: some or all rows of the data.
        path: the verification file.

    Returns:
        The rows, with the class names of `source`.

    Raises:
        DataError: nothing is verified yet, the rows are not those that were verified, or a verified label is
            no class of `source`.
    """
    verification = read(path)
    queue = verification.queue
    if not len(verification.index):
        raise DataError(
            f"{shown(path)} has no verified row yet ({verification.described()}): answer some first, "
            f"gdw verify {shown(path)}"
        )
    outcomes = [found for found in verification.outcomes if found.state == "label"]
    candidates = [found.candidate for found in outcomes]
    places, rows, notes = _places(source.rows, queue, candidates, of=source.origin)
    here = places >= 0
    whole = bool(here.all())
    index = places if whole else verification.index
    codes = _codes(source, verification, lambda i: rows.where(int(index[i])))
    clean = replace(
        source,
        rows=rows,
        origin=source.origin if whole else str(queue.place),
        row_numbers=index,
        labels=codes,
        notes=(*_notes(verification), *notes),
    )
    drawn = ~np.isnan(verification.selection_probability)
    drawn &= np.array([row.reason != FOR_CERTIFICATE for row in candidates], dtype=bool)
    given = tuple(verification.given)
    return VerifiedRows(clean, places[here], codes[here], given, drawn, verification)


def _codes(
    source: Source, verification: Verification, where: Callable[[int], str]
) -> NDArray[np.int64]:
    """The verified labels as codes into the class names of `source`."""
    names = sorted_names(set(verification.labels))
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.array([code_of[name] for name in verification.labels], dtype=np.int64)
    return recode(
        LabelColumn(names, codes),
        source.label_names,
        where=lambda i: f"{shown(verification.queue.path)}, {where(i)}",
        names_declared=source.names_declared,
        merged=source.labels_merged,
    )


def verified_in(
    source: Source, path: str | os.PathLike[str], *, column: str | None = None
) -> VerifiedRows | None:
    """As `verified_rows`; None if there is no verification file at `path`.

    Raises:
        ConfigError: the user names a `column` of verified labels, which a verification file does not have.
    """
    if not is_queue(path):
        return None
    if column is not None:
        raise ConfigError(
            f"{shown(path)} is a verification file, which has its own labels: leave --meta-label out"
        )
    return verified_rows(source, path)


def _notes(verification: Verification) -> tuple[str, ...]:
    notes = [f"{shown(verification.queue.path)}: {verification.described()}"]
    if verification.foreign:
        answers = counted(verification.foreign, "answer is", "answers are")
        notes.append(f"{answers} left out: about other rows, or rows that have changed since")
    if verification.torn:
        notes.append("the last line of the answers was cut off, and is left out")
    return tuple(notes)


def _places(
    rows: Rows, queue: Queue, candidates: list[Candidate], *, of: str
) -> tuple[NDArray[np.int64], Rows, list[str]]:
    """Where the rows of `candidates` are in some data, -1 for nowhere.

    Also the rows that have all of them, which are those of the data or those that the file was made of, and
    a note.
    """
    try:
        require_same(rows, queue, candidates, of=of)
    except DataError:
        if any(name not in rows.columns for name in queue.columns):
            raise
        places = _by_content(rows, queue, candidates)
        missing = int((places < 0).sum())
        changed = bool(missing) and Path(of).resolve() == queue.place.resolve()
        if changed or missing > _MOST_GONE * len(places):
            raise
        name = shown(queue.path.name)
        if not missing:
            note = f"the rows of {name} have moved in {of}: found by what is in them"
            return places, rows, [note]
        gone = f"{missing:,} of {counted(len(places), 'row')} verified in {name} are not in {of}"
        original = _original(queue, candidates, gone)
        return places, original, [f"{gone}: taken from {shown(queue.place)}"]
    return np.array([row.index for row in candidates], dtype=np.int64), rows, []


def _by_content(rows: Rows, queue: Queue, candidates: list[Candidate]) -> NDArray[np.int64]:
    """Where each of `candidates` is by what is in it, also in another order; -1 for nowhere."""
    places: dict[str, list[int]] = defaultdict(list)
    for number, digest in enumerate(digests(rows, queue.kind, queue.columns, np.arange(len(rows)))):
        places[digest].append(number)
    found = [places[row.digest].pop(0) if places[row.digest] else -1 for row in candidates]
    return np.array(found, dtype=np.int64)


def _original(queue: Queue, candidates: list[Candidate], gone: str) -> Rows:
    """The data that a verification file was made of; `gone` says which rows are needed from there."""
    try:
        original = open_rows(queue.place, queue.read_options)
        require_same(original, queue, candidates, of=shown(queue.place))
    except DataError:
        why = "has changed" if queue.place.exists() else "is not there"
        raise DataError(
            f"{gone}, and {shown(queue.place)}, which it was made of, {why}: restore it"
        ) from None
    return original


def require_same(rows: Rows, queue: Queue, candidates: list[Candidate], *, of: str) -> None:
    """Raise `DataError` if one of `candidates` is not in `rows` as it was when it was chosen.

    Rows that were added at the end of the data do not matter.
    """
    if len(rows) <= max((row.index for row in candidates), default=-1):
        raise changed(
            queue, f"{of} has {counted(len(rows), 'row')} now, it had {queue.rows_in_data:,}"
        )
    missing = [name for name in queue.columns if name not in rows.columns]
    if missing:
        raise changed(queue, f"{of} has no column {missing[0]!r} now")
    numbers: NDArray[np.int64] = np.array([row.index for row in candidates], dtype=np.int64)
    now = digests(rows, queue.kind, queue.columns, numbers)
    for row, digest in zip(candidates, now, strict=True):
        if digest != row.digest:
            raise changed(queue, f"{rows.where(row.index)} is not as it was")


def changed(queue: Queue, what: str) -> DataError:
    """The error that the data are not those of a verification file."""
    name = shown(Path(queue.path).name)
    return DataError(
        f"the data are not those of {name}: {what}. Restore them, or make {name} again with gdw suggest: "
        "answers about rows that did not change count on"
    )
