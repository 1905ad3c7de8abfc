"""The encoder for a backbone that is fine-tuned: what its network takes, instead of its features."""

from __future__ import annotations

from typing import Any

from gdw.backbones.backbone import Backbone
from gdw.data.encode.encoder import Encoder
from gdw.data.encode.image import ImageEncoder
from gdw.data.encode.pixels import PixelEncoder
from gdw.data.encode.tokens import TokenEncoder
from gdw.data.source import Source
from gdw.errors import ConfigError


def fit_for_finetuning(source: Source, backbone: Backbone) -> Encoder:
    """The encoder of texts as tokens, or of images as squares of the size of the backbone.

    Args:
        source: the training data.
        backbone: the pretrained network.

    Raises:
        ConfigError: the backbone takes other data.
    """
    found = "image" if source.kind == "array" else source.kind
    if found != backbone.kind:
        raise ConfigError(
            f"backbone {backbone.name!r} takes {backbone.kind}s, found {source.kind} data: choose another "
            "backbone"
        )
    preprocessing: Any = backbone.preprocessing
    if source.kind == "text":
        return TokenEncoder.fit(source, preprocessing=preprocessing)
    size = preprocessing.settings["image_size"]
    if source.kind == "image":
        return ImageEncoder.fit(source, image_size=size)
    return PixelEncoder.fit(source, image_size=size)
