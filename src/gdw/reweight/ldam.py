"""LDAM: rare classes get a wider margin, and more weight towards the end."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient.batch import Forward
from gdw.reweight.class_counts import checked_counts, effective_number_weights, given_counts
from gdw.reweight.options import check_number
from gdw.reweight.preparation import Preparation
from gdw.reweight.revised import Revised, per_class, soft_cross_entropy


class LDAM(Revised):
    """Label-distribution-aware margins, deferred reweighting (Cao et al., NeurIPS 2019, arXiv 1906.07413).

    Equation 13: the label's logit is lowered by `Δ_k ∝ n_k^(−1/4)`, the largest of them being `max_m`,
    and the cross-entropy taken of `scale` times the logits. The paper's classifier gives cosines, for which
    it uses `scale=30`; here the model's own logits, which have a scale already, are taken as they come, so
    the default is 1. A model that normalises features and classes wants 30.

    In the last epochs examples are also weighted by their class's effective number (algorithm 1), of
    mean one over the training set. A loop of one's own calls `begin_epoch` for that.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        max_m: float = 0.5,
        scale: float = 1.0,
        deferred: float = 0.8,
        beta: float = 0.9999,
        class_counts: Sequence[float] | Tensor | None = None,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, label_smoothing: as for every reweighter.
            max_m: the margin of the rarest class, in units of the logits.
            scale: factor of the logits.
            deferred: the share of the epochs after which examples are weighted by class; 1 for never.
            beta: of the effective number.
            class_counts: `(C,)`, the number of examples of each class; by default `prepare` counts the
                given labels.

        Raises:
            ConfigError: an option out of its range.
        """
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        self._max_m = check_number("max_m", max_m, 0)
        self._scale = check_number("scale", scale, 0)
        self._deferred = check_number("deferred", deferred, 0, 1)
        self._beta = check_number("beta", beta, 0, 1 - 1e-9)
        self._weighted = False
        if class_counts is not None:
            self._found["class_counts"] = checked_counts(class_counts)

    def prepare(self, preparation: Preparation) -> None:
        self._found.setdefault("class_counts", given_counts(preparation))

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self._weighted = epoch > self._deferred * epochs

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        del indices
        counts = self._known("class_counts", option="class_counts")
        rarity = counts.clamp(min=1) ** -0.25
        margins = per_class(self._max_m * rarity / rarity.max(), logits)
        losses = soft_cross_entropy(self._scale * (logits - margins * q), q)
        if not self._weighted:
            return losses
        weights = per_class(effective_number_weights(counts, self._beta), logits)
        return losses * (weights * q).sum(1)
