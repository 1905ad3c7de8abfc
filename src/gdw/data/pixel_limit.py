"""How large images may be: a small file may hold so many pixels that decoding it needs all memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from gdw.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL import Image

VARIABLE = "GDW_MAX_IMAGE_PIXELS"

# The decoders of these formats need more time or memory for each pixel than those of others.
_COSTLY = ("JPEG2000", "AVIF", "QOI", "DDS", "ICO")
_SHARE_OF_COSTLY = 8

# The pixels that all threads together may decode at a time; one larger image is decoded alone.
_AT_ONCE = 100_000_000


@lru_cache
def set_limit() -> int:
    """The largest number of pixels of an image: that of Pillow, or of the environment variable.

    Raises:
        ConfigError: the variable is not a whole number.
    """
    from PIL import Image

    text = os.environ.get(VARIABLE)
    if text is not None:
        if not (text.isdecimal() and text.isascii() and int(text) > 0):
            raise ConfigError(f"{VARIABLE} should be a number of pixels, found {text!r}")
        # Pillow's own check must not refuse what the user allows.
        Image.MAX_IMAGE_PIXELS = int(text)
    return Image.MAX_IMAGE_PIXELS or 1 << 62


def require_size(image: Image.Image) -> int:
    """The number of pixels of an image of which only the header is read.

    Raises:
        DataError: there are too many. The message does not name the image, which the caller knows.
    """
    pixels = image.width * image.height
    limit = set_limit()
    if image.format in _COSTLY and VARIABLE not in os.environ:
        limit //= _SHARE_OF_COSTLY
    if pixels > limit:
        raise DataError(too_large(f"{image.width:,} x {image.height:,} pixels", limit))
    return pixels


def too_large(size: str, limit: int) -> str:
    """The message for an image of more than `limit` pixels."""
    return (
        f"it has {size}, more than {limit:,} in all: make it smaller, or allow it with the environment "
        f"variable {VARIABLE}"
    )


class _Budget:
    """A number of pixels that threads share."""

    def __init__(self, pixels: int) -> None:
        self._free = self._all = pixels
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


DECODING = _Budget(_AT_ONCE)
"""Taken by a thread while it decodes an image."""
