"""Normalisation of pixels as a layer of the model, so that it is saved with the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError


class Normalize(nn.Module):
    """`(x - mean) / std` for each channel, with `x` in [0, 1].

    The input is images `(B, C, H, W)`. Integer pixels (0 to 255) are divided by 255 first; floating-point
    pixels are expected to be in [0, 1] already. The output has the same shape and the dtype of the module, so
    `.double()` and `.bfloat16()` change the dtype of the pixels too.

    >>> import torch
    >>> Normalize([0.5], [0.5])(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    tensor([[[[-1.,  1.]]]])

    Args:
        mean, std: one value for each of the C channels.

    Raises:
        ConfigError: `mean` and `std` differ in length, or a std is not positive.
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
