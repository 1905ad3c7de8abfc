"""From the vectors of tokens to one vector for each text."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError

PoolingMode = Literal["mean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean"]


class Pooling(nn.Module):
    """Pools vectors of tokens `(B, L, D)` with a mask `(B, L)` to `(B, D)`; several modes are put together.

    The modes are those of sentence-transformers: "mean" over the tokens of the mask; "cls", the first token;
    "max"; "lasttoken"; "mean_sqrt_len_tokens", the sum divided by the root of the number of tokens; and
    "weightedmean", with weights that grow with the position.

    Args:
        modes: one or more modes.
    """

    def __init__(self, *modes: str) -> None:
        super().__init__()
        unknown = [mode for mode in modes if mode not in get_args(PoolingMode)]
        if unknown or not modes:
            known = ", ".join(get_args(PoolingMode))
            raise ConfigError(
                f"expected one of the poolings {known}, found {unknown or 'none'}: choose another backbone"
            )
        self.modes = modes

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([_pool(mode, vectors, mask) for mode in self.modes], dim=1)

    def extra_repr(self) -> str:
        return ", ".join(self.modes)


def _pool(mode: str, vectors: Tensor, mask: Tensor) -> Tensor:
    weights = mask.to(vectors.dtype).unsqueeze(2)
    if mode == "cls":
        return vectors[:, 0]
    if mode == "lasttoken":
        last = (mask.sum(1) - 1).clamp(min=0)
        return vectors[torch.arange(len(vectors), device=vectors.device), last]
    if mode == "max":
        return vectors.masked_fill(weights == 0, -torch.inf).amax(1).nan_to_num(neginf=0.0)
    if mode == "weightedmean":
        positions = torch.arange(1, mask.shape[1] + 1, device=vectors.device, dtype=vectors.dtype)
        weights = weights * positions.view(1, -1, 1)
    total = (vectors * weights).sum(1)
    # A text may have no tokens at all; then its features are 0.
    count = weights.sum(1).clamp(min=1)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)
