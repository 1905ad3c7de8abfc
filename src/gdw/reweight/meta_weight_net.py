"""Meta-Weight-Net: instance weights from a network fed with the loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from gdw.functional import broadcast_instance_weights
from gdw.functional.losses import PerExample
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Batch, Forward
from gdw.reweight.base import Weighting
from gdw.reweight.two_stage import NetworkReweighter


class MetaWeightNet(NetworkReweighter):
    """Meta-Weight-Net (Shu et al., NeurIPS 2019, arXiv 1902.07379, algorithm 1).

    The network takes one step on the meta gradient, then weighs the batch anew for the model's step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        hypergradient: str = "finite_difference",
        head: str | None = None,
        retain_graph: bool | None = None,
        meta_features_every: int = 1,
        weighting_network: nn.Module | None = None,
        weighting_lr: float = 1e-3,
        meta_every: int = 1,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for every reweighter.
            hypergradient: `"finite_difference"`, `"forward"`, `"reference"` or `"head"`.
            head: for `"head"`, the name of the module that it is restricted to; by default the last
                `nn.Linear`.
            retain_graph, meta_features_every: as for `MetaReweighter`.
            weighting_network: maps `(N, 1)` losses to `(N, 1)` weights; by default an MLP 1→100→1.
            weighting_lr: its Adam learning rate (weight decay 1e-4).
            meta_every: learn from the meta batch at every k-th step only; the network weighs the others.
        """
        super().__init__(
            model,
            optimizer,
            hypergradient=hypergradient,
            head=head,
            retain_graph=retain_graph,
            meta_features_every=meta_features_every,
            weighting_network="mlp" if weighting_network is None else weighting_network,
            weighting_lr=weighting_lr,
            meta_every=meta_every,
            forward=forward,
            loss=loss,
            label_smoothing=label_smoothing,
        )

    def _weigh(self, run: TrainingPass, meta_batch: Batch | None) -> Weighting:
        if not self._is_meta_step():
            return self._between(run)
        first, g, meta_loss = self._learn(run, meta_batch)
        with torch.no_grad():
            again, _ = self._first_stage(run)
        return Weighting(broadcast_instance_weights(again, g), first, g, meta_loss)
