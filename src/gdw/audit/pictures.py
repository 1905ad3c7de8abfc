"""Small copies of images, to compare them and to see which are dark, bright or blank."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

BLANK, DARK, BRIGHT, UNREADABLE = "blank", "dark", "bright", "unreadable"

SIDE = 16
_MEASURED = 64
_BLANK, _DARK, _BRIGHT = 8.0, 50.0, 230.0
_USUAL = 0.1
_AT_ONCE = 64
# Below this standard deviation, in grey levels, what is left of a small copy is noise.
_LEAST_CONTRAST = 4.0
_WHITES = (1.0, 16.0, 255.0, 4095.0, 65535.0)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Small copies of N images.

    Attributes:
        small: uint8 `(N, 256)`, the image in grey, resized to 16 × 16 pixels whatever its shape.
        levels: float32 `(N, 2)`, how dark the darkest and how bright the brightest pixels are, without the
            most extreme percent: from 0 (black) to 255 (white). NaN if the image cannot be read.
        sides: int64 `(N,)`, the shorter side of the image in pixels; 0 if it cannot be read.
    """

    small: NDArray[np.uint8]
    levels: NDArray[np.float32]
    sides: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.small)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float32]:
        """The pixels without the brightness and the contrast of the image, zero for images of one grey."""
        pixels = self.small[indices].astype(np.float32)
        pixels -= pixels.mean(axis=1, keepdims=True)
        contrast = pixels.std(axis=1, keepdims=True)
        return np.where(contrast < _LEAST_CONTRAST, 0, pixels)

    @property
    def are_coarse(self) -> bool:
        """Whether most images have fewer pixels than a small copy."""
        return bool(np.median(self.sides) < SIDE) if len(self) else False

    def problems(self) -> NDArray[np.str_]:
        """`(N,)`, what is wrong with each image: "blank", "dark", "bright", "unreadable", or nothing.

        Blank: the brightest and the darkest pixels (without one percent each) differ by less than 8 of 255
        grey levels. Dark: 99 % of the pixels are below 50. Bright: 99 % are above 230. What holds for more
        than a tenth of the images is how these images are, such as the sky at night, and no problem of some.
        """
        dark, bright = self.levels[:, 0], self.levels[:, 1]
        found = np.full(len(self), "", dtype="<U10")
        tests = ((BRIGHT, dark > _BRIGHT), (DARK, bright < _DARK), (BLANK, bright - dark < _BLANK))
        for name, holds in tests:
            if holds.sum() <= max(1, _USUAL * len(self)):
                found[holds] = name
        found[np.isnan(dark)] = UNREADABLE
        return found


def pictures(source: Source) -> Pictures:
    """Read the images of `source`, or of its array `(N, H, W)` or `(N, H, W, 3)`, a few at a time.

    JPEG files are decoded at the lowest resolution that has 64 pixels a side, which takes a small part of the
    time.
    """
    small = np.zeros((len(source), SIDE * SIDE), dtype=np.uint8)
    levels = np.full((len(source), 2), np.nan, dtype=np.float32)
    sides = np.zeros(len(source), dtype=np.int64)
    white = _white(source) if source.kind == "array" else 255.0

    def read(start: int) -> None:
        for i in range(start, min(start + _AT_ONCE, len(source))):
            picture = _picture(source, i, white)
            if picture is not None:
                sides[i] = min(picture.size)
                small[i], levels[i] = _measured(picture)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(read, range(0, len(source), _AT_ONCE)):
            pass
    return Pictures(small, levels, sides)


def _white(source: Source) -> float:
    values = source.array(
        np.unique(np.linspace(0, len(source) - 1, min(len(source), 1000)).astype(int))
    )
    if values.dtype == np.uint8 or not values.size:
        return 255.0
    largest = float(values.max())
    return next((white for white in _WHITES if largest <= white), largest)


def _picture(source: Source, i: int, white: float) -> Image.Image | None:
    from PIL import Image

    if source.kind == "array":
        values = source.array(np.array([i]))[0].astype(np.float64)
        return Image.fromarray((values / white * 255).clip(0, 255).astype(np.uint8)).convert("L")
    try:
        return source.images(np.array([i]), at_least=_MEASURED)[0].convert("L")
    except DataError:
        return None


def _measured(picture: Image.Image) -> tuple[NDArray[Any], tuple[float, float]]:
    from PIL import Image

    picture.thumbnail((_MEASURED, _MEASURED), Image.Resampling.BOX)
    dark, bright = np.percentile(np.asarray(picture), (1, 99))
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small).ravel(), (float(dark), float(bright))
