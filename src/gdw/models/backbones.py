"""The classifiers of torchvision and timm, by name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gdw.backbones.image_networks import IMAGENET
from gdw.backbones.vision_libraries import DOWNLOAD_ERRORS
from gdw.errors import ConfigError, MissingDependencyError, nearest
from gdw.models.weights import load_matching

if TYPE_CHECKING:
    from gdw.data.encode.encoder import MeanStd

LIBRARIES = ("torchvision", "timm")


def build_backbone(
    library: str,
    architecture: str,
    *,
    input_shape: tuple[int, ...],
    num_classes: int,
    pretrained: bool,
) -> tuple[nn.Module, MeanStd]:
    """A network of another library, with a head for `num_classes` classes.

    Args:
        library: "torchvision" or "timm".
        architecture: the name of the network in the library.
        input_shape: the shape of one image, `(3, H, W)`.
        num_classes: the number of classes.
        pretrained: download the weights of the library.

    Returns:
        The network, from floating-point images `(B, 3, H, W)` to logits `(B, num_classes)`, and the mean and
        std of the pixels on which the library trained it.

    Raises:
        ConfigError: the name is unknown, the download failed, or the network does not accept the input shape.
        MissingDependencyError: the library is not installed.
    """
    if library == "torchvision":
        network, mean_std = _torchvision(architecture, num_classes, pretrained)
    else:
        network, mean_std = _timm(architecture, num_classes, pretrained)
    _try_input(network, f"{library}:{architecture}", input_shape, num_classes)
    return network, mean_std


def find_backbone(name: str) -> str | None:
    """The name with its library, "torchvision:NAME" or "timm:NAME"; None if no installed library has it.

    Upper case and hyphens, as in "EfficientNet-B0", mean lower case and underscores too.
    """
    for library in _installed():
        for spelling in dict.fromkeys((name, name.lower().replace("-", "_"))):
            # timm takes names with a tag too, such as "resnet50.a1_in1k".
            plain = spelling.partition(".")[0] if library == "timm" else spelling
            if plain in _architectures(library):
                return f"{library}:{spelling}"
    return None


def known_backbones() -> list[str]:
    """The names of all classifiers of the installed libraries."""
    return [name for library in _installed() for name in _architectures(library)]


def missing_libraries() -> list[str]:
    """Which of torchvision and timm are not installed."""
    return [library for library in LIBRARIES if find_spec(library) is None]


def _installed() -> list[str]:
    return [library for library in LIBRARIES if library not in missing_libraries()]


def require_library(library: str) -> None:
    """Raise `MissingDependencyError` unless torchvision or timm is installed."""
    if library in missing_libraries():
        raise _missing(library)


@cache
def _architectures(library: str) -> tuple[str, ...]:
    if library == "timm":
        return tuple(_import_timm().list_models())
    models = _import_torchvision()
    return tuple(models.list_models(module=models))


def _torchvision(
    architecture: str, num_classes: int, pretrained: bool
) -> tuple[nn.Module, MeanStd]:
    models = _import_torchvision()
    known = models.list_models(module=models)
    if architecture not in known:
        raise _unknown("torchvision", architecture, known)
    network: nn.Module = models.get_model(architecture, weights=None, num_classes=num_classes)
    if not pretrained:
        return network, IMAGENET
    name = f"torchvision:{architecture}"
    choices = list(models.get_model_weights(architecture))
    if not choices:
        raise ConfigError(
            f"torchvision has no pretrained weights for {name!r}: leave pretrained out"
        )
    chosen = models.get_model_weights(architecture).DEFAULT
    try:
        state = chosen.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except DOWNLOAD_ERRORS as error:
        raise _failed_download(name, error) from error
    load_matching(
        network, state, num_classes=num_classes, origin=f"the pretrained weights of {name}"
    )
    preset = chosen.transforms()
    return network, (tuple(preset.mean), tuple(preset.std))


def _timm(architecture: str, num_classes: int, pretrained: bool) -> tuple[nn.Module, MeanStd]:
    timm = _import_timm()
    name = f"timm:{architecture}"
    if not timm.is_model(architecture):
        raise _unknown("timm", architecture, timm.list_models())
    if pretrained and not timm.is_model_pretrained(architecture):
        raise ConfigError(f"timm has no pretrained weights for {name!r}: leave pretrained out")
    try:
        network: nn.Module = timm.create_model(
            architecture, pretrained=pretrained, num_classes=num_classes
        )
    except DOWNLOAD_ERRORS as error:
        if pretrained:
            raise _failed_download(name, error) from error
        raise ConfigError(f"timm cannot build {name!r}: {_first_line(error)}") from error
    settings: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    mean, std = settings.get("mean", IMAGENET[0]), settings.get("std", IMAGENET[1])
    return network, (tuple(mean), tuple(std))


def _import_torchvision() -> ModuleType:
    try:
        import torchvision.models as models
    except ImportError as error:
        raise _missing("torchvision") from error
    return models  # type: ignore[no-any-return]


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise _missing("timm") from error
    return timm


def _missing(library: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"models named '{library}:...' and pretrained weights need {library}, which is not installed: "
        "pip install 'gdw[vision]' (or use a built-in model such as 'resnet18', from scratch)"
    )


def _unknown(library: str, architecture: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"{library} has no model {architecture!r}: expected one that "
        f"{library}.list_models() lists." + nearest(architecture, known)
    )


def _failed_download(name: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"cannot download the pretrained weights of {name!r} ({_first_line(error)}): "
        "check the network, or give a local file with weights=PATH, or leave pretrained out"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _try_input(
    network: nn.Module, name: str, input_shape: tuple[int, ...], num_classes: int
) -> None:
    """Run the network once: some accept one image size only, and say so when they get the first batch."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, *input_shape))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise ConfigError(
            f"model {name!r} does not accept inputs of shape {input_shape} ({_first_line(error)}): "
            "choose another image_size (224 suits most) or another model"
        ) from error
    finally:
        network.train(training)
    if tuple(logits.shape) != (1, num_classes):
        raise ConfigError(
            f"model {name!r} is not a classifier: expected logits of shape (1, {num_classes}), found outputs "
            f"of shape {tuple(logits.shape)}; choose another model"
        )
