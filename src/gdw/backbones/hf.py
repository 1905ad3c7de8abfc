"""Backbones of the library transformers, for images and for texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gdw.backbones.assemble import assembled
from gdw.backbones.backbone import Backbone
from gdw.backbones.folders import read_folder, read_json
from gdw.backbones.image_networks import normalising
from gdw.backbones.pooling import Pooling
from gdw.backbones.preprocess_images import ImagePreprocessing, Interpolation
from gdw.backbones.preprocess_texts import TextPreprocessing
from gdw.backbones.text_networks import TextNetwork
from gdw.backbones.transformers_models import (
    configuration,
    drop_pooler,
    empty_transformer,
    load_transformer,
    pad_token,
    text_limit,
    tokenizer_json,
)
from gdw.errors import ConfigError, shown

if TYPE_CHECKING:
    from gdw.backbones.backbone import BackboneKind

_RESAMPLING: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
# The size of images that most models for images were trained with.
USUAL_SIZE = 224


class ImageFeatures(nn.Module):
    """A model of transformers for images: floats `(B, 3, S, S)` to features `(B, F)`.

    Args:
        model: returns `pooler_output` and `last_hidden_state`.
        pooling: "pooler", the pooled output of the model; "cls", its first token; "mean", the mean over
            tokens or over the map.
        interpolate: whether its positions are interpolated to images of another size.
    """

    def __init__(self, model: nn.Module, pooling: str, *, interpolate: bool = False) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.interpolate = interpolate

    def forward(self, images: Tensor) -> Tensor:
        options = {"interpolate_pos_encoding": True} if self.interpolate else {}
        output: Any = self.model(pixel_values=images, **options)
        if self.pooling == "pooler":
            return output.pooler_output.flatten(1)  # type: ignore[no-any-return]
        hidden: Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        return hidden.mean(1) if hidden.dim() == 3 else hidden.mean((2, 3))


def load_hf(folder: Path, name: str, kind: BackboneKind | None, image_size: int | None) -> Backbone:
    """The model in `folder`.

    Texts: the mean of the last hidden states over the tokens. Images: the pooled output if the model has one
    and its weights are in the folder; otherwise the first token of networks that have a class token, and the
    mean of the last hidden states of others. A pooler that only training for a task has filled would be
    random.

    Args:
        folder: with config.json and safetensors.
        name: of the backbone.
        kind: "image" or "text", for folders that do not say what the model takes, or that have both.
        image_size: None: that of the model.

    Raises:
        ConfigError: the weights do not fit, or the folder does not say what the model takes.
    """
    found = read_folder(folder, library="hf")
    if found.kind is not None and "text_config" not in found.config:
        kind = found.kind
    kind = kind or found.kind
    if kind is None:
        raise ConfigError(
            f"{shown(folder)} does not say what its model takes: expected the files of a tokenizer "
            "(tokenizer.json) or preprocessor_config.json beside config.json; save them with save_pretrained"
        )
    model, missing = load_transformer(folder, name, kind)
    if kind == "image":
        return _image_backbone(folder, name, model, bool(missing), image_size)
    architecture = {
        "library": "hf-text",
        "config": configuration(model),
        "pooling": ["mean"],
        "pad": pad_token(model),
    }
    drop_pooler(model)
    return assembled(
        name,
        "text",
        TextNetwork(model, pad=pad_token(model)),
        TextPreprocessing(tokenizer_json(folder, name), text_limit(folder, model)),
        architecture,
    )


def _image_backbone(
    folder: Path, name: str, model: Any, untrained_pooler: bool, image_size: int | None
) -> Backbone:
    settings = read_json(folder / "preprocessor_config.json")
    preprocessing = _preprocessing(settings, model.config, image_size)
    native = _preprocessing(settings, model.config, None).image_size
    normalised = settings.get("do_normalize") is not False
    architecture = {
        "library": "hf-image",
        "config": configuration(model),
        "pooling": image_pooling(model, native, untrained_pooler=untrained_pooler),
        "interpolate": preprocessing.image_size != native and hasattr(model.config, "patch_size"),
        "mean": settings.get("image_mean", [0.5] * 3) if normalised else [0.0] * 3,
        "std": settings.get("image_std", [0.5] * 3) if normalised else [1.0] * 3,
    }
    module = _image_module(model, architecture)
    return assembled(name, "image", module, preprocessing, architecture)


def rebuilt_image(architecture: Mapping[str, Any]) -> nn.Module:
    """The module of an image backbone with random weights, from its `architecture`."""
    return _image_module(empty_transformer(architecture["config"], "image"), architecture)


def _image_module(model: Any, architecture: Mapping[str, Any]) -> nn.Module:
    pooling = architecture["pooling"]
    if pooling != "pooler":
        drop_pooler(model)
    features = ImageFeatures(model, pooling, interpolate=architecture["interpolate"])
    return normalising(features, architecture["mean"], architecture["std"])


def rebuilt_text(architecture: Mapping[str, Any]) -> nn.Module:
    """The module of a text backbone with random weights, from its `architecture`."""
    model = empty_transformer(architecture["config"], "text")
    drop_pooler(model)
    return TextNetwork(model, Pooling(*architecture["pooling"]), pad=architecture["pad"])


def image_pooling(model: Any, size: int, *, untrained_pooler: bool) -> str:
    """How the features of a model for images of `size` pixels are taken: see `ImageFeatures`."""
    has_class = any(n.rpartition(".")[2] == "cls_token" for n, _ in model.named_parameters())
    other = "cls" if has_class else "mean"
    if untrained_pooler:
        return other
    with torch.inference_mode():
        output = model.eval()(pixel_values=torch.zeros(1, 3, size, size))
    return other if getattr(output, "pooler_output", None) is None else "pooler"


def _preprocessing(
    settings: Mapping[str, Any], config: Any, image_size: int | None
) -> ImagePreprocessing:
    """The rule of preprocessor_config.json; without that file, squares of the size of the model."""
    size = settings.get("size", getattr(config, "image_size", None)) or USUAL_SIZE
    resized = min(_sides(size))
    cut = min(_sides(settings["crop_size"])) if settings.get("do_center_crop") else resized
    share = cut / resized
    if settings.get("crop_pct") and resized < 384:
        # ConvNeXt: the image is resized to more than its size, and cropped.
        cut, share = resized, float(settings["crop_pct"])
    whole = isinstance(size, dict) and "height" in size and not settings.get("do_center_crop")
    interpolation = _RESAMPLING.get(settings.get("resample", 2), "bicubic")
    return ImagePreprocessing(image_size or cut, None if whole else share, interpolation)


def _sides(size: Any) -> list[int]:
    values: Any = size.values() if isinstance(size, dict) else size
    return [int(side) for side in ([values] if isinstance(values, int) else values)]
