"""Binary cross-entropy: the loss of multi-label classification."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gdw.errors import DataError
from gdw.functional.wrong_targets import wrong_binary_shape, wrong_device


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sigmoid binary cross-entropy summed over the classes, `(N, ...)`: multi-label classification.

    `targets`: `(N, C, ...)`, from 0 to 1.

    Raises:
        DataError: the shapes differ, or (on the CPU) a target is not from 0 to 1.
    """
    if targets.shape != logits.shape:
        raise wrong_binary_shape(logits, targets)
    if targets.device != logits.device:
        raise wrong_device(logits, targets)
    if targets.device.type == "cpu" and ((targets < 0) | (targets > 1)).any():
        raise DataError(
            "binary_cross_entropy needs targets from 0 to 1, found targets from "
            f"{targets.min().item():g} to {targets.max().item():g}"
        )
    targets = targets.to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
