"""Building a model from its name, as in `--model NAME`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from gdw.backbones.image_networks import IMAGENET
from gdw.errors import ConfigError, nearest
from gdw.models.backbones import (
    LIBRARIES,
    build_backbone,
    find_backbone,
    known_backbones,
    missing_libraries,
    require_library,
)
from gdw.models.mlp import HEADS, named_mlp
from gdw.models.normalize import normalized
from gdw.models.resnet import STAGES, ResNet
from gdw.models.resnet_cifar import CifarResNet
from gdw.models.weights import load_weights
from gdw.models.wide_resnet import WideResNet

if TYPE_CHECKING:
    from gdw.data.encode.encoder import MeanStd

EXAMPLES = (
    "auto",
    "linear",
    "mlp",
    "mlp:512,256",
    "mlp:256,dropout=0.5",
    "resnet20",
    "resnet32",
    "resnet56",
    "wrn-28-10",
    "airbench",
    "resnet18",
    "resnet50",
    "torchvision:NAME",
    "timm:NAME",
)
SMALL_IMAGE = 64

_WIDE = re.compile(r"wrn-?(\d+)-(\d+)")
_FAST = "airbench"
_RESNET = re.compile(r"(cifar-)?resnet-?(\d+)")


def choose_model(kind: str | None, input_shape: Sequence[int]) -> str:
    """The name of the model that "auto" means.

    Images of up to 64 pixels get ResNet-20, the cheapest convolutional network that is accurate on them.
    Larger images get ResNet-18, whose first layers reduce the picture to a sixteenth before the expensive
    layers. Texts get a narrow layer with dropout, because they have many features, each of which occurs in
    few examples. All other inputs get an MLP.

    >>> choose_model("image", (3, 32, 32))
    'resnet20'

    Args:
        kind: the kind of the data ("image", "text", "table" or "array"), or None if it is not known.
        input_shape: the shape of one example.
    """
    if kind == "text":
        return "mlp:256,dropout=0.5"
    if len(input_shape) == 3:
        small = min(input_shape[1:]) <= SMALL_IMAGE
        return "resnet20" if small else "resnet18"
    return "mlp"


def full_name(name: str, kind: str | None, input_shape: Sequence[int]) -> str:
    """The name of a network without what can be left out.

    "auto" is replaced by the choice for the data. A name that torchvision or else timm knows gets the library
    before it. The networks that `gdw` has itself need neither library.

    >>> full_name("ResNet-50", "image", (3, 224, 224))
    'resnet50'

    Args:
        name: as the user wrote it.
        kind, input_shape: as for `choose_model`.

    Raises:
        ConfigError: no network has this name.
    """
    if name == "auto":
        return choose_model(kind, input_shape)
    own = name.lower()
    if own.partition(":")[0] in (*HEADS, *LIBRARIES):
        return own
    if match := _RESNET.fullmatch(own):
        return f"{match[1] or ''}resnet{match[2]}"
    if _WIDE.fullmatch(own) or own == _FAST:
        return own
    found = find_backbone(name)
    if found is None:
        raise ConfigError(
            f"unknown model {name!r}: expected a name such as {', '.join(EXAMPLES)}."
            + nearest(name, (*EXAMPLES, *known_backbones()))
            + _more_names()
        )
    return found


def require_buildable(name: str, *, pretrained: bool) -> None:
    """Check, before the data are read, that there is a network of this name.

    Raises:
        ConfigError: no network has this name.
        MissingDependencyError: its library, or that of the pretrained weights, is not installed.
    """
    known = full_name(name, None, ())
    library = known.partition(":")[0]
    if library in LIBRARIES:
        require_library(library)
    elif pretrained and _depth_for_photos(known):
        require_library("torchvision")


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
    """Build a classifier: a model from inputs `(B, *input_shape)` to logits `(B, num_classes)`.

    The model of images `(3, H, W)` begins with `Normalize` and accepts uint8 or floating-point pixels.

    >>> build_model("mlp:8", input_shape=(4,), num_classes=3, seed=0).head
    Linear(in_features=8, out_features=3, bias=True)

    Args:
        name: "auto" (see `choose_model`), "linear", "mlp", "mlp:512,256", "mlp:256,dropout=0.5"; for small
            images "resnet20" or another depth 6n + 2, "wrn-28-10" or another depth 6n + 4, "airbench" (for
            about ten epochs, see `gdw.models.airbench`); for photographs
            "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"; or the name of any classifier of
            torchvision or timm, also as "torchvision:NAME" or "timm:NAME".
        input_shape: the shape of one example. `(V, F)` are the features of V views of an image, see
            `gdw.models.feature_head`.
        num_classes: the number of classes.
        mean_std: the mean and std of each channel, for pixels in [0, 1]; default: pixels are only scaled to
            [0, 1]. A network of torchvision or timm that gets its weights by `pretrained` or `weights`
            ignores it, and uses the mean and std of its library.
        pretrained: download the weights of torchvision or timm. Those of "resnet50" are torchvision's.
        weights: a local file of weights; see `gdw.models.weights.load_weights`.
        kind: the kind of the data, for the name "auto".
        seed: of the initial parameters; the global random state does not change. Default: they come from
            PyTorch's global generator, as for any `nn.Module`.

    Raises:
        ConfigError: the name is unknown, or the model does not fit the input shape or the weights.
        MissingDependencyError: the library of the model is not installed.
    """
    shape = tuple(int(size) for size in input_shape)
    _check(shape, num_classes)
    if pretrained and weights is not None:
        raise ConfigError("expected pretrained or weights, found both: leave one out")
    name = full_name(name, kind, shape)
    with _single_precision(), nullcontext() if seed is None else _seeded(seed):
        model = _build(name, shape, num_classes, mean_std, pretrained, weights is not None)
    if weights is not None:
        load_weights(model, Path(weights), num_classes=num_classes)
    return model


def _more_names() -> str:
    """What to install so that more names are known; empty if all libraries are there."""
    missing = missing_libraries()
    if not missing:
        return ""
    return f" The models of {' and '.join(missing)} need pip install 'gdw[vision]'"


def _check(shape: tuple[int, ...], num_classes: int) -> None:
    if num_classes < 2:
        raise ConfigError(f"expected 2 classes or more, found {num_classes}: nothing to tell apart")
    if not shape or min(shape) < 1:
        raise ConfigError(f"expected an input shape of sizes above 0, found {shape}")


@contextmanager
def _single_precision() -> Iterator[None]:
    """Encoded inputs are float32, whatever `torch.set_default_dtype` was given."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _build(
    name: str,
    shape: tuple[int, ...],
    num_classes: int,
    mean_std: MeanStd | None,
    pretrained: bool,
    has_weights: bool,
) -> nn.Module:
    depth = _depth_for_photos(name)
    if pretrained and depth:
        name = f"torchvision:resnet{depth}"
    library, _, architecture = name.partition(":")
    if library in LIBRARIES:
        _require_image(name, shape)
        network, backbone_mean_std = build_backbone(
            library, architecture, input_shape=shape, num_classes=num_classes, pretrained=pretrained
        )
        if pretrained or has_weights:
            mean_std = backbone_mean_std
        return normalized(network, shape, mean_std)
    if pretrained:
        raise ConfigError(
            f"model {name!r} has no pretrained weights: choose resnet18 to resnet152 or another model of "
            "torchvision or timm, or leave pretrained out"
        )
    network = _build_own(name, shape, num_classes)
    if depth and has_weights:
        mean_std = IMAGENET
    return normalized(network, shape, mean_std) if len(shape) == 3 else network


