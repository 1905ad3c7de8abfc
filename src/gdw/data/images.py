"""Images: from the value of a cell (bytes, a path, or the Hugging Face struct) to an RGB picture."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.data.pixel_limit import DECODING, require_size, set_limit, too_large
from gdw.errors import DataError, shown

if TYPE_CHECKING:
    from PIL import Image

    from gdw.data.grey_range import GreyRange

# The formats that are read, with the suffixes of their files. Pillow recognises files by their content,
# whatever their names are. Other decoders run programs (EPS starts Ghostscript) or are not meant here, and
# data may come from strangers.
_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "DIB": (".dib",),
    "ICO": (".ico",),
    "PCX": (".pcx",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "DDS": (".dds",),
    "QOI": (".qoi",),
    "SUN": (".ras",),
    "PSD": (".psd",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
}

# Files of this format have no mark at their beginning, so that damaged files of others would look like one.
_TGA = (".tga", ".icb", ".vda", ".vst")

IMAGE_SUFFIXES = (*chain.from_iterable(_FORMATS.values()), *_TGA)

# What Pillow raises for damaged files, besides its own errors (which are OSErrors).
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RuntimeError,
    RuntimeWarning,
    struct.error,
    zlib.error,
)

# Large images are converted in strips of so many pixels, to save memory.
_STRIP = 1 << 22


def decode(
    value: Any, folder: Path, *, grey: GreyRange | None = None, at_least: int = 0
) -> Image.Image:
    """The picture in RGB. It is turned as its EXIF data say, and transparent parts become white.

    Args:
        value: the encoded bytes, a path, or a mapping with "bytes" and "path".
        folder: the folder at which a relative path starts.
        grey: the values of black and white in grey images of more than 8 bits. Default: the usual range that
            the values of the image suggest.
        at_least: the shorter side in pixels that suffices. A large JPEG is then decoded at a half, a quarter
            or an eighth of its size, several times as fast. 0: all pixels.

    Raises:
        DataError: there is no picture, or it is damaged. The message does not name the row, which the caller
            knows.
    """
    with opened_image(value, folder) as image:
        if at_least:
            image.draft(None, (at_least, at_least))
        image.load()
        return _rgb(_upright(image), grey)


def fault(value: Any, folder: Path) -> str | None:
    """What is wrong with an image. Its pixels are read at the lowest resolution that its format allows.

    The header of a truncated file is complete, so the pixels must be read; JPEG allows an eighth of the size.
    For the arguments see `decode`.
    """
    try:
        with opened_image(value, folder) as image:
            image.draft("RGB", (1, 1))
            image.load()
            if image.mode not in ("RGB", "L"):
                _rgb(image, None)
    except DataError as error:
        return str(error)
    return None


@contextmanager
def opened_image(value: Any, folder: Path) -> Iterator[Image.Image]:
    """The picture as Pillow opens it: the header has been read. For the arguments and errors see `decode`.

    An error of Pillow inside becomes a `DataError` too.
    """
    from PIL import Image

    source, name = _locate(value, folder)
    set_limit()
    try:
        with (
            Image.open(source, formats=_decoders(name)) as image,
            DECODING.taking(require_size(image)),
        ):
            yield image
    except DataError as error:
        raise DataError(f"cannot read the image{name}: {error}") from None
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image{name}: {_reason(error)}") from None


def content(value: Any, folder: Path) -> bytes:
    """The bytes of an image file, without decoding it; for the arguments see `decode`.

    Raises:
        DataError: there is no picture.
        OSError: its file cannot be read.
    """
    place, _ = _locate(value, folder)
    return place.getvalue() if isinstance(place, io.BytesIO) else Path(place).read_bytes()


def is_image(content: bytes) -> bool:
    """Whether Pillow recognises the beginning of `content` as that of an image; the rest may be damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=_decoders("")):
            return True
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True
    except DAMAGED:
        return False


def _locate(value: Any, folder: Path) -> tuple[Any, str]:
    """What Pillow opens, and the name of the file as a part of a message (empty for bytes without a path)."""
    name = named(value)
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return io.BytesIO(value), name
    if isinstance(value, str | Path) and str(value):
        return folder / value, name
    raise DataError("there is no image (the cell is empty)")


def named(value: Any) -> str:
    """The name of the file as a part of a message, ` 'cat.jpg'`; empty for bytes without a path."""
    path = path_of(value)
    return f" {path!r}" if path else ""


def path_of(value: Any) -> str:
    """The path of an image as the data have it; empty for bytes without a path."""
    path = value.get("path") if isinstance(value, dict) else value
    return shown(path) if isinstance(path, str | Path) and path else ""


@lru_cache
def _installed() -> tuple[str, ...]:
    """The formats that this version of Pillow can read: AVIF came with 11.3, and parts may be left out."""
    from PIL import Image

    Image.init()
    return tuple(name for name in (*_FORMATS, "TGA") if name in Image.OPEN)


def _decoders(name: str) -> tuple[str, ...]:
    """The formats to try for a file, or for bytes without a name."""
    installed = _installed()
    if name.rstrip("'").lower().endswith(_TGA):
        return installed
    return tuple(known for known in installed if known != "TGA")


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF data say; damaged EXIF data say nothing."""
    from PIL import ExifTags, ImageOps

    try:
        # `exif_transpose` copies images that are upright too.
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except DAMAGED:
        return image


def _rgb(image: Image.Image, grey: GreyRange | None) -> Image.Image:
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        from gdw.data.grey_range import eight_bits

        return Image.fromarray(eight_bits(image, grey)).convert("RGB")
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        # Pillow keeps the pixels when it closes the file, so large images need no copy.
        is_large = image.width * image.height > _STRIP
        return image if is_large and image.mode == "RGB" else image.convert("RGB")
    opaque = Image.new("RGB", image.size, "white")
    height = max(1, _STRIP // max(1, image.width))
    for top in range(0, image.height, height):
        strip = image.crop((0, top, image.width, min(top + height, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        opaque.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return opaque


def _reason(error: BaseException) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        pixels = re.search(r"\d+", str(error))
        assert pixels is not None, "Pillow says how many pixels there are"
        return too_large(f"{int(pixels[0]):,} pixels", set_limit())
    if isinstance(error, FileNotFoundError):
        if error.filename and os.path.islink(error.filename):  # noqa: PTH114 - it may be bytes
            return "the link leads to no file"
        return "there is no such file (a relative path starts at the folder of the data file)"
    if isinstance(error, UnidentifiedImageError):
        # Pillow's own message shows the address of a buffer in memory.
        *first, _ = _installed()[:7]
        return f"it is none of {', '.join(first)} and {len(_installed()) - len(first)} more formats"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__
