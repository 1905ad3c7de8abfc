"""The progress of features as a bar on a terminal."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from gdw.data.features.reporting import Reporter
from gdw.errors import printable, short_duration


class Bar(Reporter):
    """One row: what is going on, how many examples are done, their share, and the time left."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(file=stream),
            transient=True,
        )

    def say(self, text: str) -> None:
        """Print the line above the bar."""
        self._bar.console.print(printable(text), markup=False, highlight=False)

    def begin(self, what: str, total: int, *, more: str = "", announced: bool = True) -> None:
        """Show the bar."""
        super().begin(what, total, more=more, announced=announced)
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(printable(what), total=total, left="")
        self._bar.start()

    def end(self) -> None:
        """Remove the bar, and restore the terminal."""
        super().end()
        self._bar.stop()

    def _show(self, left: float | None, now: float) -> None:
        del now
        text = "" if left is None else f"{short_duration(left)} left"
        self._bar.update(self._bar.task_ids[0], completed=self._done, left=text)
