"""The verified rows of another verification file of the same data, such as the decisions on label issues."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gdw.data.rows import open_rows
from gdw.data.verification import Queue, read
from gdw.data.verification.queue import FROM_A_PART
from gdw.data.verification.queue_file import rewrite_queue
from gdw.data.verification.verified_rows import require_same
from gdw.errors import DataError, shown
from gdw.verify.merging import add


@dataclass(frozen=True)
class Taken:
    """What was taken from a verification file.

    Attributes:
        rows: the number of rows that are new.
        known: how many rows with answers were in the file before; their answers are not taken.
    """

    rows: int
    known: int


def take(path: Path, other: Path) -> Taken:
    """Add the answered rows of another verification file, with their answers.

    A row that is in the file stays as it is there. If it was drawn at random and is not answered yet, an
    answer that exists because its label was doubted would make the answered rows less random.

    Args:
        path: the verification file. Its new rows count as chosen, not as drawn at random.
        other: the verification file to take them from.

    Raises:
        DataError: a file cannot be read, the two are of different data, the data have changed, or nothing is
            answered in `other`.
        RunError: another process writes the answers.
        OutputError: a file cannot be written.
    """
    queue, found = read(path).queue, read(other)
    theirs = found.queue
    _require_one_data(queue, theirs)
    answered = {answer.index for answer in found.answers}
    if not answered:
        raise DataError(f"{shown(other)} has no answers yet: gdw verify asks for them")
    here = {row.index for row in queue.candidates}
    new = [
        replace(row, selection_probability=None, draw=FROM_A_PART)
        for row in theirs.candidates
        if row.index in answered - here
    ]
    longer = replace(queue, candidates=(*queue.candidates, *new))
    require_same(open_rows(queue.place, queue.read_options), longer, new, of=shown(queue.place))
    rows = {row.index for row in new}
    # The answers first: if the power fails between the two, the same command does the rest.
    add([answer for answer in found.answers if answer.index in rows], longer)
    if new:
        rewrite_queue(longer)
    return Taken(len(new), len(answered & here))


def _require_one_data(one: Queue, two: Queue) -> None:
    if one.place.resolve() != two.place.resolve():
        raise DataError(
            f"{shown(two.path)} is about {shown(two.place)}, and {shown(one.path)} about "
            f"{shown(one.place)}: expected two files about the same data"
        )
    for what, mine, theirs in (
        ("label", one.label, two.label),
        ("columns", ", ".join(one.columns), ", ".join(two.columns)),
    ):
        if mine != theirs:
            raise DataError(
                f"{shown(one.place)} was read in two ways: with the {what} {mine} for {shown(one.path)}, "
                f"with {theirs} for {shown(two.path)}"
            )
