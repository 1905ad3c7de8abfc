"""What a method may do before the first step: read the labels, train models, predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Subset:
    """Some examples of a run, to train a model on or to predict.

    Attributes:
        part: `"given"`, the training set with its doubtful labels, or `"clean"`, the clean examples.
        indices: `(n,)` int64, positions in that set.
        targets: `(n,)` classes or `(n, C)` probabilities to train on; None for those of the set.
    """

    part: Literal["given", "clean"]
    indices: Tensor
    targets: Tensor | None = None


Predict = Callable[[Subset], Tensor]
"""From examples to their class probabilities, `(n, C)` float32 on the CPU."""


class Preparation(Protocol):
    """A run that is about to start, as `Reweighter.prepare` gets it.

    Attributes:
        given: targets of the training set, `(N,)` classes or `(N, C)` probabilities, on the CPU.
        clean: targets of the clean examples, `(M,)`; None without clean examples.
        num_classes: C.
        epochs: epochs of the run.
        batch_size: examples per training batch of the run.
        seed: seed of the run.
    """

    @property
    def given(self) -> Tensor: ...
    @property
    def clean(self) -> Tensor | None: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        """Train a copy of the untrained model plainly on the joined `subsets`, with the options of the run.

        Args:
            subsets: what to train on.
            epochs: passes over the subsets; by default those of the run.
            seed: shuffles the subsets, independently of the order of the run.
            what: a message for the person who waits.
            offset: `(C,)`, added to the logits of given examples during training, see
                `gdw.reweight.robust.gradient`.
            noise: `T`, `(C, C)`, the label noise that given labels are corrected for.

        Returns:
            A function that predicts class probabilities with the trained model.
        """
        ...

    def say(self, what: str) -> None:
        """Show a message to the person who waits."""
        ...


def as_probabilities(targets: Tensor, classes: int) -> Tensor:
    """Classes `(N,)` or probabilities `(N, C)` as probabilities `(N, C)`, float64."""
    if targets.is_floating_point():
        return targets.double()
    return F.one_hot(targets.long(), classes).double()
