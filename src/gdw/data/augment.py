"""Random changes to batches of images, drawn from an explicit generator.

Every function takes images `(B, C, H, W)` of any dtype (uint8 before the model's `Normalize`) and a
`torch.Generator`, and gives new images of the same shape and dtype; the same generator state gives
the same images. Each example is changed by a draw of its own, all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from gdw.errors import ConfigError

Augmentation = Callable[[Tensor, Generator], Tensor]


def random_crop(images: Tensor, generator: Generator, *, padding: int = 4) -> Tensor:
    """Shift each image by up to `padding` pixels each way; the border is filled by reflection.

    Equal to padding by reflection (the edge itself not repeated) and cropping at a random place, as
    for CIFAR in He et al., CVPR 2016, section 4.2, who pad with zeros. Raises `ConfigError` when an
    image is not larger than the padding.
    """
    height, width = _size(images)
    if not 0 <= padding < min(height, width):
        raise ConfigError(
            f"expected a padding from 0 to {min(height, width) - 1} for images of {height} x {width} "
            f"pixels, found {padding}: reflection needs larger images"
        )
    batch, channels = images.shape[:2]
    shifts = _draw(-padding, padding + 1, (2, batch, 1), generator, images.device)
    rows = _reflect(torch.arange(height, device=images.device) + shifts[0], height)
    columns = _reflect(torch.arange(width, device=images.device) + shifts[1], width)
    example = torch.arange(batch, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return images[example, channel, rows[:, None, :, None], columns[:, None, None, :]]


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    _size(images)
    flipped = _draw(0, 2, (len(images), 1, 1, 1), generator, images.device).bool()
    return torch.where(flipped, images.flip(-1), images)


def standard(images: Tensor, generator: Generator) -> Tensor:
    """`random_crop` with 4 pixels of padding, then `random_flip`: the augmentation of the paper.

    Images of 4 pixels or fewer are padded by as many as reflection allows.
    """
    padding = min(4, *(size - 1 for size in _size(images)))
    return random_flip(random_crop(images, generator, padding=padding), generator)


def cutout(images: Tensor, generator: Generator, *, size: int = 16, fill: int = 128) -> Tensor:
    """Fill a square of side `size` in each image, centred anywhere and cut off at the borders.

    Source: DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with
    Cutout", arXiv 1708.04552. Raises `ConfigError` for a size below 1.
    """
    if size < 1:
        raise ConfigError(f"expected a cutout size of 1 pixel or more, found {size}")
    height, width = _size(images)
    batch = (len(images), 1)
    top = _draw(0, height, batch, generator, images.device) - size // 2
    left = _draw(0, width, batch, generator, images.device) - size // 2
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    inside_rows = (rows >= top) & (rows < top + size)
    inside_columns = (columns >= left) & (columns < left + size)
    hole = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return images.masked_fill(hole, fill)


def _size(images: Tensor) -> tuple[int, int]:
    if images.ndim != 4:
        raise ConfigError(
            f"expected images of shape (B, C, H, W), found shape {tuple(images.shape)}: "
            "augmentation is for images only"
        )
    return int(images.shape[2]), int(images.shape[3])


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions from beyond either end of `[0, size)` back inside."""
    positions = positions.abs()
    return torch.where(positions < size, positions, 2 * (size - 1) - positions)


def _draw(
    low: int, high: int, shape: tuple[int, ...], generator: Generator, device: torch.device
) -> Tensor:
    # drawn where the generator lives, so that a CPU generator gives the same images on any device
    return torch.randint(low, high, shape, generator=generator, device=generator.device).to(device)
