"""Plain training first, then the clean examples alone."""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.optim import Optimizer

from gdw.functional.losses import PerExample
from gdw.hypergradient.batch import Forward
from gdw.reweight.options import check_number
from gdw.reweight.plain import Plain


class FineTune(Plain):
    """Ordinary training on the given labels; the last epochs on the clean examples.

    An epoch keeps its number of steps. The learning rate goes on along the run's schedule, so that of a
    cosine is small by then.
    """

    needs_clean = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        share: float = 0.3,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for every reweighter.
            share: of the epochs, rounded, at least one unless it is 0, that see clean examples.

        Raises:
            ConfigError: a share that is not from 0 to 1.
        """
        super().__init__(
            model, optimizer, forward=forward, loss=loss, label_smoothing=label_smoothing
        )
        self._share = check_number("share", share, 0, 1)

    def trains_on(self, epoch: int, epochs: int) -> Literal["given", "clean"]:
        last = max(1, round(self._share * epochs)) if self._share else 0
        return "clean" if epoch > epochs - last else "given"
