"""What may watch a run: called after every batch and every epoch, on every process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gdw.reweight import StepResult


class Callback:
    """Base class whose methods do nothing: override those of interest. An exception ends the run."""

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        """After `backward` of a training batch, before the optimizer steps.

        `indices` are this process's examples, their positions in the training set, in the order of
        `result.logits`.
        """

    def on_epoch(self, record: dict[str, Any]) -> None:
        """After an epoch, with its line of the history, before it is written: entries may be added."""