def _depth_for_photos(name: str) -> int | None:
    """The depth of a ResNet for photographs; None for another network."""
    match = _RESNET.fullmatch(name)
    return int(match[2]) if match and not match[1] and int(match[2]) in STAGES else None


def _build_own(name: str, shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A network that gdw defines itself."""
    if name.partition(":")[0] in HEADS:
        if len(shape) != 2:
            return named_mlp(name, math.prod(shape), num_classes)
        from gdw.models.feature_head import OverViews

        return OverViews(named_mlp(name, shape[1], num_classes))
    _require_image(name, shape)
    if match := _WIDE.fullmatch(name):
        return WideResNet(int(match[1]), int(match[2]), num_classes, in_channels=shape[0])
    if name == _FAST:
        return _build_fast(shape, num_classes)
    if depth := _depth_for_photos(name):
        return ResNet(depth, num_classes, in_channels=shape[0])
    match = _RESNET.fullmatch(name)
    assert match is not None, "full_name lets no other name pass"
    return CifarResNet(int(match[2]), num_classes, in_channels=shape[0])


def _build_fast(shape: tuple[int, ...], num_classes: int) -> nn.Module:
    from gdw.models.airbench import SMALLEST, Airbench

    if shape[0] != 3 or min(shape[1:]) < SMALLEST:
        raise ConfigError(
            f"model {_FAST!r} needs images of 3 channels and {SMALLEST} pixels or more on each side, found "
            f"inputs of shape {shape}"
        )
    return Airbench(num_classes)


def _require_image(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise ConfigError(
            f"model {name!r} needs images of shape (channels, height, width), found inputs of "
            f"shape {shape}: use model 'mlp' or 'linear' for features"
        )
