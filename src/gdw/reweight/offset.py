"""The gradient of doubtful examples beside that of clean ones: an offset for balance, a matrix for noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.functional import cross_entropy_with_gradient
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Forward
from gdw.reweight.base import Reweighter, Weighting


def corrected_gradient(
    logits: Tensor,
    q: Tensor,
    doubtful: Tensor,
    *,
    offset: Tensor,
    noise: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Loss `(N,)` and `D1` `(N, C)` of targets q, corrected where `doubtful`, plain elsewhere.

    With `offset = log(π / ρ)`, π the class frequencies of the doubtful examples and ρ those to be right
    for, training on `softmax(z + offset)` makes z right under ρ: logit adjustment (Menon et al., ICLR 2021,
    arXiv 2007.07314, eq. 10). With `noise` T the loss is `−log Σ_k p_k (T q)_k`, forward correction (Patrini
    et al., CVPR 2017, arXiv 1609.03683), whose gradient is `p − q'` with the posterior `q' ∝ p ⊙ T q`.

    Args:
        logits: `(N, C)`, used without graph.
        q: `(N, C)` class probabilities; with `noise` those of the given label.
        doubtful: `(N,)` booleans.
        offset: `(C,)`.
        noise: `(C, C)`, the probability of given label k for class j at `[j, k]`.
        label_smoothing: as in `gdw.functional.cross_entropy`.
    """
    rows = doubtful.unsqueeze(1)
    moved = logits.detach().to(q.dtype) + offset.to(q) * rows.to(q.dtype)
    if noise is not None:
        q = torch.where(rows, log_posterior(moved, q, noise).softmax(1), q)
    losses, gradient = cross_entropy_with_gradient(moved, q, label_smoothing=label_smoothing)
    return losses, gradient


def log_posterior(logits: Tensor, q: Tensor, noise: Tensor) -> Tensor:
    """`log(p_k (T q)_k)`, `(N, C)`, up to a constant of each row: what the model and the given label q say.

    Args:
        logits: `(N, C)`, of `p` under the class frequencies of the examples.
        q: `(N, C)`, probabilities of the given label.
        noise: `T`, `(C, C)`, the probability of given label k for class j at `[j, k]`.
    """
    likelihood = (q @ noise.to(q).T).clamp(min=torch.finfo(q.dtype).tiny)
    return logits.log_softmax(1) + likelihood.log()


class CorrectedPlain(Reweighter):
    """Plain training with `corrected_gradient`; used by `Preparation.fit`, not a method of its own."""

    needs_meta = needs_clean = False

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        doubtful: Tensor,
        offset: Tensor,
        noise: Tensor | None = None,
        forward: Forward | None = None,
    ) -> None:
        """`doubtful` `(N,)` booleans, of the data set; `offset` and `noise` as of `corrected_gradient`."""
        super().__init__(model, optimizer, forward=forward)
        self._doubtful, self._offset, self._noise = doubtful, offset, noise

    def _revise(self, run: TrainingPass, targets: Tensor, indices: Tensor | None) -> TrainingPass:
        assert indices is not None, "the trainer says which examples are in a batch"
        classes = run.logits.shape[1]
        q = targets if targets.is_floating_point() else F.one_hot(targets, classes)
        run.losses, run.class_gradient = corrected_gradient(
            run.logits,
            q.to(run.class_gradient),
            self._doubtful[indices].to(run.logits.device),
            offset=self._offset,
            noise=self._noise,
        )
        return run

    def _weigh(self, run: TrainingPass, meta_batch: object) -> Weighting:
        del meta_batch
        return Weighting(torch.ones_like(run.class_gradient))
