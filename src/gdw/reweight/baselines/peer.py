"""Networks that are trained beside the model of a run, on the same batches."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient import Problem, TrainingPass


class Follower:
    """A network and its optimizer, which steps when the optimizer of the model steps.

    It steps on the mean of the gradients accumulated since its last step, with the learning rates of the
    model's optimizer.

    Args:
        original: the model to keep step with.
        problem: the network and its optimizer, whose first parameter groups belong to those of the model.
    """

    def __init__(self, original: Problem, problem: Problem) -> None:
        self._original, self._problem = original, problem
        self._shared = False
        self._passes = 0
        original.optimizer.register_step_post_hook(self._follow)

    def training_pass(self, batch: tuple[Any, Tensor]) -> TrainingPass:
        """Run the network's forward pass of a batch."""
        if not self._shared:
            # Each process may have drawn other initial values.
            self._problem.collective.share([p.data for p in self._problem.model.parameters()])
            self._shared = True
        self._enter_modes()
        return self._problem.training_pass(batch)

    def _enter_modes(self) -> None:
        """Put the modules of the network into training or evaluation mode."""
        self._problem.model.train(self._original.model.training)

    def accumulate(self, training_pass: TrainingPass, weights: Tensor) -> None:
        """Add the weighted gradient of the batch to the network's gradient."""
        self._problem.accumulate(training_pass, weights)
        self._passes += 1

    def _follow(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._passes:
            return
        followed = self._problem.optimizer
        for theirs, mine in zip(optimizer.param_groups, followed.param_groups, strict=False):
            mine["lr"] = theirs["lr"]
        for group in followed.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(self._passes)
        followed.step()
        followed.zero_grad(set_to_none=True)
        self._passes = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the network's parameters, buffers and optimizer."""
        return {
            "model": self._problem.model.state_dict(),
            "optimizer": self._problem.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._problem.model.load_state_dict(state["model"])
        self._problem.optimizer.load_state_dict(state["optimizer"])


class Peer(Follower):
    """A copy of a model and its optimizer, with layers initialised anew.

    Args:
        problem: the model to copy.
        reset: `"all"`: every trained layer that has `reset_parameters` (PyTorch's own initialisation, which
            replaces the model's); `"head"`: only the last of them. Other layers start as in the model.
    """

    def __init__(self, problem: Problem, *, reset: str) -> None:
        # Together, so that the copied optimizer holds the copied parameters.
        model, optimizer = copy.deepcopy((problem.model, problem.optimizer))
        copied = Problem(model, optimizer, problem.loss, problem.forward)
        resettable = resettable_layers(copied)
        for module in resettable if reset == "all" else resettable[-1:]:
            module.reset_parameters()  # type: ignore[operator]
        super().__init__(problem, copied)

    def _enter_modes(self) -> None:
        pairs = zip(self._original.model.modules(), self._problem.model.modules(), strict=True)
        for original, copied in pairs:
            copied.training = original.training


def resettable_layers(problem: Problem) -> list[nn.Module]:
    """The layers that have `reset_parameters` and are trained with all their parameters."""
    trained = {id(p) for p, _ in problem.trainable().values()}
    return [m for m in problem.model.modules() if _is_resettable(m, trained)]


def _is_resettable(module: nn.Module, trained: set[int]) -> bool:
    parameters = list(module.parameters(recurse=False))
    return (
        bool(parameters)
        and hasattr(module, "reset_parameters")
        and all(id(p) in trained for p in parameters)
    )
