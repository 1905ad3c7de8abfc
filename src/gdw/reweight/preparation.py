"""What a method may do before the first step: look at the labels, train small models, predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Subset:
    """Some examples of a run, to fit a model on or to predict.

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
    """A run about to start, as its method sees it in `Reweighter.prepare`.

    Attributes:
        given: targets of the training set, `(N,)` classes or `(N, C)` probabilities, on the CPU.
        clean: targets of the clean examples, `(M,)`; None without any.
        num_classes: C.
        epochs, batch_size: of the run.
        seed: of the run.
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
        """Train a copy of the untrained model plainly on `subsets`, joined, with the run's options.

        `epochs`: passes over the subsets, by default as many as the run's; `seed` shuffles them, apart
        from the run's own order; `what` is said to the person who waits; `offset` `(C,)` is added to the
        logits of given examples while training, and their labels are corrected for `noise` `(C, C)`, see
        `gdw.reweight.offset`.
        """
        ...

    def say(self, what: str) -> None:
        """Tell the person who waits."""
        ...
