"""Batches of tokens of different lengths as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad


def concatenated(pieces: Sequence[Any], order: Tensor) -> Any:
    """Batches of tokens `(B, L)` of different L as one, in the order `(B,)` of its rows.

    Shorter batches are filled up at the end: with -1, or with 0 in a mapping, where the attention mask says
    which tokens count.

    Args:
        pieces: tensors, or mappings of tensors.
        order: of the rows of all pieces together.
    """
    if isinstance(pieces[0], Mapping):
        return {key: _joined([p[key] for p in pieces], order, 0) for key in pieces[0]}
    return _joined(pieces, order, -1)


def _joined(pieces: Sequence[Tensor], order: Tensor, filling: int) -> Tensor:
    if pieces[0].dim() > 1:
        longest = max(piece.shape[-1] for piece in pieces)
        pieces = [pad(p, (0, longest - p.shape[-1]), value=filling) for p in pieces]
    return torch.cat(list(pieces))[order]
