"""Pretrained networks of torchvision and timm without their classifiers."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from gdw.backbones.architectures import require_known
from gdw.backbones.assemble import assembled
from gdw.backbones.backbone import Backbone
from gdw.backbones.folders import read_json
from gdw.backbones.hub import is_offline, size_in_words
from gdw.backbones.image_networks import normalising, without_classifier
from gdw.backbones.preprocess_images import ImagePreprocessing
from gdw.errors import ConfigError, one_line

# What the two libraries raise when a download fails: URLError and the errors of the hub are OSErrors, a wrong
# hash is a RuntimeError, and a refused name is a ValueError.
DOWNLOAD_ERRORS = (OSError, RuntimeError, ValueError)
_SECONDS = 10


def load_torchvision(architecture: str, image_size: int | None) -> Backbone:
    """A network of torchvision with its default weights.

    Raises:
        ConfigError: the name is unknown, or the weights can neither be found nor fetched.
    """
    from torchvision import models
    from torchvision.transforms import InterpolationMode

    name = f"torchvision:{architecture}"
    require_known("torchvision", architecture)
    if not list(models.get_model_weights(architecture)):
        raise ConfigError(f"torchvision has no pretrained weights for {name!r}: choose another")
    weights = models.get_model_weights(architecture).DEFAULT
    preset = weights.transforms()
    recorded: dict[str, Any] = {
        "library": "torchvision",
        "name": architecture,
        "classes": len(weights.meta["categories"]),
        "mean": list(preset.mean),
        "std": list(preset.std),
    }
    network = _torchvision_network(architecture, recorded["classes"])
    network.load_state_dict(_torchvision_state(weights, name))
    cut = preset.crop_size[0]
    interpolation: Any = InterpolationMode(preset.interpolation).value
    return assembled(
        name,
        "image",
        _torchvision_module(network, recorded),
        ImagePreprocessing(image_size or cut, cut / preset.resize_size[0], interpolation),
        recorded,
    )


def rebuilt_vision(architecture: Mapping[str, Any]) -> nn.Module:
    """The module of a backbone with random weights, from its `architecture`."""
    if architecture["library"] == "torchvision":
        network = _torchvision_network(architecture["name"], architecture["classes"])
        return _torchvision_module(network, architecture)
    import timm

    options = architecture["options"]
    network = timm.create_model(architecture["name"], num_classes=0, **options)
    return normalising(network, architecture["mean"], architecture["std"])


def _torchvision_network(architecture: str, num_classes: int) -> nn.Module:
    from torchvision import models

    # The slow initial weights of GoogLeNet and Inception would be overwritten at once.
    slow = architecture in ("googlenet", "inception_v3")
    options = {"init_weights": False, "transform_input": True} if slow else {}
    network: nn.Module = models.get_model(
        architecture, weights=None, num_classes=num_classes, **options
    )
    return network


def _torchvision_module(network: nn.Module, architecture: Mapping[str, Any]) -> nn.Module:
    without_classifier(network, architecture["classes"], f"torchvision:{architecture['name']}")
    return normalising(network, architecture["mean"], architecture["std"])


def _torchvision_state(weights: Any, name: str) -> Mapping[str, torch.Tensor]:
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    size = size_in_words(int(1e6 * weights.meta.get("_file_size", 0)))
    if not file.is_file():
        _require_reachable(weights.url, name, size)
    try:
        state: Mapping[str, torch.Tensor] = weights.get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    except DOWNLOAD_ERRORS as error:
        raise failed_download(name, error, size) from error
    return state


def load_timm(architecture: str, image_size: int | None, *, folder: Path | None = None) -> Backbone:
    """A network of timm with its weights, from `folder`, the cache of the Hub, or the Hub.

    Raises:
        ConfigError: the name is unknown, or the weights can neither be found nor fetched.
    """
    import timm

    name = f"timm:{architecture}"
    if folder is None:
        require_known("timm", architecture)
        if not timm.is_model_pretrained(architecture):
            raise ConfigError(f"timm has no pretrained weights for {name!r}: choose another")
        _require_timm_weights(timm, architecture, name)
    known = architecture if folder is None else f"local-dir:{folder}"
    options = _timm_options(timm, folder, architecture, image_size)
    network = _create(timm, known, name, options, image_size)
    settings = _settings(network)
    size = image_size or int(settings["input_size"][-1])
    crop = None if settings.get("crop_mode") == "squash" else float(settings["crop_pct"])
    recorded = {
        "library": "timm",
        "name": str(network.pretrained_cfg.get("architecture") or architecture),
        "options": options,
        "mean": list(settings["mean"]),
        "std": list(settings["std"]),
    }
    return assembled(
        name,
        "image",
        normalising(network, settings["mean"], settings["std"]),
        ImagePreprocessing(size, crop, _interpolation(settings["interpolation"])),
        recorded,
    )


def _settings(network: Any) -> dict[str, Any]:
    data: Any = importlib.import_module("timm.data")
    settings: dict[str, Any] = data.resolve_model_data_config(network)
    return settings


def _timm_options(
    timm: Any, folder: Path | None, known: str, image_size: int | None
) -> dict[str, Any]:
    """What the network is built with, besides its name."""
    options: dict[str, Any] = {}
    if folder is None:
        cfg = timm.get_pretrained_cfg(known)
        fixed = cfg is not None and cfg.fixed_input_size
    else:
        config = read_json(folder / "config.json")
        given = config.get("model_args") or {}
        options = {k: v for k, v in given.items() if k not in ("num_classes", "in_chans")}
        fixed = config.get("pretrained_cfg", {}).get("fixed_input_size") or "img_size" in options
    if fixed and image_size is not None:
        # Networks with positions for one size of images need it when they are built.
        options["img_size"] = image_size
    return options


def _create(timm: Any, known: str, name: str, options: Mapping[str, Any], size: int | None) -> Any:
    try:
        return timm.create_model(known, pretrained=True, num_classes=0, **options)
    except Exception as error:
        reason = one_line(error)[:200]
        if size is not None and "img_size" in options:
            raise ConfigError(
                f"backbone {name!r} does not accept images of {size} x {size} pixels ({reason}): choose "
                "another image_size or backbone"
            ) from error
        if known.startswith("local-dir:"):
            raise ConfigError(
                f"backbone {name!r}: timm cannot load its folder ({reason}): copy the whole model again"
            ) from error
        raise failed_download(name, error, "") from error


def _require_timm_weights(timm: Any, architecture: str, name: str) -> None:
    """Refuse at once, with the size, a network whose weights can neither be found nor fetched."""
    from huggingface_hub import try_to_load_from_cache

    cfg = timm.get_pretrained_cfg(architecture)
    if cfg is None or cfg.file:
        return
    files = ("model.safetensors", "pytorch_model.bin")
    url = cfg.url or ""
    if cfg.hf_hub_id:
        url = f"https://huggingface.co/{cfg.hf_hub_id}"
        cached = any(isinstance(try_to_load_from_cache(cfg.hf_hub_id, f), str) for f in files)
    else:
        cached = (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file()
    if cached:
        return
    try:
        with torch.device("meta"):
            network = timm.create_model(architecture, pretrained=False)
        size = size_in_words(4 * sum(p.numel() for p in network.parameters()))
    except (RuntimeError, NotImplementedError):
        size = ""  # Some networks compute with tensors while they are built.
    _require_reachable(url, name, size)


def _require_reachable(url: str, name: str, size: str) -> None:
    """Refuse at once to fetch from a server that cannot be reached, instead of a minute of retries."""
    import socket

    host = urlparse(url).hostname or ""
    if is_offline() and host.endswith("huggingface.co"):
        raise failed_download(name, OSError("HF_HUB_OFFLINE is set"), size)
    if any(key.lower() in ("https_proxy", "all_proxy") for key in os.environ):
        return
    try:
        socket.create_connection((host, 443), timeout=_SECONDS).close()
    except OSError as error:
        raise failed_download(name, error, size, host) from error


def _interpolation(name: str) -> Any:
    return name if name in ("nearest", "bilinear", "bicubic", "lanczos") else "bicubic"


def failed_download(name: str, error: Exception, size: str, host: str = "") -> ConfigError:
    """The error that the weights of `name` could not be fetched."""
    where = f" from {host}" if host else ""
    return ConfigError(
        f"the weights of {name!r} are not on this machine, and cannot be fetched{where}{size}: "
        f"{one_line(error)[:150]}; check the network, or use a local folder, package:efficientnet-lite0 "
        "or --backbone none"
    )
