"""The small residual networks of the CIFAR experiments.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2. They have three
stages of n blocks with 16, 32 and 64 channels, the depth 6n + 2, and shortcuts without parameters (option A).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError
from gdw.models.resnet import STAGES


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut that subsamples and pads with zeros (option A)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            x = F.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return x


class CifarResNet(nn.Module):
    """A ResNet of depth 6n + 2, from small images `(B, in_channels, H, W)` to logits `(B, num_classes)`.

    The height and width are free: the output of the last stage, a quarter of each side, is averaged over its
    pixels.

    Raises:
        ConfigError: the depth is not 6n + 2.
    """

    def __init__(self, depth: int, num_classes: int, *, in_channels: int = 3) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ConfigError(
                f"expected a ResNet depth of 6n + 2 for small images (20, 32, 44, 56, ...), or one of "
                f"{', '.join(map(str, STAGES))} for photographs, found {depth}"
            )
        blocks = (depth - 2) // 6
        self.conv = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.stages = nn.Sequential(
            _stage(16, 16, blocks, stride=1),
            _stage(16, 32, blocks, stride=2),
            _stage(32, 64, blocks, stride=2),
        )
        self.head = nn.Linear(64, num_classes)
        init_kaiming(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(F.relu(self.bn(self.conv(images))))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def _stage(in_channels: int, channels: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


def init_kaiming(network: nn.Module) -> None:
    """Initialise convolutions and linear layers from N(0, 2 / fan_in) (He et al., ICCV 2015)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
