"""The verified rows of some data as examples, for training and for the audit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.data.labels import LabelColumn, recode, sorted_names
from gdw.data.rows import Rows
from gdw.data.source import Source
from gdw.data.verification.contents import digests
from gdw.data.verification.queue import Candidate, Queue
from gdw.data.verification.queue_file import is_queue
from gdw.data.verification.verification import Verification, read
from gdw.errors import ConfigError, DataError, counted, shown


def verified_rows(source: Source, path: str | os.PathLike[str]) -> Source:
    """The verified rows of the data of `source` with their verified labels, whether `source` has them or not.

    A note says how many rows were answered in which way.

    Args:
        source: some or all rows of the data.
        path: the verification file.

    Returns:
        A source with the same `rows` and class names as `source`.

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
    index, moved = _places(source.rows, queue, candidates, of=source.origin)
    names = sorted_names(set(verification.labels))
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.array([code_of[name] for name in verification.labels], dtype=np.int64)
    labels = recode(
        LabelColumn(names, codes),
        source.label_names,
        where=lambda i: f"{shown(path)}, {source.rows.where(int(index[i]))}",
        names_declared=source.names_declared,
        merged=source.labels_merged,
    )
    return replace(source, row_numbers=index, labels=labels, notes=(*_notes(verification), *moved))


def verified_in(
    source: Source, path: str | os.PathLike[str], *, column: str | None = None
) -> Source | None:
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
) -> tuple[NDArray[np.int64], list[str]]:
    """Where the rows of `candidates` are now, also in a copy in another order, and a note if they moved."""
    try:
        require_same(rows, queue, candidates, of=of)
    except DataError:
        if any(name not in rows.columns for name in queue.columns):
            raise
        now = digests(rows, queue.kind, queue.columns, np.arange(len(rows)))
        place = {digest: n for n, digest in enumerate(now)}
        found = [place.get(row.digest, -1) for row in candidates]
        if -1 in found or len(set(found)) < len(found):
            raise
        moved = f"the rows of {shown(queue.path.name)} have moved in {of}: found by what is in them"
        return np.array(found, dtype=np.int64), [moved]
    return np.array([row.index for row in candidates], dtype=np.int64), []


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
