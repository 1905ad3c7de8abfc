"""Batches of tokens of different lengths."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import pad


def same_length(tensors: Sequence[Tensor], *, filling: int) -> list[Tensor]:
    """Tokens `(B, L)` of different L, filled up at the end to the longest; other tensors as they are.

    >>> import torch
    >>> short, _ = same_length([torch.tensor([[5]]), torch.tensor([[6, 7]])], filling=-1)
    >>> short
    tensor([[ 5, -1]])

    Args:
        tensors: whole numbers `(B, L)`.
        filling: the token that fills up.
    """
    if any(t.dim() != 2 or t.is_floating_point() for t in tensors):
        return list(tensors)
    longest = max(t.shape[1] for t in tensors)
    return [pad(t, (0, longest - t.shape[1]), value=filling) for t in tensors]
