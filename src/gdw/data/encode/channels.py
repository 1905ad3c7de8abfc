"""Mean and spread of the channels of images, for the model's first layer."""

from __future__ import annotations

from torch import Tensor

MeanStd = tuple[tuple[float, ...], tuple[float, ...]]


def channel_statistics(images: Tensor) -> MeanStd:
    """Mean and standard deviation by channel of uint8 images `(N, C, H, W)`, on the scale of [0, 1].

    A channel without variation gets a deviation of 1, which leaves it at zero after normalisation.
    """
    pixels = images.double().transpose(0, 1).flatten(1) / 255
    std = pixels.std(dim=1, correction=0)
    std[std < 1e-6] = 1.0
    return tuple(pixels.mean(dim=1).tolist()), tuple(std.tolist())
