"""Co-teaching: two networks, each trained on the examples that the other finds easy."""

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
from gdw.hypergradient.batch import Forward
from gdw.reweight.instance_weighted import InstanceWeighted, labelled, mean_over
from gdw.reweight.options import check_number, check_whole
from gdw.reweight.peer import Peer


class CoTeaching(InstanceWeighted):
    """Co-teaching (Han et al., NeurIPS 2018, arXiv 1804.06872, algorithm 1).

    A peer network of the same kind, drawn anew, sees the same batches. Each of the two trains on the share
    of a batch with the smallest losses under the other; the forgotten share grows from zero in the first
    epoch to `forget_rate` within `ramp` epochs. Twice the cost of plain training, or a little more. The model
    is the one that is evaluated; the peer's gradients are not clipped by `clip_grad_norm`. With several
    processes each chooses among its own share of a batch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        forget_rate: float = 0.2,
        ramp: int = 10,
        reset: Literal["all", "head"] = "all",
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for every reweighter.
            forget_rate: the share of wrong labels, or what one takes it for.
            ramp: epochs until it is reached. In a loop of one's own it is in force from the start, unless
                the loop calls `begin_epoch`.
            reset: what of the peer is drawn anew: `"all"`, or `"head"`, its last layer only, for a
                pretrained model.

        Raises:
            ConfigError: an option out of its range.
        """
        super().__init__(
            model, optimizer, forward=forward, loss=loss, label_smoothing=label_smoothing
        )
        self._forget_rate = check_number("forget_rate", forget_rate, 0, 1)
        self._ramp = check_whole("ramp", ramp, 1)
        self._forget = self._forget_rate
        if reset not in ("all", "head"):
            raise ConfigError(
                f"reset must be 'all' or 'head' (a pretrained model's), got {reset!r}"
            )
        self._peer = Peer(self._problem, reset=reset)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        del epochs
        self._forget = self._forget_rate * min((epoch - 1) / self._ramp, 1.0)

    def _instance_weights(
        self, run: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        del indices
        peer = self._peer.training_pass((run.inputs, targets))
        known = labelled(run.losses, targets)
        own, others = (
            mean_over(self._easiest(losses, known), run.count, self._problem.collective)
            for losses in (run.losses, peer.losses)
        )
        self._peer.accumulate(peer, broadcast_instance_weights(own, peer.class_gradient))
        return others

    def _easiest(self, losses: Tensor, known: Tensor) -> Tensor:
        """Booleans in the shape of `losses`: the smallest of those `known`, all but the share to forget."""
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
