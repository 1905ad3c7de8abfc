"""One annotator at work: what the page shows, and what becomes of each answer."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gdw.data.rows import Rows
from gdw.data.verification import Answer, Candidate, Journal, Queue
from gdw.data.verification.queue_file import MOST_LIKELY
from gdw.data.verification.verification import Verification, combined
from gdw.errors import GDWError, OutputError, shown
from gdw.verify.examples import Examples
from gdw.verify.progress import Progress, positions_of
from gdw.verify.requests import RefusedError, number_of, reply_of, window_of

_KEYS = "1234567890"


@dataclass(frozen=True)
class Settings:
    """How the rows are shown.

    Attributes:
        annotator: the name of the person.
        blind_share: the share of rows whose given label is hidden, from 0 to 1.
        suggest: show the likely classes as suggestions, as for a list of label issues.
        conflicts: show only the rows on which annotators differ, with their answers, and settle them.
        rows: show only these rows of the data, to answer them again; empty for all.
    """

    annotator: str
    blind_share: float = 1.0
    suggest: bool = False
    conflicts: bool = False
    rows: tuple[int, ...] = ()


class Desk:
    """What the page may ask for. Every method answers one request; several threads may call them.

    Args:
        queue: the verification file.
        rows: the data.
        journal: the file of answers.
        settings: how the rows are shown.
    """

    def __init__(self, queue: Queue, rows: Rows, journal: Journal, settings: Settings) -> None:
        self.queue, self.journal, self.settings = queue, journal, settings
        self._lock = threading.RLock()
        self._data = Path(queue.place)
        self._signature = _signature(self._data)
        conflicts = self.verification().conflicts if settings.conflicts else []
        self._others = {found.candidate.index: found.answers for found in conflicts}
        self.candidates: Sequence[Candidate] = queue.candidates
        if settings.conflicts:
            self.candidates = [found.candidate for found in conflicts]
        elif settings.rows:
            self.candidates = [row for row in queue.candidates if row.index in settings.rows]
        self._code = {name: code for code, name in enumerate(queue.label_names)}
        self._examples = Examples(rows, queue, self.candidates)
        self.progress = self._progress()
        self._frequent = [
            self._code[name]
            for name, _ in Counter(row.given_label for row in queue.candidates).most_common()
            if name in self._code
        ]
        self.answered_now = 0

    def close(self) -> None:
        """Let others write the answers; an answer that is being kept is kept first."""
        with self._lock:
            self.journal.close()

    def verification(self) -> Verification:
        """The file with all answers so far."""
        return combined(self.queue, self.journal.answers)

    @property
    def open_rows(self) -> list[int]:
        """The rows of the data that are not answered yet."""
        shown = enumerate(self.candidates)
        return [row.index for n, row in shown if self.progress.answer(n) is None]

    def start(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """What a window shows first: the names of the classes, and the next row without an answer."""
        with self._lock:
            names = self.queue.label_names
            more = {"names": names, "file": self.queue.path.name, "data": self._data.name}
            n = self.progress.next_open(0, window=window_of(content))
            annotator, conflicts = self.settings.annotator, self.settings.conflicts
            return {
                **more, "annotator": annotator, "conflicts": conflicts, **self._page(n, content)
            }  # fmt: skip

    def item(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """A row that the person goes to."""
        with self._lock:
            return self._page(number_of(content, "n", below=len(self.candidates)), content)

    def answer(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Keep an answer. The next row is told when the answer is on the disk."""
        reply = reply_of(content, rows=len(self.candidates), classes=len(self._code))
        with self._lock:
            self._require_data()
            if reply.seen != self.progress.revision(reply.n):
                raise RefusedError(
                    409,
                    "this row was answered in another window meanwhile: here is that answer",
                    page=self._page(reply.n, content),
                )
            problem = self._examples.problem(reply.n)
            if reply.answer in ("label", "several") and problem:
                raise RefusedError(409, f"not kept: {problem}", page=self._page(reply.n, content))
            answer = replace(
                self._blank(reply.n),
                answer=reply.answer,
                labels=tuple(self.queue.label_names[code] for code in reply.codes),
                seconds=reply.seconds,
                blind=self._is_blind(reply.n),
                resolves=self.settings.conflicts,
            )
            self._keep(reply.n, answer, reply.window)
            self.answered_now += 1
            return self._page(self.progress.next_open(reply.n + 1, window=reply.window), content)

    def undo(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Take the last answer of this window back, and show its row."""
        window = window_of(content)
        with self._lock:
            self._require_data()
            n = self.progress.last(window=window)
            if n is None:
                raise RefusedError(409, "there is no answer to take back")
            self._keep(n, replace(self._blank(n), answer="undone"), window)
            return self._page(n, content)

    def skipped(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Show the skipped rows again."""
        with self._lock:
            self.progress.reopen("skip")
            return self._page(self.progress.next_open(0, window=window_of(content)), content)

    def picture(self, n: int, neighbour: int | None, side: int) -> tuple[bytes, str]:
        """The picture of row `n` or of one of its neighbours, and its media type."""
        if n >= len(self.candidates):
            raise RefusedError(404, "there is no such row")
        if neighbour is not None and neighbour >= len(self.candidates[n].neighbours):
            raise RefusedError(404, "there is no such neighbour")
        try:
            return self._examples.picture(n, neighbour, side)
        except (GDWError, OSError) as error:
            raise RefusedError(404, str(error)) from None

    def _progress(self) -> Progress:
        progress = Progress(len(self.candidates))
        place = positions_of([row.index for row in self.candidates])
        for answer in self.journal.answers:
            n = place.get(answer.index)
            mine = answer.annotator == self.settings.annotator
            if n is None or not mine or answer.digest != self.candidates[n].digest:
                continue
            # An answer that led to a conflict does not settle it.
            if not self.settings.rows and (answer.resolves or not self.settings.conflicts):
                progress.note(n, answer)
        return progress

    def _keep(self, n: int, answer: Answer, window: str) -> None:
        try:
            self.journal.append(answer)
        except OutputError as error:
            raise RefusedError(507, f"{error}") from error
        self.progress.note(n, answer, window=window)

    def _blank(self, n: int) -> Answer:
        row = self.candidates[n]
        now = dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Answer(row.index, row.digest, "skip", annotator=self.settings.annotator, time=now)

    def _require_data(self) -> None:
        if _signature(self._data) != self._signature:
            raise RefusedError(
                409,
                f"{shown(self._data.name)} changed since gdw verify was started: this is not saved, all "
                "answers before it are. Stop gdw verify with Ctrl-C and start it again: it checks the rows",
                stop=True,
            )

    def _is_blind(self, n: int) -> bool:
        """The same for each start: it follows from the row."""
        if self.settings.suggest or self.settings.conflicts:
            return False
        draw = hashlib.sha256(f"blind {self.candidates[n].index}".encode()).digest()
        return int.from_bytes(draw[:4], "big") / 2**32 < self.settings.blind_share

    def _page(self, n: int | None, content: Mapping[str, Any]) -> dict[str, Any]:
        """What the page needs to show row `n`, or that there is none."""
        window, progress = window_of(content), self.progress
        found: dict[str, Any] = {
            "total": len(self.candidates),
            "counts": progress.counts,
            "left": progress.left,
            "pace": progress.pace,
        }
        if n is None:
            return {**found, "item": None}
        progress.show(n, window=window)
        return {**found, "item": self._item(n), "ahead": progress.next_open(n + 1, window=window)}

    def _item(self, n: int) -> dict[str, Any]:
        row, blind = self.candidates[n], self._is_blind(n)
        mine = self.progress.answer(n)
        suggested = row.likely[0][0] if self.settings.suggest and row.likely else None
        return {
            "n": n,
            "seen": self.progress.revision(n),
            "blind": blind,
            "given": None if blind else row.given_label,
            "suggested": suggested,
            "keys": self._keys(row, blind=blind),
            "answer": None if mine is None else [mine.answer, self._codes(mine.labels)],
            "others": self._said(row) if self.settings.conflicts else [],
            **self._examples.content(n, blind=blind),
        }

    def _said(self, row: Candidate) -> list[list[Any]]:
        found = self._others[row.index]
        return [[one.annotator, one.answer, list(one.labels)] for one in found if not one.resolves]

    def _codes(self, labels: Sequence[str]) -> list[int]:
        return [self._code[name] for name in labels if name in self._code]

    def _keys(self, row: Candidate, *, blind: bool) -> list[tuple[str, int]]:
        """The keys of classes, each with its class.

        If there are at most ten classes, each always has the same key. Else these are the given label and
        the most likely classes: in the order of the classes if the given label is hidden, so that the place
        of a class tells nothing. A class that is called like a key has this key.
        """
        names = self.queue.label_names
        if len(names) <= len(_KEYS):
            return _by_key(_with_keys(range(len(names)), names), names)
        said = [name for one in self._others.get(row.index, ()) for name in one.labels]
        likely = self._codes([*said, row.given_label, *(name for name, _ in row.likely)])
        codes = list(dict.fromkeys([*likely, *self._frequent]))[:MOST_LIKELY]
        if blind:
            return _by_key(_with_keys(sorted(codes), names), names)
        return _with_keys(codes, names)


def _with_keys(codes: Sequence[int], names: Sequence[str]) -> list[tuple[str, int]]:
    """Up to ten classes, each with its key: the digit that it is called, or the next one that is free."""
    own = {names[code] for code in codes} & set(_KEYS)
    free = iter([key for key in _KEYS if key not in own])
    return [(names[code] if names[code] in own else next(free), code) for code in codes]


def _by_key(keys: list[tuple[str, int]], names: Sequence[str]) -> list[tuple[str, int]]:
    """In the order of the keys. The last one is 0, unless it is the name of the class."""
    return sorted(keys, key=lambda pair: (pair[0] == "0" != names[pair[1]], pair[0]))


def _signature(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written; of a folder nothing, because each of its images is checked."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return None if path.is_dir() else (status.st_mtime_ns, status.st_size)
