"""Where an annotator is in a list of rows: which are answered, what is next, how fast it goes."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from statistics import median

from gdw.data.verification import Answer

_OPEN, _ANSWERED = 0, 1
_LEASE = 600.0
_RECENT = 30
_PAUSE = 120.0


class Progress:
    """The state of R rows for one annotator, who may have several windows of the page open.

    Args:
        count: R.
        clock: the time in seconds.
    """

    def __init__(self, count: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._state = bytearray(count)
        self._answers: dict[int, Answer] = {}
        self._kinds: Counter[str] = Counter()
        self._revisions: Counter[int] = Counter()
        self._history: list[tuple[str, int]] = []
        self._shown: dict[str, tuple[int, float]] = {}
        self._seconds: deque[float] = deque(maxlen=_RECENT)

    def note(self, n: int, answer: Answer, *, window: str = "") -> None:
        """Take an answer to row `n` into account."""
        self._revisions[n] += 1
        before = self._answers.pop(n, None)
        if before is not None:
            self._kinds[before.answer] -= 1
        if answer.answer == "undone":
            self._state[n] = _OPEN
            return
        self._answers[n] = answer
        self._kinds[answer.answer] += 1
        self._state[n] = _ANSWERED
        self._history.append((window, n))
        if answer.seconds is not None:
            self._seconds.append(min(float(answer.seconds), _PAUSE))

    def answer(self, n: int) -> Answer | None:
        """The answer to row `n`."""
        return self._answers.get(n)

    def revision(self, n: int) -> int:
        """How often row `n` was answered, or an answer to it undone."""
        return self._revisions[n]

    def next_open(self, start: int, *, window: str = "") -> int | None:
        """The first row without an answer from `start` on, and then from the beginning, if there is one.

        Rows that another window shows come last.
        """
        now = self._clock()
        elsewhere = {
            n for other, (n, at) in self._shown.items() if other != window and now - at < _LEASE
        }
        taken = None
        for first, last in ((start, len(self._state)), (0, start)):
            n = self._state.find(_OPEN, first, last)
            while n != -1:
                if n not in elsewhere:
                    return n
                taken = n if taken is None else taken
                n = self._state.find(_OPEN, n + 1, last)
        return taken

    def show(self, n: int, *, window: str) -> None:
        """Remember that a window shows row `n`."""
        self._shown[window] = (n, self._clock())

    def last(self, *, window: str) -> int | None:
        """The row that was answered last in this window, or in earlier sittings; it is forgotten."""
        for place in range(len(self._history) - 1, -1, -1):
            where, n = self._history[place]
            if where in (window, "") and n in self._answers:
                del self._history[place]
                return n
        return None

    def reopen(self, kind: str) -> int:
        """Offer the rows with this kind of answer again; returns their number."""
        rows = [n for n, answer in self._answers.items() if answer.answer == kind]
        for n in rows:
            self._state[n] = _OPEN
        return len(rows)

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows with each kind of answer, and of those without, "open"."""
        kinds = {kind: self._kinds[kind] for kind in ("label", "several", "cannot_tell", "skip")}
        return {**kinds, "open": len(self._state) - len(self._answers)}

    @property
    def left(self) -> int:
        """The number of rows that are still to be shown."""
        return self._state.count(_OPEN)

    @property
    def pace(self) -> float | None:
        """The median time for one of the latest answers, in seconds; None before there are three."""
        return median(self._seconds) if len(self._seconds) > 2 else None


def positions_of(indices: Sequence[int]) -> dict[int, int]:
    """From the row of the data to its place in a list of rows."""
    return {index: n for n, index in enumerate(indices)}
