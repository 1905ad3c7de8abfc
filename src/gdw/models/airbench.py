"""A network that learns CIFAR-10 in ten epochs.

Source: Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, section 3: a fixed
first layer that whitens patches, convolutions that begin as the identity, and normalisation without a scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError

WIDTHS = (64, 256, 256)
SMALLEST = 9
"""In pixels: three poolings by two leave one."""

# The paper takes the principal components of the patches of the training images. Those of natural images are
# nearly products: the four patterns of 2 x 2 pixels (even, top-bottom, left-right, checked) in three colours
# (grey, red-blue, green-magenta). These are their standard deviations, of normalised pixels in 5,000 images
# of CIFAR-10; the true components have 3.18, 0.89, 0.63, ..., 0.01. So the network needs no look at the data.
_DEVIATIONS = (
    (3.180, 0.634, 0.586, 0.236),
    (0.888, 0.0775, 0.0644, 0.0154),
    (0.421, 0.0476, 0.0418, 0.0122),
)
_PATTERNS = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))
_COLOURS = ((1, 1, 1), (1, 0, -1), (1, -2, 1))
_SMALLEST_VARIANCE = 5e-4

# The logits at the start are this small.
_SCALE = 1 / 9


class Airbench(nn.Module):
    """From images `(B, 3, H, W)`, normalised, to logits `(B, num_classes)`.

    With images of 32 pixels it has 2.0 million parameters. It is meant for few epochs: SGD with Nesterov
    momentum, label smoothing, and a learning rate that rises over the first quarter and then falls.

    Args:
        num_classes: the number of classes.
        widths: the channels of the three groups.

    Raises:
        ConfigError: `widths` are not three, or the first is below the channels of the first layer.
    """

    def __init__(self, num_classes: int, *, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        whitening = whitening_filters()
        if len(widths) != 3 or min(widths) < len(whitening):
            raise ConfigError(
                f"expected three widths of {len(whitening)} channels or more, found {widths}"
            )
        self.whiten = nn.Conv2d(3, len(whitening), 2)
        self.whiten.weight = nn.Parameter(whitening, requires_grad=False)
        nn.init.zeros_(self.whiten.bias)  # type: ignore[arg-type]
        self.groups = nn.Sequential(
            *(_Group(a, b) for a, b in zip((len(whitening), *widths), widths, strict=False))
        )
        self.head = nn.Linear(widths[-1], num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        if images.is_cuda:
            images = images.contiguous(memory_format=torch.channels_last)
        features = self.groups(nn.functional.gelu(self.whiten(images)))
        logits: Tensor = self.head(features.amax(dim=(2, 3)) * _SCALE)
        return logits


class _Group(nn.Module):
    """Two convolutions, each with normalisation and GELU; the first is followed by a pooling by two."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _convolution(in_channels, channels), _norm(channels)
        self.conv2, self.norm2 = _convolution(channels, channels), _norm(channels)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.norm1(self.pool(self.conv1(x))))
        return nn.functional.gelu(self.norm2(self.conv2(x)))


def _convolution(in_channels: int, channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    # The first filters pass the channels on as they are.
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:in_channels])
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def whitening_filters() -> Tensor:
    """The filters `(24, 3, 2, 2)` of the first layer: components of variance one, and their negatives."""
    colours = torch.tensor(_COLOURS, dtype=torch.float32)
    patterns = torch.tensor(_PATTERNS, dtype=torch.float32) / 2
    colours = colours / colours.norm(dim=1, keepdim=True)
    components = torch.kron(colours, patterns)
    deviations = (torch.tensor(_DEVIATIONS).flatten() ** 2 + _SMALLEST_VARIANCE).sqrt()
    filters = (components / deviations[:, None]).view(-1, 3, 2, 2)
    return torch.cat([filters, -filters])
