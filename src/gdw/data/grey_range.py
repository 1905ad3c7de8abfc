"""Grey images of more than 8 bits: which of their values are black and white."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.images import opened_image
from gdw.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from gdw.data.source import Source

GreyRange = tuple[float, float]
"""The values of black and white."""

FORMER_RANGE: GreyRange = (0.0, 0.0)
"""The range that gdw 0.1.0 assumed: sixteen bits for all integers, 255 for floats."""

# The pixels of a part of an image that is converted at a time.
_STRIP = 1 << 22

# Pillow's modes of these images begin so, such as `I;16B`.
_MODES = ("I", "F")

# The values of white in common use: unit floats and masks, then 8, 10, 12, 14 and 16 bits.
_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)

# Floats that use a smaller part of the unit range would become almost black, so they have their own range.
_SMALL = 1 / 16


def read_grey_range(
    source: Source, indices: NDArray[np.int64]
) -> tuple[GreyRange | None, tuple[str, ...]]:
    """The range of the images at `indices`, with a note on pixels that are not numbers.

    The range is None if no image has more than 8 bits of grey.

    Images that cannot be read do not count: decoding them raises the error.
    """
    low, high = math.inf, -math.inf
    values = source.rows.values(source.feature_columns[0], source.row_numbers[indices])
    gaps = []
    for position, value in zip(indices.tolist(), values, strict=True):
        try:
            with opened_image(value, source.rows.folder) as image:
                if image.mode.startswith(_MODES):
                    pixels = np.asarray(image)
                    least, most = _extremes(pixels)
                    low, high = min(low, least), max(high, most)
                    if not all(np.isfinite(pixels[rows]).all() for rows in _strips(pixels)):
                        gaps.append(position)
        except DataError:
            continue
    return None if low > high else _usual_range(low, high), _notes(source, gaps)


def _notes(source: Source, gaps: list[int]) -> tuple[str, ...]:
    if not gaps:
        return ()
    more = "" if len(gaps) == 1 else f" ({len(gaps):,} images have such pixels)"
    first = source.where(gaps[0])
    return (f"{first} has pixels that are NaN or infinite, read as black or white{more}",)


def eight_bits(image: Image.Image, grey: GreyRange | None) -> NDArray[np.uint8]:
    """The image as bytes `(H, W)`; without a range, by the usual one that holds its values."""
    values = np.asarray(image)
    black, white = grey or _usual_range(*_extremes(values))
    if (black, white) == FORMER_RANGE:
        white = 65535.0 if values.dtype.kind in "iu" else 255.0
    pixels = np.empty(values.shape, dtype=np.uint8)
    for rows in _strips(values):
        numbers = values[rows].astype(np.float64)
        numbers = np.nan_to_num(numbers, nan=black, posinf=white, neginf=black)
        if black == 0 and white in (255, 65535):
            # The upper byte, as it is usual for these types.
            scaled = np.trunc(numbers / ((white + 1) / 256))
        else:
            scaled = np.rint((numbers - black) * (255 / (white - black)))
        pixels[rows] = scaled.clip(0, 255)
    return pixels


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for rows in _strips(values):
        finite = values[rows][np.isfinite(values[rows])]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _strips(values: NDArray[Any]) -> Iterator[slice]:
    """The rows of an image `(H, W)` in parts, to save memory."""
    height = max(1, _STRIP // max(1, values.shape[1]))
    return (slice(top, top + height) for top in range(0, len(values), height))


def _usual_range(low: float, high: float) -> GreyRange:
    """Black and white for values from `low` to `high`: the usual range that holds them, else themselves."""
    if 0 < high - min(low, 0.0) < _SMALL:
        return min(low, 0.0), high
    if low < 0:
        return low, max(high, low + 1.0)
    return 0.0, next((white for white in _WHITES if high <= white), high)
