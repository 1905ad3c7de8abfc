"""What the forward pass of a training batch leaves for the passes that follow it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gdw.hypergradient.head import Captured
from gdw.hypergradient.preserve import Buffers
from gdw.hypergradient.random_state import RandomState


@dataclass(frozen=True)
class TrainingPass:
    """The result of the forward pass of a training batch.

    Attributes:
        inputs: the inputs of the batch, for a second pass.
        logits: `(N, C, ...)`, with the graph that the model's gradient is taken through.
        losses: `(N, ...)`, detached.
        class_gradient: `D1`, `(N, C, ...)`, detached, float32 or wider.
        mean_loss: mean over the labelled examples of this process, a scalar.
        count: the number of labelled examples in the global batch, a scalar tensor.
        random_state: the state of the random generators at the start of the pass.
        is_random: whether the pass drew random numbers.
        drawn: the states of PyTorch's generators at its end; None if it drew none of their numbers.
        buffers: the buffers of the model at the start of the pass.
        buffers_after: the buffers at its end: the passes that follow must leave them so.
        captured: what the head received; None without a head.
    """

    inputs: Any
    logits: Tensor
    losses: Tensor
    class_gradient: Tensor
    mean_loss: Tensor
    count: Tensor
    random_state: RandomState
    is_random: bool
    drawn: list[Tensor] | None
    buffers: Buffers
    buffers_after: Buffers
    captured: Captured | None = None

    def without_graph(self) -> TrainingPass:
        """The same pass with detached logits. The graph is freed when the last reference is gone."""
        return replace(self, logits=self.logits.detach())
