"""Hard bootstrapping: the target is mixed with the class that the model predicts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient.batch import Forward
from gdw.reweight.options import check_number
from gdw.reweight.revised import Revised


class HardBootstrap(Revised):
    """Hard bootstrapping (Reed et al., ICLR 2015 workshop, arXiv 1412.6596, equation 7).

    `ℓ = −Σ_k [β q_k + (1 − β) 1(k = argmax p)] log p_k`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        beta: float = 0.8,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, label_smoothing: as for every reweighter.
            beta: the share of the given label in the target; 1 is the cross-entropy.

        Raises:
            ConfigError: a beta that is not from 0 to 1.
        """
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        self._beta = check_number("beta", beta, 0, 1)

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        del indices
        log_p = logits.log_softmax(1)
        own = F.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1).to(logits) * q.sum(
            1, keepdim=True
        )
        return -((self._beta * q + (1 - self._beta) * own) * log_p).sum(1)
