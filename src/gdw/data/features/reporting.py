"""What a person who waits for features sees: a line before, a bar or a line a minute, the time left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, TextIO

from gdw.errors import printable, short_duration, warn_user

Kind = Literal["auto", "bar", "lines", "none", "warnings"]

# Seconds: of work before the time is told, between two lines, and between two changes of the bar.
_MEASURED, _BETWEEN_LINES, _REFRESH = 1.0, 60.0, 0.1


class Reporter:
    """Follows one piece of work after the other. This class shows nothing.

    The time that a piece takes is told after one second of it: "features of 5,000 images: about 20 s".
    """

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._what, self._total, self._done = "", 0, 0
        self._began: tuple[float, int] | None = None
        self._told = self._shown = 0.0
        self._announced = True

    def say(self, text: str) -> None:
        """Show one line."""

    def note(self, text: str) -> None:
        """Show a note on something that does not go as expected."""
        self.say(f"gdw: note: {text}")

    def begin(self, what: str, total: int, *, more: str = "", announced: bool = True) -> None:
        """Begin a piece of work.

        Args:
            what: it is, for the person who waits.
            total: the number of its parts.
            more: follows `what` where there is room.
            announced: whether its time is told in a line.
        """
        self._what, self._total, self._done = f"{what}{more}", total, 0
        self._began, self._announced = None, not announced
        self._told = self._clock()
        self._shown = -1.0

    def advance(self, parts: int) -> None:
        """So many more parts are done."""
        self._done += parts
        now = self._clock()
        if self._began is None:  # The first part is slower than the others.
            self._began = now, self._done
        left = self._left(now)
        if left is not None and not self._announced:
            self.say(f"{self._what}: about {short_duration(left)}")
            self._announced, self._told = True, now
        if now - self._shown >= _REFRESH:
            self._shown = now
            self._show(left, now)

    def end(self) -> None:
        """The piece of work is done, or stopped."""
        if not self._announced:
            self._announced = True
            self.say(self._what)

    def _left(self, now: float) -> float | None:
        """The seconds that are left; None as long as too little is measured."""
        if self._began is None or now - self._began[0] < _MEASURED:
            return None
        done = self._done - self._began[1]
        return (now - self._began[0]) * (self._total - self._done) / done if done else None

    def _show(self, left: float | None, now: float) -> None:
        """Show how far the work is."""


class Lines(Reporter):
    """A line at the start, and at most one a minute."""

    def __init__(
        self, write: Callable[[str], None], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        super().__init__(clock=clock)
        self._write = write

    def say(self, text: str) -> None:
        """Write the line."""
        self._write(printable(text))

    def _show(self, left: float | None, now: float) -> None:
        if left is not None and now - self._told >= _BETWEEN_LINES:
            self._told = now
            share = self._done / max(1, self._total)
            self.say(f"{share:.0%} done: {self._what}, about {short_duration(left)} left")


class FeatureWarning(UserWarning):
    """The features of a pretrained network cannot be kept, or kept ones cannot be used."""


class Warnings(Reporter):
    """Shows nothing but notes, as warnings: for calls from Python."""

    def note(self, text: str) -> None:
        """Warn with the text of the note."""
        warn_user(text, FeatureWarning)


def make_reporter(kind: Kind, stream: TextIO | None = None) -> Reporter:
    """The reporter `kind`: "auto" is a bar if `stream` (stderr) is a terminal, else a line a minute.

    Only the first of several processes shows anything.
    """
    stream = stream or sys.stderr
    if kind == "none" or os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) != "0":
        return Reporter()
    if kind == "warnings":
        return Warnings()
    if kind == "bar" or (kind == "auto" and stream.isatty()):
        from gdw.data.features.progress_bar import Bar

        return Bar(stream)
    return Lines(partial(print, file=stream, flush=True))
