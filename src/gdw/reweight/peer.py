"""A second network that trains beside a model: built like it, drawn anew, with an optimizer of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient import Problem, TrainingPass


class Peer:
    """A copy of a problem's model and optimizer, with layers drawn anew.

    Args:
        problem: the model that the peer is built like.
        reset: `"all"`, every layer that is trained and can be drawn anew (has `reset_parameters`, by
            which PyTorch's own initialisation takes the place of the model's); or `"head"`, the last
            of them only, for a pretrained model. What cannot be drawn anew starts as in the model.

    The peer's optimizer steps when the model's does, with its learning rates, on the mean of the gradients
    accumulated since.
    """

    def __init__(self, problem: Problem, *, reset: str) -> None:
        # Together, so that the copied optimizer holds the copied parameters.
        model, optimizer = copy.deepcopy((problem.model, problem.optimizer))
        self._like = problem
        self._problem = Problem(model, optimizer, problem.loss, problem.forward)
        trained = {id(p) for p, _ in self._problem.trainable().values()}
        fresh = [m for m in model.modules() if _is_fresh(m, trained)]
        for module in fresh if reset == "all" else fresh[-1:]:
            module.reset_parameters()  # type: ignore[operator]
        self._shared = False
        self._passes = 0
        problem.optimizer.register_step_post_hook(self._follow)

    def training_pass(self, batch: tuple[Any, Tensor]) -> TrainingPass:
        """The peer's forward pass of a batch, in the modes that the model is in."""
        if not self._shared:
            # Each process may have drawn its own.
            self._problem.collective.share([p.data for p in self._problem.model.parameters()])
            self._shared = True
        pairs = zip(self._like.model.modules(), self._problem.model.modules(), strict=True)
        for original, own in pairs:
            own.training = original.training
        return self._problem.training_pass(batch)

    def accumulate(self, run: TrainingPass, weights: Tensor) -> None:
        """Add the weighted gradient of the batch to the peer's."""
        self._problem.accumulate(run, weights)
        self._passes += 1

    def _follow(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._passes:
            return
        own = self._problem.optimizer
        for theirs, mine in zip(optimizer.param_groups, own.param_groups, strict=True):
            mine["lr"] = theirs["lr"]
        for group in own.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(self._passes)
        own.step()
        own.zero_grad(set_to_none=True)
        self._passes = 0

    def state_dict(self) -> dict[str, Any]:
        """The peer's parameters, buffers and optimizer."""
        return {
            "model": self._problem.model.state_dict(),
            "optimizer": self._problem.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state made by `state_dict`."""
        self._problem.model.load_state_dict(state["model"])
        self._problem.optimizer.load_state_dict(state["optimizer"])


def _is_fresh(module: nn.Module, trained: set[int]) -> bool:
    own = list(module.parameters(recurse=False))
    return bool(own) and hasattr(module, "reset_parameters") and all(id(p) in trained for p in own)
