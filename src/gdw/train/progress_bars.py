"""Progress bars on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column


class Bars:
    """One bar for the training, with the time left and the last accuracy; one for the epoch."""

    def __init__(self, *, epochs: int, batches: int, done: int, stream: TextIO) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=12)),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(file=stream),
            transient=True,
        )
        self._batches = batches
        # Counted in batches, so that the time left is known before the first epoch ends.
        self._training = self._bars.add_task(
            "training", total=epochs * batches, completed=done * batches, note=""
        )
        self._epoch = self._bars.add_task(f"epoch {done + 1}/{epochs}", total=batches, note="")
        self._epochs = epochs
        self._done = done
        self._bars.start()

    def batch(self, done: int, loss: float, rate: float) -> None:
        self._bars.update(self._epoch, completed=done, note=f"loss {loss:.3f}  {rate:,.0f}/s")
        self._bars.update(self._training, completed=self._done * self._batches + done)

    def epoch(self, record: Mapping[str, Any]) -> None:
        self._done = int(record["epoch"])
        accuracy = record.get("test_accuracy")
        note = "" if accuracy is None else f"accuracy {accuracy:.2%}"
        self._bars.update(self._training, completed=self._done * self._batches, note=note)
        if self._done < self._epochs:
            self._bars.reset(
                self._epoch, description=f"epoch {self._done + 1}/{self._epochs}", note=""
            )

    def close(self) -> None:
        self._bars.stop()
