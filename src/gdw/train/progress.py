"""How far a training and its preparation are, how long they will take, and the lines that say so."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TextIO

from gdw.errors import duration, printable
from gdw.train.monitoring import summary

Clock = Callable[[], float]

# What a step takes besides its examples, in seconds, as long as one size of step is measured.
_OVERHEAD = 0.002
FORWARD = 1 / 3  # the forward pass as a share of a step
# A training is measured after so many seconds; before, it counts less than what was expected.
_MEASURED, _TRUSTED = 1.0, 2.0
_BETWEEN_LINES, _REFRESH = 60.0, 0.1


class StepTimes(NamedTuple):
    """The seconds that an optimizer step takes: for itself, and for each of its examples."""

    per_step: float
    per_example: float

    @classmethod
    def fitted(cls, seconds: Mapping[int, float]) -> StepTimes:
        """From the seconds of a step by its number of examples; the smallest and the largest count."""
        small, large = min(seconds), max(seconds)
        if small == large:
            overhead = min(_OVERHEAD, 0.8 * seconds[large])
            return cls(overhead, (seconds[large] - overhead) / large)
        slope = (seconds[large] - seconds[small]) / (large - small)
        slope = min(max(slope, 0.0), seconds[large] / large)
        return cls(seconds[large] - slope * large, slope)


@dataclass(eq=False)
class Stage:
    """One training of those that a `fit` consists of, and how far it is.

    Attributes:
        what: what is going on, for the person who waits.
        epochs: passes over the examples in all; `first` of them were done before.
        batches: optimizer steps of an epoch.
        size: examples of a step.
        evaluated: examples that are predicted after each epoch.
        predicted: examples that are predicted after the last epoch.
        times: what its steps take, if they are not like those of the others.
        seconds: what its steps took, without the first one, which is slower than the others.
    """

    what: str
    epochs: int
    batches: int
    size: float
    evaluated: int = 0
    predicted: int = 0
    first: int = 0
    times: StepTimes | None = None
    epoch: int = field(init=False)
    batch: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    _began: tuple[float, float] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.epoch = self.first

    @property
    def steps(self) -> int:
        return (self.epochs - self.first) * self.batches

    def cost(self, times: StepTimes) -> float:
        """The seconds of all epochs, as expected."""
        times = self.times or times
        evaluations = (self.epochs - self.first) * self.evaluated * FORWARD * times.per_example
        return self.steps * (times.per_step + self.size * times.per_example) + evaluations

    def cost_of_end(self, times: StepTimes) -> float:
        """The seconds that the predictions after the last epoch take, as expected."""
        return self.predicted * FORWARD * (self.times or times).per_example

    @property
    def share(self) -> float:
        """The share of its steps that is done."""
        done = (self.epoch - self.first) * self.batches + self.batch
        return min(1.0, done / max(1, self.steps))

    @property
    def measured(self) -> float:
        """The share of its steps that took `seconds`."""
        return 0.0 if self._began is None else self.share - self._began[1]

    def reached(self, epoch: int, batch: int, now: float) -> None:
        """At the time `now`, `epoch` epochs and `batch` steps of the next one are done."""
        self.epoch, self.batch = epoch, batch
        if self._began is None:
            self._began = now, self.share
        self.seconds = now - self._began[0]

    def measured_times(self) -> StepTimes | None:
        """What a step takes; None as long as too few are measured."""
        steps, size = round(self.measured * self.steps), max(1, round(self.size))
        enough = steps >= 1 and self.seconds >= _MEASURED
        return StepTimes.fitted({size: self.seconds / steps}) if enough else None


class State(NamedTuple):
    """How far everything is: the share that is done, the seconds that are left; `loss` may wait for a GPU."""

    stage: Stage
    loss: Callable[[], float] | None
    share: float
    left: float | None


class Display:
    """Shows nothing. Others show the progress to a person."""

    def announce(self, text: str) -> None:
        """Something that the person should know."""

    def begin(self, stage: Stage) -> None:
        """A training begins."""

    def update(self, state: State) -> None:
        """A step is done."""

    def epoch(self, record: Mapping[str, Any], state: State) -> None:
        """An epoch of the run itself is done; its record."""

    def say(self, text: str) -> None:
        """What the method does now."""
        self.announce(text)

    def close(self) -> None:
        """Restore the terminal."""


class Progress:
    """Follows all trainings of a `fit`: those that the method prepares itself with, and the run itself.

    The time that is left follows from what a step takes, in a trial or in the first seconds, and from how
    much longer the trainings took since.
    """

    def __init__(self, display: Display, *, clock: Clock = time.perf_counter) -> None:
        self.display, self._clock = display, clock
        self._begun: list[Stage] = []
        self._pending: list[Stage] = []
        self._times: StepTimes | None = None
        self._summary: str | None = None
        self._shown = -math.inf
        self.tried = False

    def plan(self, stages: Iterable[Stage], summary: str) -> None:
        """What will be done: the trainings in order, and in words."""
        self._pending, self._summary = list(stages), summary

    def learn(self, seconds: Mapping[int, float]) -> None:
        """Take what a trial has measured, the seconds of a step by its size, and announce the plan."""
        self.tried = True
        self._know(StepTimes.fitted(seconds))

    def begin(self, stage: Stage, summary: str | None = None) -> None:
        """Begin a training: the next one of the plan, or another one, which `summary` describes."""
        if self._pending:
            stage.predicted = self._pending.pop(0).predicted
        else:
            self._summary = summary
        self._begun.append(stage)
        self.display.begin(stage)

    def batch(self, done: int, loss: Callable[[], float] | None = None) -> None:
        """`done` steps of the epoch are done; `loss` reads their mean loss, which waits for a GPU."""
        stage, now = self._begun[-1], self._clock()
        stage.reached(stage.epoch, done, now)
        if now - self._shown < _REFRESH:
            return
        self._shown = now
        if self._times is None and (times := stage.measured_times()) is not None:
            self._know(times)
        self.display.update(self._state(loss))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch is done; its record."""
        stage = self._begun[-1]
        stage.reached(stage.epoch + 1, 0, self._clock())
        if stage.what == TRAINING:
            self.display.epoch(record, self._state(lambda: float(record["train_loss"])))

    def left(self) -> float | None:
        """The seconds that everything still takes; None as long as nothing is measured."""
        times = self._times
        if times is None:
            return None
        overall = self._slower([one for one in self._begun if one.times is None], 1.0, times)
        left = 0.0
        for stage in (*self._begun[-1:], *self._pending):
            alike = [b for b in self._begun if (b.size, b.times) == (stage.size, stage.times)]
            steps = (1 - stage.share) * stage.cost(times) + stage.cost_of_end(times)
            left += steps * self._slower(alike, 1.0 if stage.times else overall, times)
        return left

    @staticmethod
    def _slower(stages: Sequence[Stage], before: float, times: StepTimes) -> float:
        """How many times longer than expected `stages` take; `before` is what the others say."""
        expected = sum(stage.measured * stage.cost(times) for stage in stages)
        taken = sum(stage.seconds for stage in stages)
        return (taken + before * _TRUSTED) / (expected + _TRUSTED)

    def _know(self, times: StepTimes) -> None:
        self._times = times
        left = self.left()
        if self._summary is not None and left is not None:
            self.display.announce(f"{duration(left)}: {self._summary}")
        self._summary = None

    def _state(self, loss: Callable[[], float] | None) -> State:
        times = self._times or StepTimes(1.0, 1.0)
        done = sum(stage.share * stage.cost(times) for stage in self._begun)
        total = sum(stage.cost(times) for stage in (*self._begun, *self._pending))
        return State(self._begun[-1], loss, done / total if total else 1.0, self.left())


