"""What a run hands back: its history, and the mean of its last epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FitResult:
    """The outcome of `Trainer.fit`.

    Attributes:
        history: one record an epoch, as in `history.jsonl`, those before a resume included.
        final: the mean of every metric over the last epochs, never the best epoch.
        averaged_epochs: how many epochs that is (`last_epochs`, or all if there are fewer).
        interrupted: a signal stopped the run before its end; it can be resumed from its folder.
        signalled: a signal came, be it too late to stop anything.
        epochs_done: whole epochs trained so far.
        epochs_before: those of them that a resumed run had behind it already.
    """

    history: list[dict[str, Any]] = field(repr=False)
    final: dict[str, Any]
    averaged_epochs: int
    interrupted: bool
    epochs_done: int
    epochs_before: int = 0
    signalled: bool = False


def last_epochs_mean(history: Sequence[Mapping[str, Any]], last: int) -> dict[str, Any]:
    """The mean over the last `last` records of each entry that all of them have.

    Lists (recall of each class) are averaged entry by entry; where a value is missing (None) so is
    the mean. Positions (`epoch`, `step`) and the learning rate are no metrics and left out.
    """
    records = history[-last:]
    if not records:
        return {}
    names = [
        name
        for name in records[-1]
        if name not in ("epoch", "step", "lr") and all(name in record for record in records)
    ]
    return {name: _mean([record[name] for record in records]) for name in names}


def _mean(values: list[Any]) -> Any:
    if any(value is None for value in values):
        return None
    if isinstance(values[0], list):
        return [_mean(list(column)) for column in zip(*values, strict=True)]
    return sum(values) / len(values)
