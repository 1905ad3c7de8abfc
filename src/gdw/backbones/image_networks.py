"""Parts of networks for images: normalisation, and the removal of a classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import nn

from gdw.backbones.normalize import Normalize
from gdw.errors import ConfigError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalising(network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Sequential:
    """`network`, which takes normalised floats, as one that takes uint8 images."""
    return nn.Sequential(OrderedDict(normalize=Normalize(mean, std), network=network))


def without_classifier(network: nn.Module, num_classes: int, name: str) -> nn.Module:
    """`network` with its classifier replaced by the identity, in place.

    Args:
        network: a classifier of torchvision.
        num_classes: the number of its classes.
        name: for the message.

    Raises:
        ConfigError: no layer has as many outputs as there are classes.
    """
    found = [path for path, layer in network.named_modules() if _outputs(layer) == num_classes]
    if not found:
        raise ConfigError(
            f"backbone {name!r} has no classifier to take off: expected a layer with {num_classes:,} "
            "outputs; choose a network for classification"
        )
    parent, _, last = found[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    # GoogLeNet and Inception have more classifiers, which are for training only.
    for path in ("AuxLogits", "aux1", "aux2"):
        if hasattr(network, path):
            setattr(network, path, None)
            network.aux_logits = False  # type: ignore[assignment]
    return network


def _outputs(layer: Any) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    # SqueezeNet classifies by a convolution.
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None
