"""Logit adjustment: the classes' frequencies are built into the training logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient.batch import Forward
from gdw.reweight.class_counts import checked_counts, given_counts
from gdw.reweight.options import check_number
from gdw.reweight.preparation import Preparation
from gdw.reweight.revised import Revised, per_class, soft_cross_entropy


class LogitAdjustment(Revised):
    """Logit-adjusted cross-entropy (Menon et al., ICLR 2021, arXiv 2007.07314, equation 10).

    The model trains with `z + τ log π`, π the frequencies of the given labels (a class of less than one
    example counts as one), and predicts with `z`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        tau: float = 1.0,
        class_counts: Sequence[float] | Tensor | None = None,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, label_smoothing: as for every reweighter.
            tau: strength of the adjustment; 0 is the cross-entropy.
            class_counts: `(C,)`, the number of examples of each class; by default `prepare` counts the
                given labels.

        Raises:
            ConfigError: an option out of its range.
        """
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        self._tau = check_number("tau", tau, 0)
        if class_counts is not None:
            self._found["class_counts"] = checked_counts(class_counts)

    def prepare(self, preparation: Preparation) -> None:
        self._found.setdefault("class_counts", given_counts(preparation))

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        del indices
        counts = self._known("class_counts", option="class_counts")
        log_prior = (counts.clamp(min=1) / counts.sum()).log()
        return soft_cross_entropy(logits + self._tau * per_class(log_prior, logits), q)
