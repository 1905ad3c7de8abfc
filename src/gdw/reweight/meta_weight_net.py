"""Meta-Weight-Net: instance weights from a network that reads the loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from gdw.hypergradient.inputs import Batch
from gdw.reweight.bilevel import NetworkOptions, NetworkReweighter
from gdw.reweight.options import MethodOptions
from gdw.reweight.step_result import StepResult


class MetaWeightNet(NetworkReweighter):
    """Meta-Weight-Net (Shu et al., NeurIPS 2019, arXiv 1902.07379, algorithm 1).

    The network takes one step on the meta gradient. Then it weights the batch again for the model's step.

    >>> import torch, gdw
    >>> model = torch.nn.Linear(5, 3)
    >>> reweighter = gdw.MetaWeightNet(model, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> batch = torch.randn(8, 5), torch.randint(3, (8,))
    >>> step = reweighter.backward(batch, meta_batch=batch)
    >>> bool((step.weights[:, 0] == step.weights[:, 2]).all())  # one weight per example
    True
    """

    Options: ClassVar[type[MethodOptions]] = NetworkOptions
    captures = True

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        training_pass = self._forward(batch, indices)
        proposed, first = self._first_stage(training_pass)
        if not self._is_meta_step():
            return self._backward(training_pass, first, first_stage=first)
        g, meta_loss, logits = self._hypergradient(training_pass, first, meta_batch)
        self._learn(proposed, g)
        _, updated = self._first_stage(training_pass)
        return self._backward(
            training_pass,
            updated,
            first_stage=first,
            hypergradient=g,
            meta_loss=meta_loss,
            logits=logits,
        )
