"""Confident learning's verdict on given labels."""

from __future__ import annotations

import torch
from torch import Tensor


def confidently_other(probabilities: Tensor, given: Tensor) -> Tensor:
    """Which given labels are off the diagonal of the confident joint, booleans `(N,)`.

    A class is confident for an example when its probability reaches the mean of that probability over the
    examples with that label; of several the likeliest counts. Northcutt, Jiang and Chuang, "Confident
    Learning", JAIR 70, 2021 (arXiv 1911.00068), eq. 1 and 2.

    Args:
        probabilities: of the given label, `(N, C)`, by models that have not seen it.
        given: `(N,)` labels from 0 to C-1.
    """
    size, classes = probabilities.shape
    own = probabilities[torch.arange(size), given]
    counts = torch.bincount(given, minlength=classes)
    sums = torch.zeros(classes, dtype=own.dtype).index_add_(0, given, own)
    # No example has such a label, and none is to be found in its class.
    thresholds = torch.where(counts > 0, sums / counts.clamp(min=1), torch.inf)
    confident = torch.where(probabilities >= thresholds, probabilities, -1.0)
    most, which = confident.max(1)
    return (most >= 0) & (which != given)