class Lines(Display):
    """A line for each training and each epoch of the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def announce(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)

    def begin(self, stage: Stage) -> None:
        if stage.what != TRAINING:
            self.announce(stage.what)

    def epoch(self, record: Mapping[str, Any], state: State) -> None:
        left = "" if not state.left or state.left < 1 else f"  {duration(state.left)} left"
        self.announce(f"epoch {record['epoch']}/{state.stage.epochs}  {summary(record)}{left}")


class Minutes(Lines):
    """At most one line a minute, besides those at the start and at the end."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.perf_counter) -> None:
        super().__init__(stream)
        self._clock, self._last = clock, clock()

    def announce(self, text: str) -> None:
        super().announce(text)
        self._last = self._clock()

    def begin(self, stage: Stage) -> None:
        """The next line says it."""

    def say(self, text: str) -> None:
        """The next line says it."""

    def update(self, state: State) -> None:
        now = self._clock()
        if now - self._last < _BETWEEN_LINES:
            return
        stage = state.stage
        left = "" if state.left is None else f", {duration(state.left)} left"
        place = f"epoch {min(stage.epoch + 1, stage.epochs)}/{stage.epochs}"
        if stage.batches > 1:
            place += f", step {stage.batch:,}/{stage.batches:,}"
        loss = "" if state.loss is None else f", loss {state.loss():.3f}"
        self.announce(f"{state.share:.0%} done: {stage.what}, {place}{loss}{left}")

    def epoch(self, record: Mapping[str, Any], state: State) -> None:
        if state.share >= 1:
            super().epoch(record, state)


TRAINING = "training"  # what goes on in the run itself


def make_progress(
    kind: Literal["auto", "bar", "lines", "none"], *, shown: bool, stream: TextIO | None = None
) -> Progress:
    """The progress of a training, with the display `kind`.

    "auto" is a bar if `stream` (stderr) is a terminal, else a line a minute. Only one process has it `shown`.
    """
    stream = stream or sys.stderr
    if not shown or kind == "none":
        return Progress(Display())
    if kind == "bar" or (kind == "auto" and stream.isatty()):
        from gdw.train.progress_bars import Bar

        return Progress(Bar(stream))
    return Progress(Lines(stream) if kind == "lines" else Minutes(stream))
