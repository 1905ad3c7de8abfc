"""What a user gives `Backbone.features`, as texts or images of Pillow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gdw.errors import DataError, one_line


def as_texts(raw: Sequence[Any]) -> list[str]:
    """A list of texts. `DataError` for one text, and for what are no texts."""
    if isinstance(raw, str) or not hasattr(raw, "__len__"):
        raise _no_list("texts", raw)
    for row, text in enumerate(raw):
        if not isinstance(text, str):
            raise DataError(f"row {row}: expected a text, found {type(text).__name__}")
    return list(map(str, raw))


def as_pictures(raw: Any) -> list[Any]:
    """A list of RGB images. `DataError` for one image, and for what are no images."""
    single = isinstance(raw, np.ndarray) and raw.ndim == 3 and raw.shape[2] in (3, 4)
    if single or isinstance(raw, (str, os.PathLike)) or not hasattr(raw, "__len__"):
        raise _no_list("images", raw)
    return [_as_picture(image, row) for row, image in enumerate(raw)]


def _no_list(what: str, raw: Any) -> DataError:
    one = what.removesuffix("s")
    return DataError(
        f"expected a list of {what}, found {type(raw).__name__}; put one {one} in brackets: [{one}]"
    )


def _as_picture(image: Any, row: int) -> Any:
    from PIL import Image, ImageOps

    if isinstance(image, (str, os.PathLike)):
        try:
            with Image.open(image) as opened:
                return ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"row {row}: cannot read the image: {one_line(error)}") from error
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.shape[2:] not in ((), (3,), (4,)) or pixels.ndim < 2:
        raise DataError(
            f"row {row}: expected an image of Pillow, its file, or a uint8 array (H, W) or (H, W, 3), found "
            f"{type(image).__name__} of shape {pixels.shape} and type {pixels.dtype}"
        )
    return Image.fromarray(pixels).convert("RGB")
