"""Label smoothing: a share of every target is spread over all classes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.hypergradient.batch import Forward
from gdw.reweight.options import check_number
from gdw.reweight.revised import Revised, soft_cross_entropy


class LabelSmoothing(Revised):
    """Label smoothing (Szegedy et al., CVPR 2016, arXiv 1512.00567, section 7).

    The target is `(1 − ε) q + ε / C`. As a defence against wrong labels: Lukasik et al., ICML 2020
    (arXiv 2003.02819).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        smoothing: float = 0.1,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward: as for every reweighter.
            smoothing: ε; 0 is the cross-entropy.
            label_smoothing: of the trainer, which this method has no use for: must be 0.

        Raises:
            ConfigError: a smoothing that is not from 0 to 1, or label_smoothing besides.
        """
        if label_smoothing:
            raise ConfigError(
                "method 'label_smoothing' smooths by its own option smoothing=...: leave label_smoothing "
                f"at 0, got {label_smoothing!r}"
            )
        super().__init__(model, optimizer, forward=forward)
        self._smoothing = check_number("smoothing", smoothing, 0, 1)

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        del indices
        even = q.sum(1, keepdim=True) / q.shape[1]
        return soft_cross_entropy(logits, (1 - self._smoothing) * q + self._smoothing * even)
