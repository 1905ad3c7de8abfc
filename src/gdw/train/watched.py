"""A run as its callbacks see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gdw.hypergradient.inputs import Forward
from gdw.reweight import Reweighter
from gdw.train import feed
from gdw.train.config import TrainConfig
from gdw.train.evaluation import evaluation_mode, whereabouts
from gdw.train.preparation import targets_of
from gdw.train.processes import Processes


class Watched:
    """What is known of a run before its first step, and what can be asked of its model at any time.

    Attributes:
        epochs: how many the run trains in all.
        processes: this process among the others.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        processes: Processes,
        train: Any,
        model: nn.Module,
        forward: Forward,
        reweighter: Reweighter,
    ) -> None:
        self.epochs = config.epochs
        self.processes = processes
        self._batch_size = config.eval_batch_size
        self._train = train
        self._model = model
        self._forward = forward
        self._reweighter = reweighter

    def targets(self) -> Tensor:
        """Of the training set, `(N,)` classes or `(N, C)` class probabilities, on the CPU.

        A data set without a tensor `targets` is read from end to end for them.
        """
        return targets_of(self._train)

    def label_posterior(self) -> Tensor | None:
        """What the method holds for the class probabilities of the training set, see `Reweighter`."""
        return self._reweighter.label_posterior()

    def predict(self, indices: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices `(B,)` and probabilities `(B, C)`, float32 on the CPU, batch by batch.

        `indices` `(n,)` int64 are positions in the training set; the model is as it is now, in
        evaluation mode.
        """
        device, dtype = whereabouts(self._model)
        slices = [part.tolist() for part in indices.split(self._batch_size)]
        with evaluation_mode(self._model), torch.no_grad():
            for chosen, batch in zip(slices, feed.batches(self._train, slices), strict=True):
                inputs, _ = feed.place(batch, device=device, dtype=dtype)
                logits = self._forward(self._model, inputs)
                yield torch.tensor(chosen), logits.float().softmax(1).cpu()
