"""Answers found in the file of another tool, checked against a verification file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gdw.data.verification import Answer, Candidate, Queue
from gdw.errors import DataError, listed, nearest

CANNOT_TELL, SEVERAL = "(cannot tell)", "(several classes)"
"""What other tools offer beside the classes."""

_MARK = "sha:"


def marked(digest: str) -> str:
    """A checksum as other tools keep it: as text, which no spreadsheet takes for a number."""
    return _MARK + digest


@dataclass
class Found:
    """Collects answers.

    Args:
        queue: the verification file.
        annotator: who answered where the file does not say it.
        verified: the labels of the rows that are verified already. Where the file cannot say whose a label
            is, these are no new answers.

    Attributes:
        answers: the answers.
        unanswered: the number of rows without an answer.
    """

    queue: Queue
    annotator: str
    verified: Mapping[int, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    unanswered: int = 0

    def __post_init__(self) -> None:
        self._rows = {row.index: row for row in self.queue.candidates}
        self._names = {name: name for name in self.queue.label_names}

    def add(
        self,
        place: str,
        index: Any,
        kind: str,
        labels: Sequence[str],
        *,
        digest: Any = None,
        annotator: str = "",
        time: Any = None,
        seconds: Any = None,
    ) -> None:
        """Add an answer; `place` says where it was found.

        Raises:
            DataError: the row is not one of the file, has changed, or a label is no class.
        """
        row = self._row(place, index, digest)
        for label in labels:
            self._require_class(place, label)
        self.answers.append(
            Answer(
                row.index,
                row.digest,
                kind,
                tuple(labels),
                annotator or self.annotator,
                str(time) if time else now(),
                float(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else None,
                blind=True,
            )
        )

    def is_known(self, index: Any, label: str) -> bool:
        """Whether a row is verified as `label` already."""
        return self.verified.get(_whole(index)) == label

    def _row(self, place: str, index: Any, digest: Any) -> Candidate:
        row = self._rows.get(_whole(index))
        if row is None:
            raise DataError(
                f"{place}: row {index!r} is not in {self.queue.path.name}: the answers belong to "
                "another verification file"
            )
        if digest is not None and digest != marked(row.digest):
            raise DataError(
                f"{place}: {row.where} is another one in {self.queue.path.name}: these answers belong to "
                "other data"
            )
        return row

    def _require_class(self, place: str, label: str) -> None:
        if label not in self._names:
            raise DataError(
                f"{place}: {label!r} is no class.{nearest(label, self._names)} The classes: "
                f"{listed(self._names)}"
            )

    def choices(self, chosen: Sequence[str]) -> tuple[str, list[str]]:
        """The kind of answer and the classes that choices of another tool mean."""
        labels = [c for c in chosen if c in self._names or c not in (CANNOT_TELL, SEVERAL)]
        if len(labels) == len(chosen) == 1:
            return "label", labels
        only = list(chosen) == [CANNOT_TELL] and not labels
        return ("cannot_tell" if only else "several" if chosen else "skip"), labels


def now() -> str:
    """The present time in UTC."""
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(index: Any) -> int:
    try:
        number = float(str(index))
    except ValueError:
        return -1
    return int(number) if number.is_integer() else -1
