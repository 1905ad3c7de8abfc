"""A verification file with its answers: which rows are verified, and which are in conflict."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.data.verification.agreement import Agreement, agreements
from gdw.data.verification.answers import Answer, answers_of, read_answers
from gdw.data.verification.queue import Candidate, Queue
from gdw.data.verification.queue_file import read_queue
from gdw.errors import counted
from gdw.files.representation import ShortRepr

_WORDS = {
    "skip": "skipped",
    "cannot_tell": "cannot be told",
    "several": "of several classes",
    "conflict": "in conflict",
    "open": "not answered",
}


@dataclass(frozen=True)
class Outcome:
    """What the annotators said about a row, taken together.

    Attributes:
        candidate: the row.
        state: "label": verified; "conflict": two annotators differ; "several", "cannot_tell", "skip"; "open":
            nobody has answered.
        label: the verified label, if `state` is "label".
        answers: the answer of each annotator that counts.
    """

    candidate: Candidate
    state: str
    label: str | None = None
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Verification(ShortRepr):
    """A verification file with its answers. Make one with `read`.

    The M verified rows are those with a label on which all agree who gave one. A row with different labels
    is in conflict, and not verified before somebody settles it.

    Attributes:
        queue: the verification file.
        answers: the answers that count: the last one of each annotator to each row.
        foreign: the number of answers that are left out because they are about other rows, or about rows
            that have changed since.
        torn: whether the last line of the answers was cut off, and is left out.
    """

    queue: Queue
    answers: tuple[Answer, ...]
    foreign: int = 0
    torn: bool = False

    def _shown(self) -> dict[str, object]:
        return {"path": str(self.queue.path), "rows": len(self.queue), "verified": len(self.index)}

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """What was said about each row of the file, in its order."""
        by_row: dict[int, list[Answer]] = {}
        for answer in self.answers:
            by_row.setdefault(answer.index, []).append(answer)
        return [_outcome(row, by_row.get(row.index, [])) for row in self.queue.candidates]

    @cached_property
    def _verified(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.state == "label"]

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """The verified rows of the data, from 0, int64 `(M,)`."""
        return np.array([found.candidate.index for found in self._verified], dtype=np.int64)

    @cached_property
    def labels(self) -> list[str]:
        """The verified labels of these M rows."""
        return [str(found.label) for found in self._verified]

    @cached_property
    def given(self) -> list[str]:
        """The labels of these M rows in the data."""
        return [found.candidate.given_label for found in self._verified]

    @cached_property
    def selection_probability(self) -> NDArray[np.float64]:
        """How likely each of these M rows was to be chosen, `(M,)`; NaN if unknown."""
        chosen = (found.candidate.selection_probability for found in self._verified)
        return np.array([np.nan if p is None else p for p in chosen], dtype=np.float64)

    @property
    def annotators(self) -> tuple[str, ...]:
        """Who has answered."""
        return tuple(sorted({answer.annotator for answer in self.answers}))

    @property
    def conflicts(self) -> list[Outcome]:
        """The rows on which annotators differ."""
        return [outcome for outcome in self.outcomes if outcome.state == "conflict"]

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows in each state: label, skip, cannot_tell, several, conflict, open."""
        counts = Counter(outcome.state for outcome in self.outcomes)
        return {state: counts[state] for state in ("label", *_WORDS)}

    def agreements(self) -> list[Agreement]:
        """How far each two annotators agree, with Cohen's kappa."""
        labels: dict[str, dict[int, str]] = {}
        for answer in self.answers:
            if answer.label is not None:
                labels.setdefault(answer.annotator, {})[answer.index] = answer.label
        return agreements(labels)

    def described(self) -> str:
        """The number of rows in each state in words: `41 of 50 rows verified, 3 skipped, 6 not answered`."""
        counts = self.counts
        rest = [f"{counts[state]:,} {words}" for state, words in _WORDS.items() if counts[state]]
        total = counted(len(self.queue), "row")
        return ", ".join([f"{counts['label']:,} of {total} verified", *rest])


def read(
    path: str | os.PathLike[str], answers: str | os.PathLike[str] | None = None
) -> Verification:
    """Read a verification file and its answers. PyTorch is not imported, and the data are not read.

    Args:
        path: the file that `gdw suggest` wrote.
        answers: the file of answers; by default the one beside it, which need not exist yet.

    Raises:
        DataError: a file is missing, damaged, or was written by a newer version of gdw.
    """
    queue = read_queue(path)
    place = answers_of(path) if answers is None else Path(answers)
    if answers is None and not place.exists():
        return Verification(queue, ())
    found, torn = read_answers(place)
    return combined(queue, found, torn=torn)


def combined(queue: Queue, answers: Sequence[Answer], *, torn: bool = False) -> Verification:
    """A verification file with answers, of which the last one of each annotator to each row counts."""
    digest_of = {row.index: row.digest for row in queue.candidates}
    last: dict[tuple[int, str], Answer] = {}
    foreign = 0
    for answer in answers:
        key = (answer.index, answer.annotator)
        if digest_of.get(answer.index) != answer.digest:
            foreign += 1
        elif answer.answer == "undone":
            last.pop(key, None)
        else:
            last.pop(key, None)  # so that the order is that of the last answers
            last[key] = answer
    return Verification(queue, tuple(last.values()), foreign, torn)


def _outcome(row: Candidate, answers: Sequence[Answer]) -> Outcome:
    if not answers:
        return Outcome(row, "open")
    settled = [answer for answer in answers if answer.resolves]
    state, label = _together(settled[-1:] or answers)
    return Outcome(row, state, label, tuple(answers))


def _together(answers: Sequence[Answer]) -> tuple[str, str | None]:
    """What some answers mean together: the state of the row, and its label."""
    said = {(a.answer, a.label) for a in answers if a.answer in ("label", "several")}
    if len(said) > 1:
        return "conflict", None
    if said:
        return said.pop()
    states = {answer.answer for answer in answers}
    return ("cannot_tell" if "cannot_tell" in states else "skip"), None
