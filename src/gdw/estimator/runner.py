"""One run of the trainer for the estimator, with what each example counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.data.encode.encoder import chunks
from gdw.data.examples import Examples, Inputs
from gdw.hypergradient.inputs import default_forward
from gdw.reweight import Reweighter
from gdw.train import Callback, TrainConfig, Trainer
from gdw.train.evaluation import evaluation_mode, whereabouts
from gdw.train.feed import place

PREDICTED_AT_ONCE = 512

BuildNetwork = Callable[[], nn.Module]


class WeightedTrainer(Trainer):
    """A trainer whose training example i counts `sample_weight[i]` times, `(N,)`; None: once each."""

    def __init__(self, config: TrainConfig, sample_weight: Tensor | None) -> None:
        super().__init__(config)
        self._sample_weight = sample_weight

    def _reweighter(self, model: nn.Module, optimizer: Optimizer) -> Reweighter:
        reweighter = super()._reweighter(model, optimizer)
        if self._sample_weight is not None:
            reweighter.count_examples_as(self._sample_weight)
        return reweighter


def run(
    network: nn.Module,
    config: TrainConfig,
    train: Examples,
    meta: Examples | None,
    *,
    sample_weight: Tensor | None,
    callbacks: Sequence[Callback] = (),
) -> list[dict[str, Any]]:
    """Train `network` in place and leave it in evaluation mode; its history.

    Raises `KeyboardInterrupt` when Ctrl-C stopped it: half a fit is none.
    """
    trainer = WeightedTrainer(config, sample_weight)
    result = trainer.fit(network, train, meta, callbacks=callbacks)
    if result.signalled:
        raise KeyboardInterrupt
    network.eval()
    return result.history


def probabilities(
    network: nn.Module, inputs: Inputs | Tensor
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Rows `(B,)` of `inputs` and their class probabilities `(B, C)`, a batch at a time, in order.

    All at once would be 4 GB for 100,000 rows of 10,000 classes. Computed where the network is.
    """
    device, dtype = whereabouts(network)
    for rows in chunks(len(inputs), PREDICTED_AT_ONCE):
        batch = (inputs[rows], torch.zeros(len(rows), dtype=torch.int64))
        placed, _ = place(batch, device=device, dtype=dtype)
        with evaluation_mode(network), torch.no_grad():
            logits = default_forward(network, placed)
        yield rows, logits.float().softmax(1).cpu().numpy()
