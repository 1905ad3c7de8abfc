"""What the forward pass of a training batch leaves behind for the passes that follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gdw.hypergradient.head import Captured
from gdw.hypergradient.stillness import Buffers, RandomState


@dataclass
class TrainingPass:
    """What the forward pass of a training batch leaves behind.

    Attributes:
        inputs: the batch's inputs, for a second pass.
        logits: `(N, C, ...)`, with the graph that the model's gradient is taken through. Without
            `retain_graph` an engine frees it and puts those of its replay here.
        losses: `(N, ...)`, detached.
        class_gradient: `D1`, `(N, C, ...)`, detached, float32 or wider.
        mean_loss: over this process's labelled examples, a scalar.
        count: the number of labelled examples in the global batch, a scalar tensor.
        random_state, buffers: what the pass drew from, and the buffers that it started with.
        captured: what the head was handed, if there is one.
        shown: `(N, C, ...)`, the class-level weights that another `class_gradient` amounts to, where a method
            has put one there.
    """

    inputs: Any
    logits: Tensor
    losses: Tensor
    class_gradient: Tensor
    mean_loss: Tensor
    count: Tensor
    random_state: RandomState
    buffers: Buffers
    captured: Captured | None = None
    shown: Tensor | None = None
