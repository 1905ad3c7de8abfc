"""What the forward pass of a training batch leaves for the passes that follow it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gdw.hypergradient.head import Captured
from gdw.hypergradient.preserve import Buffers
from gdw.hypergradient.random_state import RandomState


@dataclass(frozen=True)
class Before:
    """What must be as it was, so that a later pass repeats a training pass.

    Attributes:
        random_state: the state of the random generators at the start of the pass.
        is_random: whether the pass drew random numbers.
        drawn: the states of PyTorch's generators at its end; None if it drew none of their numbers.
        buffers: the buffers of the model at the start of the pass.
        buffers_after: the buffers at its end: the passes that follow must leave them so.
    """

    random_state: RandomState
    is_random: bool
    drawn: list[Tensor] | None
    buffers: Buffers
    buffers_after: Buffers


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
        before: what a repetition of the pass needs; None if no pass is to follow.
        captured: what the head received; None without a head.
    """

    inputs: Any
    logits: Tensor
    losses: Tensor
    class_gradient: Tensor
    mean_loss: Tensor
    count: Tensor
    before: Before | None = None
    captured: Captured | None = None

    @property
    def repeatable(self) -> Before:
        """What a repetition of the pass needs."""
        assert self.before is not None, "the problem was built with `repeats`"
        return self.before

    def without_graph(self) -> TrainingPass:
        """The same pass with detached logits. The graph is freed when the last reference is gone."""
        return replace(self, logits=self.logits.detach())
