"""What a person sees of a running training: bars on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal, Protocol, TextIO


class Progress(Protocol):
    """Told of every batch and epoch by the loop."""

    def batch(self, done: int, loss: float, rate: float) -> None:
        """`done` batches of the epoch are through; mean loss so far, and examples a second."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch is over, with its line of the history."""

    def close(self) -> None:
        """Leave the terminal in order."""


class Silent:
    """Shows nothing."""

    def batch(self, done: int, loss: float, rate: float) -> None:
        pass

    def epoch(self, record: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


class Lines(Silent):
    """One plain line an epoch, for logs."""

    def __init__(self, *, epochs: int, stream: TextIO) -> None:
        self._epochs = epochs
        self._stream = stream

    def epoch(self, record: Mapping[str, Any]) -> None:
        print(
            f"epoch {record['epoch']}/{self._epochs}  {summary(record)}",
            file=self._stream,
            flush=True,
        )


class Bars:
    """A bar of the run with time left and last accuracy, one of the epoch with rate and loss."""

    def __init__(self, *, epochs: int, batches: int, done: int, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        self._bars = RichProgress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=12)),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(file=stream),
            transient=True,
        )
        self._batches = batches
        # Counted in batches, so that the time left does not wait for the first epoch to end.
        self._whole = self._bars.add_task(
            "training", total=epochs * batches, completed=done * batches, note=""
        )
        self._part = self._bars.add_task(f"epoch {done + 1}/{epochs}", total=batches, note="")
        self._epochs = epochs
        self._done = done
        self._bars.start()

    def batch(self, done: int, loss: float, rate: float) -> None:
        self._bars.update(self._part, completed=done, note=f"loss {loss:.3f}  {rate:,.0f}/s")
        self._bars.update(self._whole, completed=self._done * self._batches + done)

    def epoch(self, record: Mapping[str, Any]) -> None:
        self._done = int(record["epoch"])
        self._bars.update(self._whole, completed=self._done * self._batches, note=_accuracy(record))
        if self._done < self._epochs:
            self._bars.reset(
                self._part, description=f"epoch {self._done + 1}/{self._epochs}", note=""
            )

    def close(self) -> None:
        self._bars.stop()


def summary(record: Mapping[str, Any]) -> str:
    """The figures of an epoch that a person follows, in a few words."""
    parts = [f"loss {_number(record['train_loss'])}"]
    if record.get("meta_loss") is not None:
        parts.append(f"meta loss {_number(record['meta_loss'])}")
    if record.get("test_accuracy") is not None:
        parts.append(f"accuracy {record['test_accuracy']:.2%}")
    if record.get("test_balanced_accuracy") is not None:
        parts.append(f"balanced {record['test_balanced_accuracy']:.2%}")
    parts.append(f"{record['examples_per_second']:,.0f} examples/s")
    return "  ".join(parts)


def make_progress(
    kind: Literal["auto", "bar", "lines", "none"],
    *,
    shown: bool,
    epochs: int,
    batches: int,
    done: int,
    stream: TextIO | None = None,
) -> Progress:
    """The progress display asked for; "auto": bars if `stream` (stderr) is a terminal, else lines.

    `shown` is false on every process but the first. `done`: epochs that a resumed run has behind it.
    """
    stream = stream or sys.stderr
    if not shown or kind == "none":
        return Silent()
    if kind == "bar" or (kind == "auto" and stream.isatty()):
        return Bars(epochs=epochs, batches=batches, done=done, stream=stream)
    return Lines(epochs=epochs, stream=stream)


def _accuracy(record: Mapping[str, Any]) -> str:
    accuracy = record.get("test_accuracy")
    return "" if accuracy is None else f"accuracy {accuracy:.2%}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4f}"
