"""Fit the encoder that suits a source, and load a saved one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gdw.data.encode.contract import Encoder, require_rows
from gdw.data.encode.features import FeatureEncoder
from gdw.data.encode.image import ImageEncoder
from gdw.data.encode.pixels import PixelEncoder
from gdw.data.encode.store import SETTINGS, damaged, read_settings
from gdw.data.encode.table import TableEncoder
from gdw.data.encode.text import TextEncoder
from gdw.errors import ConfigError, RunError

if TYPE_CHECKING:
    from gdw.data.source import Source

AnyEncoder = FeatureEncoder | ImageEncoder | PixelEncoder | TableEncoder | TextEncoder

_ENCODERS: dict[str, type[AnyEncoder]] = {
    encoder.name: encoder
    for encoder in (FeatureEncoder, ImageEncoder, PixelEncoder, TableEncoder, TextEncoder)
}


def fit_encoder(
    source: Source, *, image_size: int | None = None, max_features: int = 20000
) -> Encoder:
    """Fit preprocessing on `source`, the training data.

    `image_size` is the side in pixels of the squares that images become (default: 32 or 224 by the
    size of the images; arrays of images keep their shape); `max_features` the most words kept of
    texts. Nothing in it is random. Raises `DataError` for data that cannot be encoded,
    `ConfigError` for options out of range.
    """
    if image_size is not None and image_size < 1:
        raise ConfigError(f"expected an image_size of 1 pixel or more, found {image_size}")
    if max_features < 1:
        raise ConfigError(f"expected max_features of 1 or more, found {max_features}")
    require_rows(source)
    if source.kind == "table":
        return TableEncoder.fit(source)
    if source.kind == "text":
        return TextEncoder.fit(source, max_features=max_features)
    if source.kind == "image":
        return ImageEncoder.fit(source, image_size=image_size)
    if source.array(np.arange(1)).ndim == 2:
        return FeatureEncoder.fit(source)
    return PixelEncoder.fit(source, image_size=image_size)


def load_encoder(folder: str | Path) -> Encoder:
    """The encoder that `Encoder.save` wrote into `folder`.

    Raises `RunError`, naming the file, when it is missing, damaged, from a newer version of gdw or
    holds what gdw never writes.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    name = settings.get("encoder")
    if name not in _ENCODERS:
        raise RunError(
            f"{folder / SETTINGS} is for an unknown encoder {name!r}: expected one of "
            f"{', '.join(sorted(_ENCODERS))}; upgrade gdw, or train again"
        )
    try:
        return _ENCODERS[name].load(folder, settings)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / SETTINGS) from error
