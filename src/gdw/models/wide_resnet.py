"""Wide residual networks, WRN-depth-width.

Source: Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016. They have three stages of n pre-activation
blocks with 16k, 32k and 64k channels, the depth 6n + 4, and dropout between the two convolutions of a block.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError
from gdw.models.resnet_cifar import init_kaiming


class PreActivationBlock(nn.Module):
    """Twice BatchNorm, ReLU and a 3x3 convolution; the shortcut is a 1x1 convolution if the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut = (
            nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
            if stride != 1 or in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        residual = self.conv1(activated)
        residual = self.conv2(self.dropout(F.relu(self.bn2(residual))))
        if self.shortcut is None:
            return x + residual  # type: ignore[no-any-return]
        return self.shortcut(activated) + residual  # type: ignore[no-any-return]


class WideResNet(nn.Module):
    """WRN-depth-width, from small images `(B, in_channels, H, W)` to logits `(B, num_classes)`.

    Raises:
        ConfigError: the depth is not 6n + 4, the width is below 1, or the dropout is outside [0, 1).
    """

    def __init__(
        self,
        depth: int,
        width: int,
        num_classes: int,
        *,
        in_channels: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(depth, width, dropout)
        channels = [16, 16 * width, 32 * width, 64 * width]
        self.conv = nn.Conv2d(in_channels, channels[0], 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        for stage, (wide_in, wide_out) in enumerate(pairwise(channels)):
            stride = 2 if stage else 1
            blocks.append(PreActivationBlock(wide_in, wide_out, stride=stride, dropout=dropout))
            for _ in range((depth - 10) // 6):
                blocks.append(PreActivationBlock(wide_out, wide_out, stride=1, dropout=dropout))
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(channels[3])
        self.head = nn.Linear(channels[3], num_classes)
        init_kaiming(self)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.bn(self.blocks(self.conv(images))))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def _check(depth: int, width: int, dropout: float) -> None:
    if depth < 10 or (depth - 4) % 6:
        raise ConfigError(
            f"expected a wide ResNet depth of 6n + 4 (16, 22, 28, 40, ...), found {depth}"
        )
    if width < 1:
        raise ConfigError(f"expected a wide ResNet width of 1 or more, found {width}")
    if not 0 <= dropout < 1:
        raise ConfigError(f"expected a dropout in [0, 1), found {dropout}")
