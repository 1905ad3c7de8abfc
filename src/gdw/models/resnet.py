"""The residual networks for photographs: ResNet-18, -34, -50, -101 and -152.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1; in blocks of three
convolutions the middle one has the stride. Parameters have the names and the initial distributions of
torchvision, so that files of weights and seeds mean the same in both.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError

# By depth: the number of blocks in each of the four stages.
STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_DEPTHS_OF_TWO = (18, 34)


class Block(nn.Module):
    """Two 3x3 convolutions, or a 1x1, a 3x3 and a 1x1; the shortcut is a 1x1 one if the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int, *, convolutions: int) -> None:
        super().__init__()
        out_channels = channels if convolutions == 2 else 4 * channels
        if convolutions == 2:
            self.conv1 = _convolution(in_channels, channels, 3, stride)
        else:
            self.conv1 = _convolution(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3, 1 if convolutions == 2 else stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = None, None
        if convolutions == 3:
            self.conv3 = _convolution(channels, out_channels, 1)
            self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                _convolution(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.conv3 is not None and self.bn3 is not None:
            residual = self.bn3(self.conv3(F.relu(residual)))
        return F.relu(residual + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A ResNet for photographs, from images `(B, in_channels, H, W)` to logits `(B, num_classes)`.

    The height and width are free: the output of the last stage, a 32nd of each side, is averaged over its
    pixels.

    Raises:
        ConfigError: the depth is none of 18, 34, 50, 101 and 152.
    """

    def __init__(self, depth: int, num_classes: int, *, in_channels: int = 3) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ConfigError(
                f"expected a ResNet depth of {', '.join(map(str, STAGES))}, found {depth}"
            )
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        convolutions = 2 if depth in _DEPTHS_OF_TWO else 3
        width = 64
        for stage, blocks in enumerate(STAGES[depth]):
            layer, width = _stage(width, 64 << stage, blocks, convolutions, first=not stage)
            self.add_module(f"layer{stage + 1}", layer)
        self.fc = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, stride=2, padding=1)
        for stage in range(1, 5):
            features = self.get_submodule(f"layer{stage}")(features)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


def _stage(
    width: int, channels: int, blocks: int, convolutions: int, *, first: bool
) -> tuple[nn.Sequential, int]:
    """The blocks of a stage for inputs of `width` channels, and the number of channels that they return."""
    layers = [Block(width, channels, 1 if first else 2, convolutions=convolutions)]
    width = channels if convolutions == 2 else 4 * channels
    layers += [Block(width, channels, 1, convolutions=convolutions) for _ in range(1, blocks)]
    return nn.Sequential(*layers), width


def _convolution(in_channels: int, channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, size, stride=stride, padding=size // 2, bias=False)
