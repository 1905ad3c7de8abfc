"""Focal loss: what the model has learned counts less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient.batch import Forward
from gdw.reweight.options import check_number
from gdw.reweight.revised import Revised


class Focal(Revised):
    """Focal loss (Lin et al., ICCV 2017, arXiv 1708.02002, equation 4).

    `ℓ = −Σ_k q_k (1 − p_k)^γ log p_k`; for a class label t this is `−(1 − p_t)^γ log p_t`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        gamma: float = 2.0,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, label_smoothing: as for every reweighter.
            gamma: 0 is the cross-entropy.

        Raises:
            ConfigError: a negative gamma.
        """
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        self._gamma = check_number("gamma", gamma, 0)

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        del indices
        log_p = logits.log_softmax(1)
        # At p = 1 the slope of a power below one is infinite, and meets a logarithm of zero.
        left = (1 - log_p.exp()).clamp(min=torch.finfo(logits.dtype).eps)
        return -(q * left**self._gamma * log_p).sum(1)
