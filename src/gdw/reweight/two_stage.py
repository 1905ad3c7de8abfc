"""The first stage that Meta-Weight-Net and GDW share: a network proposes, the hypergradient teaches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional import broadcast_instance_weights
from gdw.functional.losses import PerExample
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Batch, Forward
from gdw.reweight.base import Weighting
from gdw.reweight.meta import MetaReweighter, check_every
from gdw.reweight.weighting_network import LearnedWeights, WeightingNetwork

NetworkChoice = nn.Module | Literal["mlp", "none"]


class NetworkReweighter(MetaReweighter):
    """A reweighter whose first-stage weights come from a weighting network (or are all one)."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        hypergradient: str,
        head: str | None,
        retain_graph: bool | None,
        meta_features_every: int,
        weighting_network: NetworkChoice,
        weighting_lr: float,
        meta_every: int,
        forward: Forward | None,
        loss: str | PerExample,
        label_smoothing: float,
    ) -> None:
        super().__init__(
            model,
            optimizer,
            hypergradient=hypergradient,
            head=head,
            retain_graph=retain_graph,
            meta_features_every=meta_features_every,
            forward=forward,
            loss=loss,
            label_smoothing=label_smoothing,
        )
        check_every(meta_every, "meta_every")
        if not isinstance(weighting_lr, (int, float)) or not weighting_lr >= 0:
            raise ConfigError(f"weighting_lr must be a number, zero or more, got {weighting_lr!r}")
        self._meta_every = meta_every
        self._learned = _learned_weights(weighting_network, weighting_lr)
        self._shared = False

    def _is_meta_step(self) -> bool:
        return self._steps % self._meta_every == 0

    def _first_stage(self, run: TrainingPass) -> tuple[Tensor, Tensor]:
        """The proposed instance weights `(N, ...)`, with graph, and the same as class weights, without."""
        if self._learned is None:
            proposed = torch.ones_like(run.losses)
        else:
            if not self._shared:
                self._learned.share(self._problem.collective)
                self._shared = True
            proposed = self._learned.propose(run.losses)
        return proposed, broadcast_instance_weights(proposed.detach(), run.class_gradient)

    def _learn(self, run: TrainingPass, meta_batch: Batch | None) -> tuple[Tensor, Tensor, Tensor]:
        """Let the network learn from the meta batch: first-stage weights, G there, and the meta loss."""
        proposed, first = self._first_stage(run)
        g, meta_loss = self._engine(self._problem, run, first, self._required(meta_batch))
        if self._learned is not None:
            # A broadcast weight's gradient is the sum over the classes it was broadcast to.
            self._learned.learn(proposed, g.sum(1), self._problem.collective)
        return first, g, meta_loss

    def _between(self, run: TrainingPass) -> Weighting:
        """Weights of a step without a meta batch: what the network says now."""
        _, first = self._first_stage(run)
        return Weighting(first, first)

    @property
    def weighting_network(self) -> nn.Module | None:
        """The network that learns, None when the first stage is all ones."""
        return None if self._learned is None else self._learned.network

    def state_dict(self) -> dict[str, Any]:
        learned = None if self._learned is None else self._learned.state_dict()
        return {**super().state_dict(), "learned_weights": learned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        learned = state["learned_weights"]
        if (learned is None) != (self._learned is None):
            raise ConfigError(
                "the state and this reweighter differ in whether there is a weighting network: "
                "build it with the options that the state was saved with"
            )
        if self._learned is not None:
            self._learned.load_state_dict(learned)


def _learned_weights(choice: NetworkChoice, lr: float) -> LearnedWeights | None:
    if choice == "none":
        return None
    if choice == "mlp":
        return LearnedWeights(WeightingNetwork(), lr=lr)
    if isinstance(choice, nn.Module):
        return LearnedWeights(choice, lr=lr)
    raise ConfigError(
        f"weighting_network must be a module, 'mlp' or 'none' (all weights start at one), "
        f"got {choice!r}"
    )
