"""Checking that targets given as class probabilities sum to one."""

from __future__ import annotations

import torch
from torch import Tensor

from gdw.functional.wrong_targets import wrong_sums

_TOLERANCE = 0.02  # of probabilities in bfloat16


def require_distributions(targets: Tensor, name: str = "") -> None:
    """Check that class probabilities `(N, C, ...)` sum to one; class indices are not looked at.

    Args:
        targets: the targets.
        name: of the data set, for the error message.

    Raises:
        DataError: those of an example do not, as with several ones in a row.
    """
    if not targets.is_floating_point():
        return
    wide = targets.dtype if targets.dtype == torch.float64 else torch.float32
    sums = targets.sum(1, dtype=wide)
    if ((sums - 1).abs() > _TOLERANCE).any():
        raise wrong_sums(targets, sums, name)
