"""Pixels to network inputs, inside the model so that saved weights bring their normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError

MeanStd = tuple[Sequence[float], Sequence[float]]


class Normalize(nn.Module):
    """`(x - mean) / std` per channel, with `x` in [0, 1].

    Takes images `(B, C, H, W)`: integer pixels (0 to 255) are divided by 255 first, floating ones
    are taken to be in [0, 1] already. Gives the same shape in the dtype of the module, so that
    `.double()` and `.bfloat16()` reach the pixels too.

    Raises `ConfigError` when mean and std do not have one entry a channel or a std is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not len(mean):
            raise ConfigError(
                f"expected a mean and a std for each channel, found {len(mean)} means "
                f"and {len(std)} stds: give as many of one as of the other"
            )
        if any(not value > 0 for value in std):
            raise ConfigError(
                f"expected a std above 0 for each channel, found {tuple(std)}: "
                "use 1 for a channel that is constant"
            )
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.to(self.mean.dtype)
        if not images.is_floating_point():
            pixels = pixels / 255
        return (pixels - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"
