"""Class-balanced weights: the inverse of a class's effective number of examples."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.functional.losses import PerExample
from gdw.hypergradient.batch import Forward
from gdw.reweight.class_counts import effective_number_weights
from gdw.reweight.class_weighted import ClassWeighted
from gdw.reweight.options import check_number


class ClassBalanced(ClassWeighted):
    """Class-balanced weights (Cui et al., CVPR 2019, arXiv 1901.05555, equation 2).

    `w_k ∝ (1 − β) / (1 − β^n_k)`, of mean one over the training set.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        beta: float = 0.999,
        class_counts: Sequence[float] | Tensor | None = None,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for every reweighter.
            beta: 0 weighs all alike, towards 1 by inverse frequency; `1 / (1 − β)` is the number of
                examples beyond which more of a class count for little.
            class_counts: `(C,)`, the number of examples of each class; by default `prepare` counts the
                given labels.

        Raises:
            ConfigError: an option out of its range.
        """
        super().__init__(
            model,
            optimizer,
            class_counts=class_counts,
            forward=forward,
            loss=loss,
            label_smoothing=label_smoothing,
        )
        self._beta = check_number("beta", beta, 0, 1 - 1e-9)

    def _class_weights(self, counts: Tensor) -> Tensor:
        return effective_number_weights(counts, self._beta)
