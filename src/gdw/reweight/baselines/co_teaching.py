"""Co-teaching: two networks, each trained on the examples that the other one finds easy."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.functional import broadcast_instance_weights
from gdw.hypergradient import Problem, TrainingPass
from gdw.options import Count, Share
from gdw.reweight.baselines.instance_weights import InstanceWeighted, labelled
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


class Peer:
    """A copy of a model and its optimizer, with layers initialised anew.

    Its optimizer steps when the model's optimizer steps, with the same learning rates, on the mean of the
    gradients accumulated since.

    Args:
        problem: the model to copy.
        reset: `"all"`: every trained layer that has `reset_parameters` (PyTorch's own initialisation, which
            replaces the model's); `"head"`: only the last of them. Other layers start as in the model.
    """

    def __init__(self, problem: Problem, *, reset: str) -> None:
        # Together, so that the copied optimizer holds the copied parameters.
        model, optimizer = copy.deepcopy((problem.model, problem.optimizer))
        self._original = problem
        self._problem = Problem(model, optimizer, problem.loss, problem.forward)
        trained = {id(p) for p, _ in self._problem.trainable().values()}
        resettable = [m for m in model.modules() if _is_resettable(m, trained)]
        for module in resettable if reset == "all" else resettable[-1:]:
            module.reset_parameters()  # type: ignore[operator]
        self._shared = False
        self._passes = 0
        problem.optimizer.register_step_post_hook(self._follow)

    def training_pass(self, batch: tuple[Any, Tensor]) -> TrainingPass:
        """Run the peer's forward pass of a batch, with its modules in the modes of the model's."""
        if not self._shared:
            # Each process may have drawn other initial values.
            self._problem.collective.share([p.data for p in self._problem.model.parameters()])
            self._shared = True
        pairs = zip(self._original.model.modules(), self._problem.model.modules(), strict=True)
        for original, copied in pairs:
            copied.training = original.training
        return self._problem.training_pass(batch)

    def accumulate(self, training_pass: TrainingPass, weights: Tensor) -> None:
        """Add the weighted gradient of the batch to the peer's gradient."""
        self._problem.accumulate(training_pass, weights)
        self._passes += 1

    def _follow(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._passes:
            return
        followed = self._problem.optimizer
        for theirs, mine in zip(optimizer.param_groups, followed.param_groups, strict=True):
            mine["lr"] = theirs["lr"]
        for group in followed.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(self._passes)
        followed.step()
        followed.zero_grad(set_to_none=True)
        self._passes = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the peer's parameters, buffers and optimizer."""
        return {
            "model": self._problem.model.state_dict(),
            "optimizer": self._problem.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._problem.model.load_state_dict(state["model"])
        self._problem.optimizer.load_state_dict(state["optimizer"])


def _is_resettable(module: nn.Module, trained: set[int]) -> bool:
    parameters = list(module.parameters(recurse=False))
    return (
        bool(parameters)
        and hasattr(module, "reset_parameters")
        and all(id(p) in trained for p in parameters)
    )
