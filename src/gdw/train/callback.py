"""What may watch a run: called after every batch and every epoch, on every process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gdw.reweight import StepResult

if TYPE_CHECKING:
    from gdw.train.watched import Watched


class Callback:
    """Base class whose methods do nothing: override those of interest. An exception ends the run."""

    def on_start(self, run: Watched) -> None:
        """Before the first step of this fit; of a resumed run after `load_state_dict`."""

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        """After `backward` of a training batch, before the optimizer steps.

        `indices` are this process's examples, their positions in the training set, in the order of
        `result.logits`.
        """

    def on_epoch(self, record: dict[str, Any]) -> None:
        """After an epoch, with its line of the history, before it is written: entries may be added."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run gives back: tensors and plain values, for the checkpoint.

        Called on every process, which may exchange their parts; what the first returns is kept.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, on the first process alone.

        Not called where the checkpoint has no state of a callback of this class.
        """
