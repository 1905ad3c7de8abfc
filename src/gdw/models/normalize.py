"""Networks for images with the normalisation of pixels before them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from torch import nn

from gdw.errors import ConfigError

if TYPE_CHECKING:
    from gdw.data.encode.encoder import MeanStd


def normalized(
    network: nn.Module, shape: tuple[int, ...], mean_std: MeanStd | None
) -> nn.Sequential:
    """A network for images of `shape`, `(C, H, W)`, with `Normalize` before it.

    Raises:
        ConfigError: `mean_std` is for another number of channels.
    """
    from gdw.backbones.normalize import Normalize

    mean, std = mean_std or ([0.0] * shape[0], [1.0] * shape[0])
    if len(mean) != shape[0]:
        raise ConfigError(
            f"expected mean_std with {shape[0]} channels as in the input {shape}, found {len(mean)}"
        )
    return nn.Sequential(OrderedDict(normalize=Normalize(mean, std), network=network))
