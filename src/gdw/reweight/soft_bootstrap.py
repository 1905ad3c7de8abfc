"""Soft bootstrapping: the target is mixed with the model's own probabilities."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient.batch import Forward
from gdw.reweight.options import check_number
from gdw.reweight.revised import Revised


class SoftBootstrap(Revised):
    """Soft bootstrapping (Reed et al., ICLR 2015 workshop, arXiv 1412.6596, equation 6).

    `ℓ = −Σ_k [β q_k + (1 − β) p_k] log p_k`; the gradient also passes through the p in the target, so that
    this is the cross-entropy plus a penalty on the entropy of the prediction.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        beta: float = 0.95,
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
        own = log_p.exp() * q.sum(1, keepdim=True)
        return -((self._beta * q + (1 - self._beta) * own) * log_p).sum(1)
