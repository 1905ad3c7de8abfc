"""The classifier of features of several views of each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class OverViews(nn.Module):
    """Applies `head` to the features of V views of each example.

    In training mode it sees a random view of each example, and returns its logits `(B, C)`. In evaluation
    mode it returns the logarithms `(B, C)` of the mean probabilities over the views. Inputs are `(B, V, F)`.

    >>> logs = OverViews(nn.Linear(4, 3)).eval()(torch.zeros(2, 5, 4))
    >>> logs.exp().sum(1).allclose(torch.ones(2))
    True

    Args:
        head: from features `(B, F)` to logits `(B, C)`.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        # A module of its own: a replay of the passes before the head returns what it chose.
        self.views = RandomView()
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.views(inputs))
        if self.training:
            return logits
        count = inputs.shape[1]
        each = logits.unflatten(0, (len(inputs), count)).log_softmax(-1)
        mean: Tensor = each.logsumexp(1) - math.log(count)
        return mean


class RandomView(nn.Module):
    """A random view of each example `(B, F)` in training mode, else all views in turn `(B * V, F)`.

    The input is `(B, V, F)`. The choice comes from the random generator of PyTorch, as that of dropout.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return inputs.flatten(0, 1)
        size, count = inputs.shape[:2]
        chosen = torch.randint(count, (size,), device=inputs.device)
        return inputs[torch.arange(size, device=inputs.device), chosen]
