"""L2RW: instance weights from the hypergradient at zero weights."""

from __future__ import annotations

from torch import Tensor

from gdw.functional import broadcast_instance_weights, positive_part_weights
from gdw.hypergradient.inputs import Batch
from gdw.reweight.bilevel import BilevelReweighter
from gdw.reweight.step_result import StepResult


class L2RW(BilevelReweighter):
    """Learning to Reweight (Ren et al., ICML 2018, arXiv 1803.09050, algorithm 1).

    The virtual step has zero weights, so it does not move the model, and the meta gradient is that of the
    model itself. The weight of an example is `max(0, −Σ_j G_ij)`, normalised to sum to one over the global
    batch. `StepResult.weights` is n times that, because the gradient is a mean over n examples.

    >>> import torch, gdw
    >>> model = torch.nn.Linear(5, 3)
    >>> reweighter = gdw.L2RW(model, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> batch = torch.randn(8, 5), torch.randint(3, (8,))
    >>> step = reweighter.backward(batch, meta_batch=batch)
    >>> round(float(step.weights[:, 0].mean()), 4)
    1.0
    """

    captures = True

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        training_pass = self._forward(batch, indices)
        if training_pass.chain is None and not self._problem.keeps_graph(training_pass):
            # No virtual gradient will free the graph before the meta batch needs memory.
            training_pass = training_pass.without_graph()
        g, meta_loss, logits = self._hypergradient(training_pass, None, meta_batch)
        norm = self._problem.collective.sum_scalar((-g.sum(1)).clamp(min=0).sum())
        weights = positive_part_weights(g, norm=norm) * training_pass.count
        return self._backward(
            training_pass,
            broadcast_instance_weights(weights, g),
            hypergradient=g,
            meta_loss=meta_loss,
            logits=logits,
        )
