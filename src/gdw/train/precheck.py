"""What can be known to fail is said before training starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gdw.hypergradient.problem import Forward
from gdw.hypergradient.stillness import still_buffers
from gdw.train import feed
from gdw.train.evaluation import check_classes, evaluation_mode, whereabouts
from gdw.train.random_state import seeded

_LOOK = 8


def check_before_training(model: nn.Module, sets: Mapping[str, Any], forward: Forward) -> None:
    """Run `model` once on a few training examples and hold the logits against the targets of all `sets`.

    `ModelError` for a class without a logit. The model, its buffers and the random state stay as
    they are.
    """
    device, dtype = whereabouts(model)
    logits: Tensor | None = None
    with seeded(0, device), evaluation_mode(model), still_buffers(model), torch.no_grad():
        for name, dataset in sets.items():
            if dataset is None:
                continue
            few = list(range(min(_LOOK, len(dataset))))
            inputs, targets = feed.place(
                next(feed.batches(dataset, [few])), device=device, dtype=dtype
            )
            if logits is None:
                logits = forward(model, inputs)
            known = getattr(dataset, "targets", None)
            check_classes(logits, known if isinstance(known, Tensor) else targets, name)
