"""From a model's name to the model: the names that `--model` takes."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from gdw.errors import ConfigError, nearest
from gdw.models.backbones import build_backbone
from gdw.models.mlp import MLP
from gdw.models.normalize import MeanStd, Normalize
from gdw.models.resnet_cifar import CifarResNet
from gdw.models.weights import load_weights
from gdw.models.wide_resnet import WideResNet

EXAMPLES = (
    "auto",
    "mlp",
    "mlp:512,256",
    "mlp:256,dropout=0.5",
    "resnet20",
    "resnet32",
    "resnet56",
    "wrn-28-10",
    "torchvision:resnet18",
    "timm:resnet18",
)
SMALL_IMAGE = 64
IMAGENET_DEPTHS = (18, 34, 50, 101, 152)


def choose_model(kind: str | None, input_shape: Sequence[int]) -> str:
    """The model's name that "auto" stands for.

    `kind` is the data's ("image", "text", "table", "array") or None when unknown. Images up to 64
    pixels get ResNet-20, the cheapest convolutional network that does well on them; larger ones
    ResNet-18, whose first layers shrink the picture sixteenfold before the costly part. A bag of
    words has far more features than a table and few examples that share one: a narrow layer with
    dropout. All else: an MLP.
    """
    if kind == "text":
        return "mlp:256,dropout=0.5"
    if len(input_shape) == 3:
        small = min(input_shape[1:]) <= SMALL_IMAGE
        return "resnet20" if small else "torchvision:resnet18"
    return "mlp"


def build_model(
    name: str,
    *,
    input_shape: Sequence[int],
    num_classes: int,
    mean_std: MeanStd | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
    kind: str | None = None,
    seed: int | None = None,
) -> nn.Module:
    """Build the classifier called `name`: inputs `(B, *input_shape)` to logits `(B, num_classes)`.

    Names: "auto" (see `choose_model`; `kind` helps it), "mlp", "mlp:512,256",
    "mlp:256,dropout=0.5", "resnet20" and any other depth 6n + 2, "wrn-28-10" and any other depth 6n
    + 4, "torchvision:resnet18", "timm:resnet18" and every other classifier of those libraries.

    Models of images `(3, H, W)` take uint8 or floating pixels and begin with `Normalize`, by
    `mean_std` (per channel, of pixels in [0, 1]; without it pixels are only brought to [0, 1]).
    With `pretrained` (torchvision and timm: downloads) or `weights` (a local file) a backbone keeps
    the normalisation that its library trained it with, whatever `mean_std` says.

    `seed` draws the initial parameters from a seed of their own and leaves the global random state
    as it was; without it they come from PyTorch's global generator, as for any `nn.Module`.

    Raises `ConfigError` for an unknown name, a shape that the model cannot take or weights that do
    not fit, and `MissingDependencyError` when the library of the model is not installed.
    """
    if num_classes < 2:
        raise ConfigError(f"expected 2 classes or more, found {num_classes}: nothing to tell apart")
    if pretrained and weights is not None:
        raise ConfigError("expected pretrained or weights, found both: leave one out")
    shape = tuple(int(size) for size in input_shape)
    if not shape or min(shape) < 1:
        raise ConfigError(f"expected an input shape of sizes above 0, found {shape}")
    if name == "auto":
        name = choose_model(kind, shape)
    if seed is None:
        model = _build(name, shape, num_classes, mean_std, pretrained, weights is not None)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = _build(name, shape, num_classes, mean_std, pretrained, weights is not None)
    if weights is not None:
        load_weights(model, Path(weights), num_classes=num_classes)
    return model


def _build(
    name: str,
    shape: tuple[int, ...],
    num_classes: int,
    mean_std: MeanStd | None,
    pretrained: bool,
    own_normalization: bool,
) -> nn.Module:
    library, colon, architecture = name.partition(":")
    if colon and library in ("torchvision", "timm"):
        _require_image(name, shape)
        network, backbone_mean_std = build_backbone(
            library, architecture, input_shape=shape, num_classes=num_classes, pretrained=pretrained
        )
        if pretrained or own_normalization:
            mean_std = backbone_mean_std
        return _normalized(network, shape, mean_std)
    if pretrained:
        raise ConfigError(
            f"model {name!r} has no pretrained weights: choose a torchvision: or timm: model, "
            "or leave pretrained out"
        )
    if library == "mlp":
        mlp = _build_mlp(name, shape, num_classes)
        return _normalized(mlp, shape, mean_std) if len(shape) == 3 else mlp
    if match := re.fullmatch(r"resnet-?(\d+)", name):
        _require_image(name, shape)
        network = _build_resnet(int(match[1]), num_classes, in_channels=shape[0])
        return _normalized(network, shape, mean_std)
    if match := re.fullmatch(r"wrn-?(\d+)-(\d+)", name):
        _require_image(name, shape)
        network = WideResNet(int(match[1]), int(match[2]), num_classes, in_channels=shape[0])
        return _normalized(network, shape, mean_std)
    raise ConfigError(
        f"unknown model {name!r}: expected a name such as {', '.join(EXAMPLES)}."
        + nearest(name, EXAMPLES)
    )


def _build_resnet(depth: int, num_classes: int, *, in_channels: int) -> CifarResNet:
    try:
        return CifarResNet(depth, num_classes, in_channels=in_channels)
    except ConfigError as error:
        imagenet = (
            f"; 'torchvision:resnet{depth}' is another network" if depth in IMAGENET_DEPTHS else ""
        )
        raise ConfigError(f"{error}{imagenet}") from None


def _build_mlp(name: str, shape: tuple[int, ...], num_classes: int) -> MLP:
    hidden: list[int] = []
    dropout = 0.0
    _, colon, options = name.partition(":")
    try:
        for option in options.split(",") if colon else ():
            key, equals, value = option.partition("=")
            if equals and key.strip() == "dropout":
                dropout = float(value)
            else:
                hidden.append(int(option))
    except ValueError:
        raise ConfigError(
            f"cannot read model {name!r}: expected hidden sizes and perhaps a dropout, "
            f"as in 'mlp:512,256' or 'mlp:256,dropout=0.5'; found {option!r}"
        ) from None
    return MLP(math.prod(shape), num_classes, hidden=hidden or None, dropout=dropout)


def _normalized(
    network: nn.Module, shape: tuple[int, ...], mean_std: MeanStd | None
) -> nn.Sequential:
    mean, std = mean_std or ([0.0] * shape[0], [1.0] * shape[0])
    if len(mean) != shape[0]:
        raise ConfigError(
            f"expected mean_std with {shape[0]} channels as in the input {shape}, found {len(mean)}"
        )
    return nn.Sequential(OrderedDict(normalize=Normalize(mean, std), network=network))


def _require_image(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise ConfigError(
            f"model {name!r} needs images of shape (channels, height, width), found inputs of "
            f"shape {shape}: use model 'mlp' for features"
        )
