"""Co-teaching: two networks, each trained on the examples that the other one finds easy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.functional import broadcast_instance_weights
from gdw.hypergradient import TrainingPass
from gdw.options import Count, Share
from gdw.reweight.baselines.instance_weights import InstanceWeighted, labelled
from gdw.reweight.baselines.peer import Peer
from gdw.reweight.options import MethodOptions, WeightingOptions


class CoTeachingOptions(WeightingOptions):
    """The options of `CoTeaching`."""

    forget_rate: Share = Field(0.2, description="Share of wrong labels, known or assumed.")
    ramp: Count = Field(
        10,
        description=(
            "Epochs until the forget rate is reached. In a loop of your own it applies from the start, "
            "unless the loop calls `begin_epoch`."
        ),
    )
    reset: Literal["all", "head"] = Field(
        "all",
        description=(
            'Which layers of the second network are initialised anew: "all", or "head", its last layer '
            "(for a pretrained model)."
        ),
    )


class CoTeaching(InstanceWeighted):
    """Co-teaching (Han et al., NeurIPS 2018, arXiv 1804.06872, algorithm 1).

    A peer network of the same kind, with its own initial values, sees the same batches. Each network trains
    on the examples of a batch with the smallest losses under the other network. The share that is left out
    grows from zero in the first epoch to `forget_rate` within `ramp` epochs. The cost is about twice that of
    plain training. Only the model is evaluated; `clip_grad_norm` does not apply to the peer's gradients. With
    several processes, each chooses within its own part of a batch.
    """

    Options: ClassVar[type[MethodOptions]] = CoTeachingOptions

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        self._forget = self.options.forget_rate
        self._peer = Peer(self._problem, reset=self.options.reset)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        del epochs
        self._forget = self.options.forget_rate * min((epoch - 1) / self.options.ramp, 1.0)

    def _instance_weights(
        self, training_pass: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        peer_pass = self._peer.training_pass((training_pass.inputs, targets))
        known = labelled(training_pass.losses, targets)
        for_peer, for_model = (
            self._problem.collective.mean_over(self._easiest(losses, known), training_pass.count)
            for losses in (training_pass.losses, peer_pass.losses)
        )
        weights = broadcast_instance_weights(for_peer, peer_pass.class_gradient)
        self._peer.accumulate(peer_pass, weights)
        return for_model

    def _easiest(self, losses: Tensor, known: Tensor) -> Tensor:
        """The examples with the smallest losses among those `known`, as booleans in the same shape."""
        order = losses.masked_fill(~known, torch.inf).flatten().argsort(stable=True)
        kept = round((1 - self._forget) * int(known.sum()))
        easy = torch.zeros_like(known).flatten()
        easy[order[: max(1, kept)]] = True
        return easy.view_as(known) & known

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "peer": self._peer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._peer.load_state_dict(state["peer"])
