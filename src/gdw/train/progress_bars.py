"""One bar on a terminal over the preparation and the training, with the time that is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column, Table

from gdw.errors import printable, short_duration
from gdw.train.progress import TRAINING, Display, Stage, State


class _WithHeader(RichProgress):
    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        table = super().make_tasks_table(tasks)
        table.show_header = True
        return table


class Bar(Display):
    """A row under the names of its columns: what is going on, epoch, step, loss, share, time left."""

    def __init__(self, stream: TextIO) -> None:
        self._bar = _WithHeader(
            _text("doing", "{task.description}", min_width=24),
            _text("epoch", "{task.fields[epoch]}", min_width=7),
            _text("step", "{task.fields[step]}", min_width=9),
            _text("loss", "{task.fields[loss]}", min_width=6),
            BarColumn(bar_width=10, table_column=Column("done")),
            TextColumn("{task.percentage:>3.0f}%"),
            _text("time left", "{task.fields[left]}", min_width=9),
            console=Console(file=stream),
            transient=True,
        )
        blank: dict[str, Any] = {"epoch": "", "step": "", "loss": "", "left": ""}
        self._task = self._bar.add_task("getting ready", total=1.0, **blank)
        self._title = ""
        self._bar.start()

    def announce(self, text: str) -> None:
        self._bar.console.print(printable(text), markup=False, highlight=False)

    def begin(self, stage: Stage) -> None:
        title, part = described(stage.what)
        if title not in (self._title, TRAINING):
            self.announce(title)
        self._title = title
        self._bar.update(self._task, description=part, epoch=f"1/{stage.epochs}")

    def update(self, state: State) -> None:
        stage = state.stage
        self._bar.update(
            self._task,
            completed=state.share,
            epoch=f"{min(stage.epoch + 1, stage.epochs)}/{stage.epochs}",
            step=f"{stage.batch:,}/{stage.batches:,}",
            loss="" if state.loss is None else f"{state.loss():.3f}",
            left="" if state.left is None else short_duration(state.left),
        )

    def epoch(self, record: Mapping[str, Any], state: State) -> None:
        self.update(state)
        accuracy = record.get("test_accuracy")
        if accuracy is not None:
            self._bar.update(self._task, description=f"{TRAINING}, accuracy {accuracy:.2%}")

    def close(self) -> None:
        self._bar.stop()


def _text(name: str, form: str, *, min_width: int) -> ProgressColumn:
    column = Column(name, no_wrap=True, min_width=min_width)
    return TextColumn(form, markup=False, table_column=column)


def described(what: str) -> tuple[str, str]:
    """The title of a training, and what a narrow column says of it.

    >>> described("step 1 of 3: cross-checking the labels (fold 2 of 5)")
    ('step 1 of 3: cross-checking the labels', 'step 1 of 3, fold 2 of 5')
    """
    title, _, part = what.partition(" (")
    step = title.partition(":")[0]
    return title, f"{step}, {part.rstrip(')')}" if part else step
