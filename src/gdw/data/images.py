"""From the value of an image cell (bytes, a path, or the Hugging Face struct) to an RGB picture."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.errors import DataError
from gdw.files.wording import shown

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

# What Pillow's decoders are known to raise on damaged files, besides its own errors (which are OSErrors).
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
)


def is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def decode(value: Any, folder: Path) -> Image.Image:
    """The picture as RGB, turned as its EXIF data say; see-through parts are laid over white.

    `value` is the encoded bytes, a path (a relative one starts at `folder`), or `{"bytes", "path"}`.
    Raises `DataError` (without the row, which the caller knows) when there is no picture or it is damaged.
    """
    from PIL import Image, ImageOps

    source, name = _locate(value, folder)
    try:
        with Image.open(source) as image:
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image{name}: {_reason(error)}") from None


def verify(value: Any, folder: Path) -> None:
    """Read all of the image at the lowest resolution its format allows; raises `DataError` as `decode` does.

    A truncated file has a sound header, so the pixels must be read; JPEG can do so at an eighth of the size.
    """
    from PIL import Image

    source, name = _locate(value, folder)
    try:
        with Image.open(source) as image:
            image.draft("RGB", (1, 1))
            image.load()
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image{name}: {_reason(error)}") from None


def _locate(value: Any, folder: Path) -> tuple[Any, str]:
    """Something Pillow opens, and the file's name as part of a message (empty for bare bytes)."""
    path = value
    if isinstance(value, dict):
        path = value.get("path")
        value = value.get("bytes") or path
    name = f" {shown(path)!r}" if isinstance(path, str | Path) and path else ""
    if isinstance(value, bytes) and value:
        return io.BytesIO(value), name
    if isinstance(value, str | Path) and str(value):
        return folder / value, name
    raise DataError("there is no image (the cell is empty)")


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith(("I;16", "I")):
        # Sixteen-bit grey: Pillow's own conversion would clip everything above 255 to white.
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def _reason(error: BaseException) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, FileNotFoundError):
        return "there is no such file (a relative path starts at the folder of the data file)"
    if isinstance(error, UnidentifiedImageError):
        # Pillow's own words show the address of a buffer in memory.
        return "cannot identify its format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__
