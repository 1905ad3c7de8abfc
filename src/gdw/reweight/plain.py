"""Plain training, and plain training that keeps tensors from a preparation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional.weights import unit_weights
from gdw.hypergradient.inputs import Batch
from gdw.reweight.base import Reweighter
from gdw.reweight.step_result import StepResult


class Plain(Reweighter):
    """Ordinary training on the given labels, under the same contract as the other methods.

    Its gradient is that of the mean loss. A meta batch is accepted and ignored.

    >>> import torch, gdw
    >>> model = torch.nn.Linear(5, 3)
    >>> reweighter = gdw.Plain(model, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> step = reweighter.backward((torch.randn(8, 5), torch.randint(3, (8,))))
    >>> float(step.weights.min())
    1.0
    """

    needs_meta = needs_clean = False
    repeats = False
    captures = True

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        training_pass = self._forward(batch, indices)
        return self._backward(training_pass, unit_weights(training_pass.class_gradient))


class PreparedPlain(Plain):
    """Base of methods that keep named tensors, for example from `prepare`. A resumed run gets them back."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        self._kept: dict[str, Tensor] = {}

    def _known(self, name: str, *, option: str | None = None) -> Tensor:
        """The tensor kept under `name`; `ConfigError` if `prepare` was never called."""
        if name not in self._kept:
            raise unprepared(self, option)
        return self._kept[name]

    def _required(self, indices: Tensor | None) -> Tensor:
        if indices is None:
            raise ConfigError(
                f"{type(self).__name__} keeps something for each training example: say which examples are "
                "in the batch, backward(batch, indices=...)"
            )
        return indices

    def _is_clean(self, indices: Tensor | None, like: Tensor) -> Tensor:
        """Which examples of a batch are clean ones: booleans `(N, 1, ...)` for `like` `(N, ...)`.

        False for all if the indices are unknown.
        """
        if indices is None or "given" not in self._kept:
            clean = torch.zeros(len(like), dtype=torch.bool)
        else:
            clean = indices >= self._kept["given"]
        return clean.view(-1, *[1] * (like.dim() - 1)).to(like.device)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "found": dict(self._kept)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._kept = {name: tensor.clone() for name, tensor in state["found"].items()}


def unprepared(reweighter: Reweighter, option: str | None = None) -> ConfigError:
    """The error of a method that was not prepared; `option` is an option that replaces the preparation."""
    instead = "" if option is None else f", or give {option}=..."
    return ConfigError(
        f"{type(reweighter).__name__} must see the whole training set before its first step: call "
        "gdw.prepare(reweighter, (X, y), (X_clean, y_clean), epochs=...) once, or train with gdw.Trainer, "
        f"which does it{instead}"
    )
